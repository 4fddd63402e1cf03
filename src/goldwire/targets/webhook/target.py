"""Target kind `webhook`: POSTs events to a URL, signed as Standard Webhooks, one by one or in arrays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import field

from goldwire.clock import Clock
from goldwire.errors import ConfigError, TargetRefusedError
from goldwire.targets.base import Finding, Item, Outcome, Rejected, Unavailable, Unknown
from goldwire.targets.clients.http import HttpClient, NoAnswerError, NotSentError, Reply, is_loopback
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import Settings, about
from goldwire.targets.webhook.answer import GONE, SPEAKS_OF_THE_BODY, named_fields, outcomes_of
from goldwire.targets.webhook.message import Signer, array, single

_ISOLATION_REQUESTS = 40
"""How many more requests one refused array may cost to find the events at fault: enough for one or two in a thousand."""

_REFUSALS = 400
"""The least status that is no success."""


class WebhookSettings(Settings, frozen=True):
    """Where and how a `webhook` target posts."""

    url: Annotated[
        str,
        about("Where to POST.", examples=["https://example.com/golden", "${env:RECEIVER_URL}"], url=True, pattern="^https?://"),
    ]
    batch: Annotated[
        Literal["single", "array"], about("`single`: one event a request; `array`: a JSON array of events a request.")
    ] = "single"
    array_size: Annotated[int, about("The most events in one array.", ge=1, le=1_000)] = 100
    answer: Annotated[
        Literal["status", "results"],
        about(
            "`status`: any 2xx means that all events of the request are taken. `results`: a 2xx must carry "
            '{"results":[{"status":"ok"},…]}, one for each event, of ok, duplicate, rejected, throttled or unavailable.'
        ),
    ] = "status"
    on_conflict: Annotated[
        Literal["reject", "duplicate"],
        about("What 409 means: the event is refused, or the receiver held this version or a newer one already."),
    ] = "reject"
    on_page: Annotated[
        Literal["unknown", "delivered"],
        about(
            "What a web page with a 2xx means, where `answer` is `status`: `unknown`, so that the event is sent again, because "
            "log-in pages and wrong addresses answer so; `delivered`, for a receiver that really answers in HTML.",
            advanced=True,
        ),
    ] = "unknown"
    signing_secrets: Annotated[
        tuple[str, ...],
        about(
            "Each `whsec_` and base64. Several while the receiver moves from one to the next: it accepts any signature.",
            examples=[["${env:WEBHOOK_SECRET}"]],
            secret=True,
        ),
    ] = ()
    bearer_token: Annotated[str | None, about("Sent as `Authorization: Bearer …`.", secret=True)] = None
    headers: Annotated[dict[str, str], about("Further headers.", examples=[{"x-api-key": "${env:KEY}"}], secret=True)] = field(
        default_factory=dict
    )
    idempotency_header: Annotated[
        str | None, about("Header that repeats the webhook-id, for receivers that look there.", examples=["Idempotency-Key"])
    ] = None
    connections: Annotated[int, about("Requests of one send that are under way at once.", ge=1, le=1_000)] = 16
    timeout_seconds: Annotated[float, about("For one request, from connecting to the last byte of the answer.", gt=0)] = 20.0
    connect_timeout_seconds: Annotated[float, about("For connecting alone.", gt=0, advanced=True)] = 5.0
    answer_limit_bytes: Annotated[int, about("A longer answer counts as none.", ge=1_000, advanced=True)] = 1_000_000
    plain_http: Annotated[
        bool, about("Allow http:// to another machine: everything can then be read on the way.", advanced=True)
    ] = False
    ca_file: Annotated[str | None, about("PEM file of further certificate authorities to trust.", advanced=True, path=True)] = (
        None
    )

    def __post_init__(self) -> None:
        if self.url.startswith("http://") and not self.plain_http and not is_loopback(self.url):
            raise ValueError("url must begin with https://, unless plain_http is true")
        Signer(self.signing_secrets)
        token = self.bearer_token or ""
        if not (token.isascii() and token.isprintable()):
            raise ValueError("bearer_token has characters that a header cannot carry, such as a line break")
        for name, value in self.headers.items():
            if not _is_header(name) or not (value.isascii() and value.isprintable()):
                raise ValueError("headers: a name or a value has characters that a header cannot carry")


@target_kind("webhook", settings=WebhookSettings)
class WebhookTarget:
    """One POST an event or an array, over connections that stay open. The events of one send go in parallel."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: WebhookSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._signer = Signer(settings.signing_secrets)
        self._fixed = {key.lower(): value for key, value in settings.headers.items()}
        if settings.bearer_token is not None:
            self._fixed["authorization"] = f"Bearer {settings.bearer_token}"
        self._client: HttpClient | None = None
        self._gone: str | None = None
        """Why the receiver wants nothing more, once it said so."""

    async def open(self) -> None:
        """Make the client ready; a connection is made by the first send.

        Raises:
            ConfigError: `ca_file` cannot be read or holds no certificates.
        """
        await self.close()
        self._client = HttpClient(
            timeout_seconds=self.settings.timeout_seconds,
            connect_timeout_seconds=self.settings.connect_timeout_seconds,
            answer_limit_bytes=self.settings.answer_limit_bytes,
            proxied=not is_loopback(self.settings.url),
            ca_certificates_pem=self._authorities(),
        )

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Post the items. An array that is refused as a whole is halved until the events at fault are found.

        Raises:
            TargetRefusedError: the receiver is gone for good.
        """
        self._gone = None
        outcomes = await self._post_all(items)
        if self._gone is not None:
            raise TargetRefusedError(self._gone)
        return outcomes

    async def _post_all(self, items: Sequence[Item]) -> list[Outcome]:
        if not items:
            return []
        size = self.settings.array_size if self.settings.batch == "array" else 1
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
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def check(self) -> Sequence[Finding]:
        """Ask the receiver for its options, which writes nothing (RFC 9110, section 9.3.7): does anything listen?"""
        client = self._client
        assert client is not None, "check before open"
        try:
            reply = await client.request("OPTIONS", self.settings.url, self._fixed, b"")
        except NotSentError as error:
            return [Finding("receiver", "fix", f"cannot be reached: {error}; mend `url`, or start it")]
        except NoAnswerError as error:
            return [Finding("receiver", "note", f"something listens, and gave no whole answer to OPTIONS: {error}")]
        if reply.status == GONE:
            return [Finding("receiver", "fix", f"is gone for good: {reply.described()}; mend `url`, or remove the target")]
        text = f"listens, and answers {reply.described()} to OPTIONS; whether it takes events shows with the first one"
        return [Finding("receiver", "note" if reply.status >= _REFUSALS else "ok", text)]

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
        client = self._client
        assert client is not None, "send before open"
        if self.settings.batch == "array":
            headers, body = array(items)
        else:
            headers, body = single(items[0])
        id_, now = headers["webhook-id"], self._clock.now()
        headers["webhook-timestamp"] = str(int(now))
        if self.settings.signing_secrets:
            headers["webhook-signature"] = self._signer.sign(id_, int(now), body)
        if self.settings.idempotency_header is not None:
            headers[self.settings.idempotency_header] = id_
        try:
            reply = await client.request("POST", self.settings.url, {**headers, **self._fixed}, body)
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
        return outcomes, reply.status in SPEAKS_OF_THE_BODY

    def _authorities(self) -> bytes | None:
        if self.settings.ca_file is None:
            return None
        try:
            pem = Path(self.settings.ca_file).read_bytes()
        except OSError as error:
            raise ConfigError(f"target '{self.name}': ca_file cannot be read ({error.strerror})") from None
        if b"BEGIN CERTIFICATE" not in pem:
            raise ConfigError(f"target '{self.name}': ca_file holds no certificate in PEM form")
        return pem


def _at_fault(reply: Reply, item: Item) -> list[str]:
    """Return which attributes of an event a refusal names."""
    changes = msgspec.json.decode(item.event.body).get("changes", {})
    return named_fields(reply, changes.get("attributes", {}))


def _halves(start: int, stop: int) -> list[tuple[int, int]]:
    middle = (start + stop) // 2
    return [(start, middle), (middle, stop)]


def _is_header(name: str) -> bool:
    return bool(name) and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
