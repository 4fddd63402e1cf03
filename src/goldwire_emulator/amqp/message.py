"""Messages: sections, batches, and how a section is changed without touching the rest.

A broker keeps the bare message byte for byte: here sections are cut out and put in by position, and only what is asked for is
decoded. Source: OASIS AMQP 1.0 part 3, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from goldwire_emulator.amqp.composite import as_is, composed, described
from goldwire_emulator.amqp.decoder import DecodeError, decode, skip
from goldwire_emulator.amqp.encoder import compound, encode, write
from goldwire_emulator.amqp.performatives import Header, Properties
from goldwire_emulator.amqp.values import Described, Symbol, ULong

BATCH_FORMAT = 0x80013700
"""The message format of Microsoft's batches: every data section is one whole encoded message."""

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS = 0x70, 0x71, 0x72
PROPERTIES, APPLICATION_PROPERTIES = 0x73, 0x74
DATA, SEQUENCE, VALUE, FOOTER = 0x75, 0x76, 0x77, 0x78

_NAMES: dict[str, int] = {
    "amqp:header:list": HEADER,
    "amqp:delivery-annotations:map": DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": MESSAGE_ANNOTATIONS,
    "amqp:properties:list": PROPERTIES,
    "amqp:application-properties:map": APPLICATION_PROPERTIES,
    "amqp:data:binary": DATA,
    "amqp:amqp-sequence:list": SEQUENCE,
    "amqp:amqp-value:*": VALUE,
    "amqp:footer:map": FOOTER,
}


class Message(Struct):
    """A message with its sections as Python values."""

    header: Header | None = None
    delivery_annotations: dict[Any, Any] = {}
    message_annotations: dict[Any, Any] = {}
    properties: Properties | None = None
    application_properties: dict[Any, Any] = {}
    data: list[bytes] = []
    """The data sections."""
    sequences: list[list[Any]] = []
    """The sequence sections."""
    value: Any = None
    """The body, if it is neither data nor sequences."""
    footer: dict[Any, Any] = {}

    @classmethod
    def decode(cls, payload: bytes) -> Message:
        """Return the message that bytes hold.

        Raises:
            DecodeError: they hold none.
        """
        message = cls()
        for code, start, _ in sections(payload):
            message._take(code, _content(payload, code, start))
        return message

    def _take(self, code: int, content: Any) -> None:
        if code == DATA:
            self.data.append(content)
        elif code == SEQUENCE:
            self.sequences.append(content)
        elif code in {HEADER, PROPERTIES}:
            setattr(self, "header" if code == HEADER else "properties", composed(Described(ULong(code), content)))
        elif code == VALUE:
            self.value = content
        else:
            setattr(self, _MAPS[code], content or {})

    def encode(self) -> bytes:
        """Return the message's bytes; empty sections are left out, but for a null value where there is no other body."""
        out = bytearray()
        if self.header is not None:
            write(out, described(self.header))
        _write_map(out, DELIVERY_ANNOTATIONS, _symbolic(self.delivery_annotations))
        _write_map(out, MESSAGE_ANNOTATIONS, _symbolic(self.message_annotations))
        if self.properties is not None:
            write(out, described(self.properties))
        _write_map(out, APPLICATION_PROPERTIES, self.application_properties)
        for data in self.data:
            write(out, Described(ULong(DATA), data))
        for sequence in self.sequences:
            write(out, Described(ULong(SEQUENCE), sequence))
        if not self.data and not self.sequences:
            write(out, Described(ULong(VALUE), as_is(self.value)))
        _write_map(out, FOOTER, _symbolic(self.footer))
        return bytes(out)


_LISTS = frozenset({HEADER, PROPERTIES, SEQUENCE})
_MAPS = {
    DELIVERY_ANNOTATIONS: "delivery_annotations",
    MESSAGE_ANNOTATIONS: "message_annotations",
    APPLICATION_PROPERTIES: "application_properties",
    FOOTER: "footer",
}


def sections(payload: bytes) -> Iterable[tuple[int, int, int]]:
    """Yield each section's code, where its content begins (after the descriptor), and where it ends.

    Raises:
        DecodeError: the bytes hold no message.
    """
    code: Any
    position, size = 0, len(payload)
    while position < size:
        if payload[position] != 0:
            raise DecodeError(f"byte {position} begins no section")
        if payload[position + 1 : position + 2] == b"\x53":
            code, start = payload[position + 2], position + 3
        else:
            descriptor, start = decode(payload, position + 1)
            code = _NAMES.get(descriptor) if isinstance(descriptor, str) else descriptor
        if not isinstance(code, int) or not HEADER <= code <= FOOTER:
            raise DecodeError(f"{code} is no section of a message")
        position = skip(payload, start)
        yield code, start, position


def section(payload: bytes, code: int) -> Any:
    """Return the content of a message's first section of a kind, a composite for header and properties; None if it has none.

    Raises:
        DecodeError: the bytes hold no message.
    """
    for found, start, _ in sections(payload):
        if found == code:
            content = _content(payload, code, start)
            return composed(Described(ULong(code), content)) if code in {HEADER, PROPERTIES} else content
    return None


def unbatch(payload: bytes) -> list[bytes]:
    """Return the encoded messages of a batch.

    Args:
        payload: a message of `BATCH_FORMAT`.

    Raises:
        DecodeError: the bytes hold no message.
    """
    return [_content(payload, code, start) for code, start, _ in sections(payload) if code == DATA]


def annotated(
    payload: bytes,
    annotations: Mapping[str, Any],
    *,
    delivery_annotations: Mapping[str, Any] | None = None,
    header: Header | None = None,
) -> bytes:
    """Return a message with annotations added, all else byte for byte as it was.

    Args:
        payload: the message.
        annotations: by symbol; they take the place of those of the same name.
        delivery_annotations: take the place of the section, if given.
        header: takes the place of the section, if given.

    Raises:
        DecodeError: the bytes hold no message.
    """
    held: dict[Any, Any] = {}
    kept_header, start_of_rest = b"", 0
    for code, start, end in sections(payload):
        if code > MESSAGE_ANNOTATIONS:
            break
        if code == MESSAGE_ANNOTATIONS:
            held = _content(payload, code, start) or {}
        elif code == HEADER:
            kept_header = payload[start_of_rest:end]
        start_of_rest = end
    out = bytearray(kept_header if header is None else encode(described(header)))
    _write_map(out, DELIVERY_ANNOTATIONS, _symbolic(delivery_annotations or {}))
    _write_map(out, MESSAGE_ANNOTATIONS, held | _symbolic(annotations))
    out += memoryview(payload)[start_of_rest:]
    return bytes(out)


def _content(payload: bytes, code: int, start: int) -> Any:
    content, _ = decode(payload, start)
    if content is None and code != DATA:
        return [] if code in _LISTS else None
    expected = bytes if code == DATA else list if code in _LISTS else object if code == VALUE else dict
    if not isinstance(content, expected):
        raise DecodeError(f"section 0x{code:02x} of a message holds no {expected.__name__}")
    return content


def _symbolic(annotations: Mapping[Any, Any]) -> dict[Any, Any]:
    return {Symbol(key) if type(key) is str else key: value for key, value in annotations.items()}


def _write_map(out: bytearray, code: int, content: Mapping[Any, Any]) -> None:
    if not content:
        return
    out += bytes((0, 0x53, code))
    body = bytearray()
    for key, value in content.items():
        write(body, key)
        write(body, value)
    compound(out, 0xC1, 2 * len(content), body)
