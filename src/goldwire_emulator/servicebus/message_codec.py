"""Between the encoded AMQP message and what the broker knows of it: read on its way in, completed on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from goldwire_emulator.amqp import message as amqp
from goldwire_emulator.amqp.composite import composed, described
from goldwire_emulator.amqp.decoder import DecodeError, decode
from goldwire_emulator.amqp.encoder import encode
from goldwire_emulator.amqp.performatives import Header, Properties
from goldwire_emulator.amqp.values import Described, Int, Timestamp, ULong
from goldwire_emulator.broker.message import Edits, MessageState, NewMessage, StoredMessage

SCHEDULED = "x-opt-scheduled-enqueue-time"
PARTITION_KEY = "x-opt-partition-key"
_LONGEST_MS = 0xFFFFFFFF
"""A header's time to live is 32 bits wide: a longer one follows from the properties' two times."""
_EVER_MS = 10_000 * 366 * 24 * 3_600_000
"""The longest life that the codec counts with."""
_LARGEST_LONG = (1 << 63) - 1
_BY_PROPERTY = {
    "message_id": "message_id",
    "correlation_id": "correlation_id",
    "content_type": "content_type",
    "label": "subject",
    "to": "to",
    "reply_to": "reply_to",
    "reply_to_session_id": "reply_to_group_id",
    "session_id": "group_id",
}
"""The broker's name of a system property, and AMQP's."""


def read(payload: bytes) -> NewMessage:
    """Return what the broker must know of a message that was sent.

    Raises:
        DecodeError: the bytes hold no message.
    """
    found: dict[int, Any] = {}
    for code, start, _ in amqp.sections(payload):
        if code >= amqp.DATA:
            break
        if code != amqp.DELIVERY_ANNOTATIONS:
            content, _ = decode(payload, start)
            found[code] = composed(Described(ULong(code), content)) if code in {amqp.HEADER, amqp.PROPERTIES} else content
    header, properties = found.get(amqp.HEADER) or Header(), found.get(amqp.PROPERTIES) or Properties()
    annotations = found.get(amqp.MESSAGE_ANNOTATIONS) or {}
    system = {name: getattr(properties, theirs) for name, theirs in _BY_PROPERTY.items()}
    system["partition_key"] = annotations.get(PARTITION_KEY)
    due = annotations.get(SCHEDULED)
    if due is not None and not isinstance(due, int):
        raise DecodeError(f"{SCHEDULED} is no time")
    return NewMessage(
        payload=payload,
        system={name: _text(value) for name, value in system.items() if value is not None},
        application={str(_text(name)): _plain(value) for name, value in (found.get(amqp.APPLICATION_PROPERTIES) or {}).items()},
        time_to_live_ms=_time_to_live(header, properties),
        due_at_ms=due,
    )


def _time_to_live(header: Header, properties: Properties) -> int | None:
    if header.ttl is not None and header.ttl < _LONGEST_MS:
        return int(header.ttl)
    if properties.absolute_expiry_time is None or properties.creation_time is None:
        return None if header.ttl is None else int(header.ttl)
    return max(0, min(int(properties.absolute_expiry_time) - int(properties.creation_time), _EVER_MS))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """The value as rules compare it: the types of AMQP are Python's with other names."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value.isoformat() if isinstance(value, datetime) else _text(value)


def _wire(value: Any) -> Any:
    """The value as it is written: a whole number that is no long was an unsigned one."""
    return ULong(value) if type(value) is int and value > _LARGEST_LONG else value


def write(message: StoredMessage, *, locked_until_ms: int | None = None) -> bytes:
    """Return a message as a receiver gets it.

    Args:
        message: from the broker.
        locked_until_ms: when its lock ends; the message shows it only where it has a lock of its own.
    """
    payload = _edited(message.payload, message.edits)
    annotations: dict[str, Any] = {
        "x-opt-sequence-number": message.sequence_number,
        "x-opt-enqueue-sequence-number": message.origin_sequence_number,
        "x-opt-enqueued-time": Timestamp(message.enqueued_at_ms),
        "x-opt-message-state": Int(message.state),
    }
    if locked_until_ms is not None:
        annotations["x-opt-locked-until"] = Timestamp(locked_until_ms)
    if message.state is MessageState.SCHEDULED and message.due_at_ms is not None:
        annotations[SCHEDULED] = Timestamp(message.due_at_ms)
    if message.dead_letter_source is not None:
        annotations["x-opt-deadletter-source"] = message.dead_letter_source
    return amqp.annotated(payload, annotations, header=_header(message))


def _header(message: StoredMessage) -> Header:
    sent = amqp.section(message.payload, amqp.HEADER) or Header()
    life = sent.ttl if message.time_to_live_ms is None else min(message.time_to_live_ms, _LONGEST_MS)
    return Header(
        durable=sent.durable,
        priority=sent.priority,
        ttl=life,
        first_acquirer=message.delivery_count == 0,
        delivery_count=message.delivery_count,
    )


def _edited(payload: bytes, edits: Edits) -> bytes:
    """The message with its properties changed; all other sections stay byte for byte."""
    if not edits:
        return payload
    before, after, begin = bytearray(), bytearray(), 0
    held: dict[int, Any] = {amqp.PROPERTIES: Properties(), amqp.APPLICATION_PROPERTIES: {}}
    for code, start, end in amqp.sections(payload):
        if code in held:
            content, _ = decode(payload, start)
            held[code] = composed(Described(ULong(code), content)) if code == amqp.PROPERTIES else content or {}
        else:
            (before if code < amqp.PROPERTIES else after).extend(payload[begin:end])
        begin = end
    properties = held[amqp.PROPERTIES]
    for name, value in edits.system.items():
        if name in _BY_PROPERTY:
            setattr(properties, _BY_PROPERTY[name], value)
    kept = {name: value for name, value in held[amqp.APPLICATION_PROPERTIES].items() if _text(name) not in edits.removed}
    changed = {name: _wire(value) for name, value in edits.application.items()}
    application = Described(ULong(amqp.APPLICATION_PROPERTIES), {**kept, **changed})
    return bytes(before) + encode(described(properties)) + encode(application) + bytes(after)


def edits_from(properties: Mapping[Any, Any] | None) -> Edits:
    """What a receiver changed on a message while settling it."""
    return Edits(application={_text(name): _plain(value) for name, value in (properties or {}).items()})


def as_uuid(value: Any) -> UUID:
    """A lock token as it stands in a request."""
    return value if isinstance(value, UUID) else UUID(bytes_le=bytes(value))
