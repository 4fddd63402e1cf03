"""What a message says to any broker: key, id, properties and body, as the event itself or as CloudEvents 1.0.

Each backplane target puts these where its protocol has room for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import replace

from goldwire.errors import ConfigError
from goldwire.event.headers import KeyPart, message_id, partition_key, short, traceparent
from goldwire.targets.base import MOVES, Finding, Item
from goldwire.targets.clients.cloudevents import (
    STRUCTURED,
    CloudEventsDataSchema,
    CloudEventsSource,
    check_uris,
    cloudevents_attributes,
    source_of,
    structured,
)
from goldwire.targets.settings import Settings, about

Envelope = Literal["event", "cloudevents-structured", "cloudevents-binary"]

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
    cloudevents_source: CloudEventsSource = None
    cloudevents_dataschema: CloudEventsDataSchema = None

    def __post_init__(self) -> None:
        if "entityId" not in self.key:
            raise ValueError("key must hold entityId, or the events of all entities would share one partition")
        check_uris(self.cloudevents_source, self.cloudevents_dataschema)


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
    source, data_schema = source_of(name, settings.cloudevents_source), settings.cloudevents_dataschema
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
        return (
            plain
            if envelope == "event"
            else _cloudevent(plain, item, source, data_schema, binary=envelope == "cloudevents-binary")
        )

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


def _cloudevent(plain: Message, item: Item, source: str, data_schema: str | None, *, binary: bool) -> Message:
    attributes = cloudevents_attributes(
        item.event, id_=plain.id, source=source, key=plain.key, traceparent=plain.traceparent, data_schema=data_schema
    )
    if binary:
        return replace(plain, attributes=attributes)
    return replace(plain, body=structured(attributes, plain.body), content_type=STRUCTURED)


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
