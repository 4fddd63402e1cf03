"""How a relay reaches what it waits for: a target behind a guard, opened until it answers; the store; and a stop.

Third parties write targets. A faulty one costs its own items some attempts, never the process of all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.rows import Cursor
from goldwire.clock import Clock
from goldwire.errors import ConfigError, GoldwireError, TargetRefusedError
from goldwire.relay.observer import Observer
from goldwire.relay.pace import backoff_seconds
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import (
    DELIVERED,
    Delivered,
    Duplicate,
    Item,
    LooksUp,
    Outcome,
    Rejected,
    ShowsNewest,
    TakenEvent,
    Target,
    Throttled,
    Unavailable,
    Unknown,
)

T = TypeVar("T")

_OUTCOMES = frozenset((Delivered, Duplicate, Throttled, Unavailable, Rejected, Unknown))


class Stop:
    """Whether the relay is to end, and a way to wait that ends with it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask for a stop."""
        self._event.set()

    async def unless(self, waiting: Coroutine[Any, Any, None]) -> bool:
        """Wait for this, but no longer than until a stop is asked for; say whether it came to its end.

        Raises:
            Exception: whatever it raised.
        """
        tasks = asyncio.ensure_future(waiting), asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # `wait` and no `await task`: that would take the task's cancellation for our own, and swallow ours.
            await asyncio.wait(tasks)
        if tasks[0].cancelled():
            return False
        tasks[0].result()
        return True


class StoreCall:
    """Calls the store, which is synchronous, in line or through an executor of one thread."""

    def __init__(self, executor: Any = None) -> None:
        self._executor = executor

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """Run a store call and return what it returns."""
        if self._executor is None:
            return function(*args)
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)


class Connection:
    """One target, with a limit on how long it may take.

    Args:
        target: the target itself.
        timeout_seconds: for each of its verbs.
        observer: gets a report of each fault that the relay tolerates.
        stop: ends the wait for a target that is slow to open.
    """

    def __init__(self, target: Target, timeout_seconds: float, observer: Observer, stop: Stop | None = None) -> None:
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._observer = observer
        self._stop = stop or Stop()
        self.closed_because = ""
        """Why it could not be reached the last time."""
        self.batch_limit = target.batch_limit
        self.looks_up = isinstance(target, LooksUp)

    async def open(self) -> bool:
        """Connect; False when the target cannot be reached now, or a stop was asked for first.

        Raises:
            GoldwireError: waiting mends nothing: mostly a ConfigError, because a setting is wrong.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._stop.unless(self._target.open())
        except GoldwireError:
            raise
        except Exception as error:  # noqa: BLE001 - not only OSError: a client library has errors of its own
            self.closed_because = _why(error)
            self._observer.unreachable(self.closed_because)
            return False

    async def close(self) -> None:
        """Disconnect. It reports an error and does not raise it, which would hide why the relay ends."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._target.close()
        except Exception as error:  # noqa: BLE001 - all that was settled is safe already
            self._observer.event("close failed", error=type(error).__name__)

    async def send(self, items: Sequence[Item]) -> list[Outcome]:
        """Send and return an outcome for each item, each of a type that it may have.

        Raises:
            ConfigError: the target found a setting wrong.
            TargetRefusedError: the target wants nothing more.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answers = list(await self._target.send(items))
        except (ConfigError, TargetRefusedError):
            raise
        except TimeoutError:
            return [Unknown(f"no answer within {self._timeout_seconds:g} s")] * len(items)
        except asyncio.CancelledError:
            if _cancelled_from_outside():
                raise
            return [Unknown("the target cancelled its own work")] * len(items)
        except Exception as error:  # noqa: BLE001 - a third party's target may raise anything; the items' fate is unknown
            return [Unknown(f"the target raised {type(error).__name__}")] * len(items)
        if len(answers) != len(items):
            return [Unknown(f"the target's outcomes do not match the items: {len(answers)} for {len(items)}")] * len(items)
        return [answer if answer is DELIVERED else _sound(answer) for answer in answers]

    async def held_versions(self, items: Sequence[Item]) -> list[int | None]:
        """Ask which versions the target holds; None for each where it cannot say, so that the event is sent again.

        Raises:
            ConfigError: the target found a setting wrong.
        """
        assert isinstance(self._target, LooksUp)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                versions = list(await self._target.held_versions(items))
            if len(versions) != len(items) or not all(version is None or type(version) is int for version in versions):
                raise TypeError  # noqa: TRY301 - an answer that is none is one more way to fail
        except ConfigError:
            raise
        except asyncio.CancelledError:
            if _cancelled_from_outside():
                raise
            versions = self._no_look_up("CancelledError", items)
        except Exception as error:  # noqa: BLE001 - as for a send
            versions = self._no_look_up(type(error).__name__, items)
        return versions

    async def newest(self, limit: int) -> list[TakenEvent]:
        """Ask what the target took last; nothing where it cannot say, or does not answer.

        Raises:
            ConfigError: the target found a setting wrong.
        """
        if not isinstance(self._target, ShowsNewest):
            return []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = list(await self._target.newest(limit))
            if not all(type(one) is TakenEvent for one in found):
                raise TypeError  # noqa: TRY301 - as for a look-up
        except ConfigError:
            raise
        except asyncio.CancelledError:
            if _cancelled_from_outside():
                raise
            found = []
        except Exception as error:  # noqa: BLE001 - as for a send
            self._observer.event("comparison failed", error=type(error).__name__)
            found = []
        return found

    def _no_look_up(self, error: str, items: Sequence[Item]) -> list[int | None]:
        self._observer.event("look-up failed", error=error, items=len(items))
        return [None] * len(items)


class Opening:
    """How one relay comes to an open target, and lets `goldwire status` say why it is not open.

    Args:
        store: where the reason is kept.
        connection: to the target.
        settings: how long to wait between two attempts.
        clock, random: time and jitter.
        call: how the store is reached.
        stop: ends the attempts.
    """

    def __init__(
        self, store: Deliveries, connection: Connection, settings: DeliverySettings, *,
        clock: Clock, random: Random, call: StoreCall, stop: Stop,
    ) -> None:  # fmt: skip
        self._store = store
        self._connection = connection
        self._settings = settings
        self._clock = clock
        self._random = random
        self._call = call
        self._stop = stop
        self._noted: str | None = None

    async def open(self, cursor: Cursor) -> bool:
        """Try until the target is open; False when a stop was asked for first.

        Args:
            cursor: as it was acquired.

        Raises:
            GoldwireError: waiting mends nothing, or it has lasted too long.
        """
        self._noted = cursor.unopened
        failures, began_at = 0, self._clock.monotonic()
        while not self._stop.asked:
            if await self._connection.open():
                await self._note(cursor, None)
                return True
            failures += 1
            if not self._stop.asked:
                await self._note(cursor, self._connection.closed_because)
                self._refuse_if_endless(began_at)
                await self._stop.unless(self._clock.sleep(backoff_seconds(self._settings, failures, self._random)))
        return False

    def _refuse_if_endless(self, began_at: float) -> None:
        limit_seconds = self._settings.outage_limit_seconds
        if self._clock.monotonic() - began_at > limit_seconds:
            raise TargetRefusedError(
                f"it could not be opened for longer than `delivery: {{outage_limit_seconds: {limit_seconds:g}}}` allows: "
                f"{self._connection.closed_because}"
            )

    async def gave_up(self, cursor: Cursor, error: ConfigError) -> None:
        """Keep that waiting mends nothing, whether the target found that out as it opened or later."""
        await self._note(cursor, str(error))

    async def _note(self, cursor: Cursor, reason: str | None) -> None:
        if self._noted != reason:
            await self._call(self._store.note_unopened, cursor.target, cursor.epoch, reason, self._clock.now())
            self._noted = reason


def _why(error: Exception) -> str:
    """Say why a target does not open; of an error that is not the system's own only the type, because it may quote anything."""
    own = isinstance(error, OSError) and type(error).__module__ == "builtins"
    return (str(error) if own else "") or type(error).__name__


def _cancelled_from_outside() -> bool:
    """Return whether this task was cancelled; else work of the target's own was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _sound(answer: Outcome) -> Outcome:
    """Return an outcome as the relay may keep it; what the type checker promises, a third party's code need not hold."""
    if type(answer) not in _OUTCOMES:
        return Unknown(f"the target answered {type(answer).__name__}, which is no outcome")
    if isinstance(answer, Duplicate) and answer.held is not None and type(answer.held) is not TakenEvent:
        return Unknown("the target answered of what it holds, and that is no event")
    if isinstance(answer, Delivered | Duplicate):
        if answer.remote_id is None or type(answer.remote_id) is str:
            return answer
        return Unknown("the target answered a remote id that is no text")
    if isinstance(answer, Throttled):
        return answer if _is_a_wait(answer.wait_seconds) else Throttled()
    return answer if type(answer.reason) is str else replace(answer, reason="the target gave no reason")


def _is_a_wait(wait_seconds: object) -> bool:
    # A wait of zero, asked for again and again, would let the relay spin.
    return isinstance(wait_seconds, int | float) and 0.0 < wait_seconds < inf
