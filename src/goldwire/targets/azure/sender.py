"""How Event Hubs and Service Bus are sent to: in batches that fit, each answered, never stopped half-way, and sure of the link.

The hooks hold what differs between the two SDKs.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from goldwire.clock import Clock, timestamp
from goldwire.errors import ConfigError
from goldwire.targets.azure.namespace import (
    OF_THE_CONTENT,
    TOO_LARGE,
    AzureSettings,
    explained,
    is_forbidden,
    new_credential,
    reason_of,
    refusal_of,
    sas_end,
)
from goldwire.targets.base import DELIVERED, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.targets.clients.backplane import Message, renderer, too_large
from goldwire.targets.settings import require_files

_ALONE_MAX = 40
"""How many messages of one refused batch are tried alone: enough for one or two at fault in a thousand."""

_IDLE_SECONDS = 120.0
"""After so long a silence the services, and load balancers before them, may have cut the connection (they do after four
minutes). A message that meets the cut would have an unknown outcome."""

_SKIPPED = Unavailable("not sent: a batch before it got no answer")
_UNTRIED = Unavailable("the service refuses the batch it was in; not tried alone so far")


class Work:
    """One call of `send`."""

    given_up = False
    """The caller does not wait for it any more."""


class AzureSender(ABC):
    """A connection to one entity.

    Args:
        name: the target's.
        settings: where and how.
        entity: as errors shall name it, e.g. `hub orders`.
        clock: measures how long nothing was sent.
        id_suffix: what message ids end in.
    """

    def __init__(self, name: str, settings: AzureSettings, entity: str, clock: Clock, *, id_suffix: str | None = None) -> None:
        self.name = name
        self.settings = settings
        self.limit_bytes = 0
        """What one batch may hold; `connect` learns it."""
        self._entity = entity
        self._render = renderer(name, settings, id_suffix=id_suffix)
        self._clock = clock
        self._credential: Any = None
        self._used_at = 0.0
        self._doubt = False
        self._connecting = asyncio.Lock()
        self._under_way: set[asyncio.Task[list[Outcome]]] = set()
        self._given_up: set[asyncio.Task[list[Outcome]]] = set()
        self._links: dict[str, asyncio.Lock] = {}

    @abstractmethod
    async def connect(self) -> None:
        """Connect and open a link that may send; raises ConfigError, or whatever the SDK does."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Let go of the connection, if there is one; may raise whatever the SDK does."""

    @abstractmethod
    def group_of(self, message: Message) -> str:
        """Return which messages may share a batch with this one."""

    @abstractmethod
    async def new_batch(self, group: str) -> Any:
        """Return an empty batch of the SDK for a group."""

    @abstractmethod
    def add(self, batch: Any, message: Message) -> None:
        """Put a message into a batch.

        Raises:
            ValueError: it does not fit any more.
        """

    @abstractmethod
    async def deliver(self, batch: Any) -> None:
        """Send a batch and wait for the service's word; raises whatever the SDK does."""

    def link_of(self, group: str) -> str:
        """Return which link a group's batches go over: it bears one at a time."""
        return group

    async def deliver_large(self, message: Message, work: Work) -> Outcome:  # noqa: ARG002 - of those who can
        """Deal with a message that fits into no batch."""
        return Rejected(too_large(len(message.body), self.limit_bytes, "select fewer attributes"))

    async def open(self) -> None:
        """Connect.

        Raises:
            ConfigError: the entity, the credential or a right is missing.
            OSError: not reachable now.
        """
        await self.close()
        require_files(self.name, {"ca_file": self.settings.ca_file})
        try:
            await self._reconnect()
        except ConfigError:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001 - of the SDK, of its credential or of the system
            await self.close()
            raise explained(error, f"target '{self.name}': {self._entity}", self._reason(error)) from None

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Send the events, the groups beside each other. A caller that gives up does not stop a batch half-way.

        Half a message on a link would spoil all that follow it. But the batches after it stay: they would arrive after what the
        next send has to say of the same entities. The next send waits for the batch.
        """
        if self._given_up:
            await asyncio.wait(self._given_up)
        work = Work()
        task = asyncio.create_task(self._send(items, work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            work.given_up = True
            if not task.done():
                self._given_up.add(task)
                task.add_done_callback(self._given_up.discard)
            raise

    async def close(self) -> None:
        """Drop what is under way, and disconnect."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._let_go()
        self._links.clear()
        credential, self._credential = self._credential, None
        if hasattr(credential, "close"):
            await credential.close()
        self._doubt = False

    def credential(self) -> Any:
        """Return what authenticates where there is no connection string: the same until the target is closed."""
        if self._credential is None:
            self._credential = new_credential(self.settings, self.name)
        return self._credential

    def _reason(self, error: BaseException) -> str:
        end = sas_end(self.settings)
        if end is not None and end <= self._clock.now() and is_forbidden(error):
            return f"the SAS token ended at {timestamp(end)}; give a new one"
        return reason_of(error)

    async def _let_go(self) -> None:
        with suppress(Exception):  # what it still held was answered as Unknown
            async with asyncio.timeout(self.settings.connect_timeout_seconds):
                await self.disconnect()

    async def _reconnect(self) -> None:
        await self._let_go()
        async with asyncio.timeout(self.settings.connect_timeout_seconds):
            await self.connect()
        self._used_at = self._clock.monotonic()

    async def _ready(self) -> str | None:
        """Ensure a connection after a doubt or a long silence; return why there is none.

        Raises:
            ConfigError: waiting mends nothing.
        """
        async with self._connecting:
            idle = self._clock.monotonic() - self._used_at > _IDLE_SECONDS and len(self._under_way) == 1
            if not (self._doubt or idle):
                return None
            self._doubt = True  # until it is connected anew, no other send may use what is half made
            try:
                await self._reconnect()
            except ConfigError:
                raise
            except Exception as error:  # noqa: BLE001 - as in open; nothing was sent
                return self._reason(error)
            self._doubt = False
            return None

    async def _send(self, items: Sequence[Item], work: Work) -> list[Outcome]:
        reason = await self._ready()
        if reason is not None:
            return [Unavailable(reason)] * len(items)
        outcomes: list[Outcome] = [DELIVERED] * len(items)
        groups: dict[str, list[tuple[int, Message]]] = {}
        for index, item in enumerate(items):
            message = self._render(item)
            groups.setdefault(self.group_of(message), []).append((index, message))
        async with asyncio.TaskGroup() as tasks:
            for group, members in groups.items():
                tasks.create_task(self._send_group(group, members, outcomes, work))
        return outcomes

    async def _send_group(self, group: str, members: list[tuple[int, Message]], outcomes: list[Outcome], work: Work) -> None:
        waiting = members[::-1]
        while waiting and not self._doubt and not work.given_up:
            batch = await self.new_batch(group)
            inside = self._fill(batch, waiting)
            if inside:
                await self._settle(group, batch, inside, outcomes, work)
            else:
                index, message = waiting.pop()
                outcomes[index] = await self.deliver_large(message, work)
        for index, _ in waiting:
            outcomes[index] = _SKIPPED

    def _fill(self, batch: Any, waiting: list[tuple[int, Message]]) -> list[tuple[int, Message]]:
        """Move from the end of the list into a batch what fits; return what that is."""
        inside: list[tuple[int, Message]] = []
        while waiting:
            try:
                self.add(batch, waiting[-1][1])
            except ValueError:
                break
            inside.append(waiting.pop())
        return inside

    async def _settle(
        self, group: str, batch: Any, inside: list[tuple[int, Message]], outcomes: list[Outcome], work: Work
    ) -> None:
        outcome, condition = await self.attempt(batch, group, work)
        for number, (index, message) in enumerate(inside):
            if condition not in OF_THE_CONTENT:
                outcomes[index] = outcome
            elif len(inside) == 1:
                outcomes[index] = self.refused(message, condition)
            else:
                alone = number < _ALONE_MAX and not work.given_up
                outcomes[index] = await self._alone(group, message, work) if alone else _UNTRIED

    async def _alone(self, group: str, message: Message, work: Work) -> Outcome:
        """Send a message in a batch of its own: a refusal is then about this message alone."""
        if self._doubt:
            return _SKIPPED
        batch = await self.new_batch(group)
        self.add(batch, message)
        outcome, condition = await self.attempt(batch, group, work)
        return self.refused(message, condition) if condition in OF_THE_CONTENT else outcome

    def refused(self, message: Message, condition: str | None) -> Rejected:
        """Return the outcome of a message that the service refused for what it is."""
        if condition == TOO_LARGE:
            return Rejected(too_large(len(message.body), self.limit_bytes, "select fewer attributes"))
        return Rejected(f"the service refuses its content ({condition})")

    async def attempt(self, batch: Any, group: str, work: Work) -> tuple[Outcome, str | None]:
        """Deliver a batch as soon as its link is free; the time limit is for the service alone.

        Args:
            batch: of the SDK, or a message of it.
            group: whose it is.
            work: that it is part of.

        Returns:
            what became of it, and the service's condition where it refused it for certain.
        """
        async with self._links.setdefault(self.link_of(group), asyncio.Lock()):
            if self._doubt or work.given_up:
                return _SKIPPED, None
            try:
                async with asyncio.timeout(self.settings.timeout_seconds):
                    await self.deliver(batch)
            except Exception as error:  # noqa: BLE001 - the relay needs an outcome of the events for every error
                refusal = refusal_of(error)
                self._doubt = self._doubt or type(refusal.outcome) is Unknown
                return refusal.outcome, refusal.condition
            self._used_at = self._clock.monotonic()
            return DELIVERED, None
