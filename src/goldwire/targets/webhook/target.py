"""Target kind `webhook`: POSTs events to a URL, signed as Standard Webhooks, one by one or in arrays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

import msgspec

from goldwire.clock import Clock
from goldwire.errors import TargetRefusedError
from goldwire.targets.base import Finding, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.targets.clients.http import CertificateRefusedError, NoAnswerError, NotSentError, Reply
from goldwire.targets.registry import target_kind
from goldwire.targets.webhook.answer import GONE, SPEAKS_OF_THE_BODY, named_fields, outcomes_of
from goldwire.targets.webhook.channel import webhook_channel
from goldwire.targets.webhook.connection import ReceiverConnection
from goldwire.targets.webhook.message import renderer
from goldwire.targets.webhook.settings import WebhookSettings
from goldwire.targets.webhook.signature import Signer

_ISOLATION_REQUESTS = 40
"""How many more requests one refused array may cost to find the events at fault: enough for one or two in a thousand."""

_REFUSALS = 400
"""The least status that is no success."""


@target_kind("webhook", settings=WebhookSettings, channel=webhook_channel)
class WebhookTarget:
    """One POST an event or an array, over connections that stay open. The events of one send go in parallel."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: WebhookSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._signer = Signer(settings.signing_secrets)
        self._render = renderer(name, settings)
        self._fixed = {key.lower(): value for key, value in settings.headers.items()}
        if settings.bearer_token is not None:
            self._fixed["authorization"] = f"Bearer {settings.bearer_token}"
        self._connection = ReceiverConnection(name, settings, clock)
        self._gone: str | None = None
        """Why the receiver wants nothing more, once it said so."""

    async def open(self) -> None:
        """Make ready; a connection is made by the first send.

        Raises:
            ConfigError: `ca_file`, `certificate_file` or `key_file` cannot be used.
            OSError: the client certificate has expired.
        """
        await self._connection.open()

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Post the items. An array that is refused as a whole is halved until the events at fault are found.

        Raises:
            TargetRefusedError: the receiver is gone for good.
        """
        self._gone = None
        await self._connection.renew()
        outcomes = await self._post_all(items)
        if self._gone is not None:
            raise TargetRefusedError(self._gone)
        return outcomes

    async def _post_all(self, items: Sequence[Item]) -> list[Outcome]:
        if not items:
            return []
        size = self.settings.array_size if self.settings.in_arrays else 1
        if len(items) <= size:
            return await self._post_isolating(items)
        outcomes: dict[int, list[Outcome]] = {}
        starts = iter(range(0, len(items), size))

        async def work() -> None:
            for start in starts:
                outcomes[start] = await self._post_isolating(items[start : start + size])

        async with asyncio.TaskGroup() as group:
            for _ in islice(range(0, len(items), size), self.settings.connections):
                group.create_task(work())
        return [outcome for start in sorted(outcomes) for outcome in outcomes[start]]

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def check(self) -> Sequence[Finding]:
        """Report until when the client certificate is valid, and whether anything listens: a POST would be an event."""
        return [*self._connection.findings(), await self._listens()]

    async def _listens(self) -> Finding:
        """Ask the receiver for its options, which writes nothing (RFC 9110, section 9.3.7)."""
        try:
            reply = await self._connection.request("OPTIONS", self._fixed, b"")
        except CertificateRefusedError as error:
            return Finding("receiver", "fix", f"does not accept the client certificate: {error}; mend `certificate_file`")
        except NotSentError as error:
            return Finding("receiver", "fix", f"cannot be reached: {error}; mend `url`, or start it")
        except NoAnswerError as error:
            return Finding("receiver", "note", f"something listens, and gave no whole answer to OPTIONS: {error}")
        if reply.status == GONE:
            return Finding("receiver", "fix", f"is gone for good: {reply.described()}; mend `url`, or remove the target")
        text = f"listens, and answers {reply.described()} to OPTIONS; whether it takes events shows with the first one"
        return Finding("receiver", "note" if reply.status >= _REFUSALS else "ok", text)

    async def _post_isolating(self, items: Sequence[Item]) -> list[Outcome]:
        answered, refused = await self._post(items)
        if not refused or len(items) == 1:
            return answered
        outcomes = list(answered)
        left = _ISOLATION_REQUESTS
        waiting = _halves(0, len(items))
        while waiting:
            start, stop = waiting.pop(0)
            if left == 0:
                # So many refusals are not about single events: the relay comes back with what is left.
                untried = Unavailable("the receiver refuses the array it was in; not tried alone so far")
                outcomes[start:stop] = [untried] * (stop - start)
                continue
            left -= 1
            answered, refused = await self._post(items[start:stop])
            outcomes[start:stop] = answered
            if refused and stop - start > 1:
                waiting = _halves(start, stop) + waiting
        return outcomes

    async def _post(self, items: Sequence[Item]) -> tuple[list[Outcome], bool]:
        """Send one request; also return whether it was refused for its content as a whole."""
        headers, body = self._render(items)
        id_, now = headers["webhook-id"], self._clock.now()
        headers["webhook-timestamp"] = str(int(now))
        if self.settings.signing_secrets:
            headers["webhook-signature"] = self._signer.sign(id_, int(now), body)
        if self.settings.idempotency_header is not None:
            headers[self.settings.idempotency_header] = id_
        try:
            reply = await self._connection.request("POST", {**headers, **self._fixed}, body)
        except CertificateRefusedError as error:
            reason = f"the receiver does not accept the client certificate: {error}; mend `certificate_file`"
            return [Unavailable(reason)] * len(items), False
        except NotSentError as error:
            return [Unavailable(f"the receiver cannot be reached: {error}")] * len(items), False
        except NoAnswerError as error:
            return [Unknown(f"no whole answer from the receiver: {error}")] * len(items), False
        if reply.status == GONE:
            self._gone = f"the receiver is gone for good: {reply.described()}; mend `url`, or remove the target"
        outcomes = outcomes_of(
            reply,
            len(items),
            now=self._clock.now(),
            expects_results=self.settings.answer == "results",
            on_conflict=self.settings.on_conflict,
            on_page=self.settings.on_page,
        )
        if len(items) == 1 and isinstance(outcomes[0], Rejected) and (named := _at_fault(reply, items[0])):
            outcomes = [Rejected(f"{outcomes[0].reason}; it names {', '.join(named)}")]
        return outcomes, reply.status in SPEAKS_OF_THE_BODY and not isinstance(outcomes[0], Unavailable)


def _at_fault(reply: Reply, item: Item) -> list[str]:
    """Return which attributes of an event a refusal names."""
    changes = msgspec.json.decode(item.event.body).get("changes", {})
    return named_fields(reply, changes.get("attributes", {}))


def _halves(start: int, stop: int) -> list[tuple[int, int]]:
    middle = (start + stop) // 2
    return [(start, middle), (middle, stop)]
