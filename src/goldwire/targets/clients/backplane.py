"""What a message says to any broker: key, id, properties and body, as the event itself or as CloudEvents 1.0.

Each backplane target puts these where its protocol has room for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import replace

from goldwire.errors import ConfigError
from goldwire.event.headers import KeyPart, message_id, partition_key, short, traceparent
from goldwire.targets.base import MOVES, Finding, Item
from goldwire.targets.settings import Settings, about

Envelope = Literal["event", "cloudevents-structured", "cloudevents-binary"]

STRUCTURED = "application/cloudevents+json; charset=utf-8"
"""Content type of the structured mode (CloudEvents JSON format 1.0, section 3)."""

_PATH_SIGN = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_AUTHORITY = (
    r"//(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?(?=[/?#]|\Z)"
)
_URI_REFERENCE = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))(?:{_AUTHORITY}|(?!//))"
    rf"(?:{_PATH_SIGN}|/)*(?:\?(?:{_PATH_SIGN}|[/?])*)?(?:\#(?:{_PATH_SIGN}|[/?])*)?"
)
"""`URI-reference` of RFC 3986, appendix A, but for the inside of an IP address in brackets."""

_NOTHING: dict[str, str] = {}

Partitions = (
    Annotated[
        int,
        about(
            "How many partitions there are; `goldwire target check` shows it. Set it: with any other number the target stops "
            "before it sends, since added partitions would take entities away from theirs.",
            ge=1,
        ),
    ]
    | None
)


class BackplaneSettings(Settings, frozen=True, kw_only=True):
    """What every backplane target takes as settings of its messages."""

    key: Annotated[
        tuple[KeyPart, ...],
        about(
            "What the partition key (session id) is made of, joined by colons; it must distinguish entities.",
            examples=[["entityType", "entityId"]],
            fixed=MOVES,
            min_length=1,
        ),
    ] = ("entityId",)
    envelope: Annotated[
        Envelope,
        about(
            "`event`: the body is the event as sealed. `cloudevents-structured`: a CloudEvents 1.0 object with the event as "
            "`data`. `cloudevents-binary`: the body is the event, the CloudEvents attributes are properties of the message."
        ),
    ] = "event"
    cloudevents_source: Annotated[
        str | None,
        about(
            "`source` of CloudEvents, a URI reference; without it `/goldwire/` and the target's name.",
            examples=["https://example.com/mdm"],
            advanced=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        if "entityId" not in self.key:
            raise ValueError("key must hold entityId, or the events of all entities would share one partition")
        # CloudEvents 1.0, section 3.1.1: a URI reference that is not empty. Its readers drop or refuse an event without one.
        if self.cloudevents_source is not None and not _is_uri_reference(self.cloudevents_source):
            raise ValueError(
                "cloudevents_source must be a URI reference (RFC 3986), such as https://example.com/mdm or /mdm; "
                "percent-encode blanks and signs that are not ASCII, or leave it out"
            )


def _is_uri_reference(text: str) -> bool:
    return bool(text) and _URI_REFERENCE.fullmatch(text) is not None


def refuse_growth(entity: str, found: int, declared: int | None) -> None:
    """Compare the number of partitions with the one in the settings.

    Args:
        entity: target and entity, as the error begins.
        found: what the broker reports.
        declared: of the settings; None: no check.

    Raises:
        ConfigError: they differ.
    """
    if declared not in {None, found}:
        raise ConfigError(
            f"{entity}: it has {found} partitions, but the settings say partitions: {declared}. If some were added: {MOVES}. "
            f"Deliver to a new destination under a new target name; or let consumers read to the end, then set "
            f"partitions: {found}"
        )


def partitions_finding(found: int, declared: int | None) -> Finding:
    """Return what a check says of the number of partitions.

    Args:
        found: what the broker reports.
        declared: of the settings.
    """
    if declared is None:
        text = f"{found}; set partitions: {found}, so that the target stops before added ones move entities"
        return Finding("partitions", "note", text)
    return Finding("partitions", "ok", f"{found}, as the settings say; with another number the target would stop")


class Shared(Struct, frozen=True, gc=False):
    """What the messages of one commit usually share: made once for all of them."""

    correlation_id: str
    subject: str
    properties: dict[str, str]
    """What no protocol has a field for, by the names of the wire format; but for `traceparent`."""
    headers: tuple[tuple[str, str], ...]
    """All of it, with the content type of a plain event, as a protocol wants it that knows nothing but headers."""


class Message(Struct, frozen=True, gc=False):
    """One event, ready for a protocol. Made from the item alone, so that a resend is the same message."""

    key: str
    """Partition key or session id; never empty, at most 128 characters."""
    id: str
    traceparent: str
    shared: Shared
    body: bytes
    content_type: str = "application/json"
    attributes: dict[str, str] = _NOTHING
    """CloudEvents attributes without `datacontenttype`, in binary mode; else empty. A protocol adds its prefix."""

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, bytes={len(self.body)})"

    def __rich_repr__(self) -> list[tuple[str, str | int]]:
        return [("id", self.id), ("bytes", len(self.body))]

    @property
    def properties(self) -> dict[str, str]:
        """What no protocol has a field for, by the names of the wire format; empty in CloudEvents' binary mode."""
        return _NOTHING if self.attributes else {"traceparent": self.traceparent, **self.shared.properties}


def renderer(name: str, settings: BackplaneSettings, *, id_suffix: str | None = None) -> Callable[[Item], Message]:
    """Return what makes messages for a target.

    Args:
        name: the target's.
        settings: its key and envelope.
        id_suffix: what its message ids end in, to distinguish them from another target's.
    """
    source = settings.cloudevents_source or f"/goldwire/{name}"
    envelope, parts = settings.envelope, settings.key
    by_id = parts == ("entityId",)

    def render(item: Item) -> Message:
        event = item.event
        id_ = message_id(event, suffix=id_suffix)
        plain = Message(
            short(event.entity_id) if by_id else partition_key(event, parts),
            id_ if item.replay_id is None else message_id(event, item.replay_id, suffix=id_suffix),
            traceparent(event, id_),
            _shared(event.correlation_id, event.entity_type, event.event_type, event.classification, event.retention_days),
            event.body,
        )
        return plain if envelope == "event" else _cloudevent(plain, item, source, binary=envelope == "cloudevents-binary")

    return render


@lru_cache(1_024)
def _shared(correlation_id: str, entity_type: str, event_type: str, classification: str, retention_days: int | None) -> Shared:
    subject = f"{entity_type}.{event_type}"
    properties = {}
    if classification:
        properties["classification"] = classification
    if retention_days is not None:
        properties["retention-days"] = str(retention_days)
    named = {"correlationId": correlation_id, "contentType": "application/json", "subject": subject, **properties}
    return Shared(correlation_id, subject, properties, tuple(named.items()))


def cloudevents_attributes(message: Message, item: Item, source: str) -> dict[str, str]:
    """Return the attributes of an event as CloudEvents 1.0 names them, but for `datacontenttype`.

    Extensions are the documented ones: `partitionkey` (partitioning), `traceparent` (distributed tracing); `correlationid`,
    `classification` and `retentiondays` carry the wire format's headers. Names are lower-case letters and digits (section 3.1.1
    of the specification).
    """
    found = {
        "specversion": "1.0",
        "id": message.id,
        "source": source,
        "type": f"goldwire.{item.event.event_type}",
        "subject": message.shared.subject,
        "time": item.event.timestamp,
        "partitionkey": message.key,
        "correlationid": message.shared.correlation_id,
    }
    found.update({name.replace("-", ""): value for name, value in message.properties.items()})
    return {name: value for name, value in found.items() if value}


def _cloudevent(plain: Message, item: Item, source: str, *, binary: bool) -> Message:
    attributes = cloudevents_attributes(plain, item, source)
    content_type, body = plain.content_type, plain.body
    if not binary:
        head = json.dumps({**attributes, "datacontenttype": content_type}, ensure_ascii=False, separators=(",", ":"))
        # The event's own bytes stay as they were sealed: a reader may verify its hash from `data`.
        body = b"".join((head[:-1].encode(), b',"data":', body, b"}"))
        content_type = STRUCTURED
    return replace(plain, body=body, content_type=content_type, attributes=attributes if binary else _NOTHING)


def too_large(message_bytes: int, limit_bytes: int, fix: str) -> str:
    """Return the reason of a message that is too large: its size without properties, the limit and the fix."""
    if message_bytes <= limit_bytes:
        return f"the message has {message_bytes:,} bytes, with its properties more than the {limit_bytes:,} that fit; {fix}"
    return f"the message has {message_bytes:,} bytes, more than the {limit_bytes:,} that fit; {fix}"


def headers_of(message: Message) -> Sequence[tuple[str, str]]:
    """Return all that goes beside key and body in a protocol that has headers only, such as Kafka.

    CloudEvents' Kafka binding 1.0.2: `content-type`, and in binary mode the prefix `ce_`.
    """
    if message.attributes:
        return [("content-type", message.content_type), *((f"ce_{name}", text) for name, text in message.attributes.items())]
    named = [("messageId", message.id), ("traceparent", message.traceparent), *message.shared.headers]
    if message.content_type == STRUCTURED:
        named = [("content-type", STRUCTURED) if name == "contentType" else (name, text) for name, text in named]
    return named


def application_properties_of(message: Message) -> dict[str, str]:
    """Return AMQP's application properties; id, subject, content type and correlation id have fields of their own.

    CloudEvents' AMQP binding 1.0.2: the prefix `cloudEvents_`, which also JMS accepts.
    """
    if message.attributes:
        return {f"cloudEvents_{name}": text for name, text in message.attributes.items()}
    return message.properties
