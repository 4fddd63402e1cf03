"""A message as it came from a broker, and what its headers must say of the event in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from goldwire_consumer.errors import MislabelledError, UnreadableError
from goldwire_consumer.event import Event, parse

ID_CHARACTERS_MAX = 128
"""A longer message id travels as a hash, because Service Bus takes no more."""

_CLOUD_EVENT = "application/cloudevents+json"
_CLOUD_PREFIX = re.compile(r"\A(ce[_-]|cloudEvents[_:])")
_NAMES = {
    "messageid": "messageId", "message-id": "messageId", "subject": "subject", "contenttype": "contentType",
    "content-type": "contentType", "correlationid": "correlationId", "correlation-id": "correlationId",
    "retentiondays": "retention-days",
}  # fmt: skip
_CLOUD_NAMES = _NAMES | {"id": "messageId"}
"""A header with the bare name `id`, without the prefix of CloudEvents, belongs to another program."""


class Position(NamedTuple):
    """How far one partition was processed, where the subscriber's own database keeps it."""

    source: str
    """Which stream of the broker, e.g. namespace, hub and consumer group."""
    partition: str
    offset: str
    """As the broker writes it."""
    sequence: int


class Message(Struct, frozen=True, kw_only=True):
    """What a broker delivered."""

    body: bytes
    headers: Mapping[str, str] = {}
    """By their names in the wire format: `messageId`, `subject`, `contentType`, …; what is not there is not checked."""
    source: str = ""
    """Where it came from, for people: `customers/3@1742`."""
    position: Position | None = None
    """Kept in the transaction that applies it."""

    def __repr__(self) -> str:
        return f"Message({self.source})"


class _CloudEvent(Struct):
    """A CloudEvent in structured mode (CloudEvents 1.0, JSON event format, section 3.1)."""

    specversion: str
    id: str
    data: Raw


def wire_headers(*groups: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return headers as texts by their names in the wire format, whatever SDK and envelope make of them.

    CloudEvents in binary mode name the id and the subject by a prefix: `ce_` over Kafka and HTTP, `cloudEvents_` or
    `cloudEvents:` over AMQP (its protocol bindings, section 3.1).

    Args:
        groups: names and values, each bytes, text or a number; empty ones are left out, later groups win.
    """
    found = {}
    for group in groups:
        for name, value in (group or {}).items():
            if value is not None and value not in {b"", ""}:
                plain = _text(name)
                bare = _CLOUD_PREFIX.sub("", plain)
                names = _NAMES if bare == plain else _CLOUD_NAMES
                found[names.get(bare.lower(), plain)] = _text(value)
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def read(message: Message) -> Event:
    """Read and verify the event in a message, and check its headers; a CloudEvent in structured mode is unpacked.

    Raises:
        UnreadableError: there is no event in it.
        AlteredError: the event is not the one that was sealed.
        MislabelledError: the headers belong to another event.
    """
    headers = message.headers
    if not headers.get("contentType", "").lower().startswith(_CLOUD_EVENT):
        event = parse(message.body)
        check_headers(event, headers)
        return event
    try:
        wrapped = msgspec.json.decode(message.body, type=_CloudEvent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableError("no CloudEvent with an event as its data") from None
    event = parse(bytes(wrapped.data))
    check_headers(event, {"messageId": wrapped.id, **{name: headers[name] for name in headers if name != "contentType"}})
    return event


def check_headers(event: Event, headers: Mapping[str, str]) -> None:
    """Check what travels beside an event against it.

    Args:
        event: the event.
        headers: those that there are.

    Raises:
        MislabelledError: one of them says something else.
    """
    subject = f"{event.entity_type}.{event.event_type}"
    if headers.get("contentType", "application/json").partition(";")[0].strip().lower() != "application/json":
        raise _mislabelled(event, "header contentType is not application/json")
    if headers.get("subject", subject) != subject:
        raise _mislabelled(event, f"header subject is not {subject}")
    if "messageId" in headers and not _is_id_of(headers["messageId"], event):
        raise _mislabelled(event, "header messageId is that of another event")


def _mislabelled(event: Event, fault: str) -> MislabelledError:
    return MislabelledError(f"entity {event.entity_id}, version {event.version}: {fault}", event.entity_id, event.version)


def _is_id_of(message_id: str, event: Event) -> bool:
    plain = _short(f"{event.entity_type}:{event.entity_id}:{event.version}")
    # the id of a replay (`~` and the replay's own id) can be too long, and is then a hash that only its sender can make
    return message_id == plain or message_id.startswith((f"{plain}~", "sha256:"))


def _short(text: str) -> str:
    return text if len(text) <= ID_CHARACTERS_MAX else f"sha256:{sha256(text.encode()).hexdigest()}"
