"""Frames: how performatives lie on the connection. Source: OASIS AMQP 1.0 part 2, section 2.3, and part 5, section 5.3."""

from __future__ import annotations

import struct
from typing import NamedTuple

from goldwire_emulator.amqp.composite import Composite, composed, described
from goldwire_emulator.amqp.decoder import DecodeError, decode
from goldwire_emulator.amqp.encoder import encode

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
HEADER_BYTES = 8
"""Of a protocol header, and of a frame's own header without extension."""
LEAST_MAX_FRAME_BYTES = 512
"""What every peer must be able to take."""
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
"""A heartbeat."""
AMQP, SASL = 0, 1
"""Types of frames."""

_PREFIX = struct.Struct(">IBBH")
_U32 = struct.Struct(">I")


class FramingError(ValueError):
    """Bytes that are no frame; the connection cannot go on."""


class Frame(NamedTuple):
    """One frame as it came."""

    kind: int
    channel: int
    performative: Composite | None
    """None in a heartbeat."""
    payload: bytes


def take_frame(buffer: bytes | bytearray, position: int, max_frame_bytes: int) -> tuple[Frame | None, int]:
    """Return the frame that begins at a position, and where it ends; None while it has not come as a whole.

    Args:
        buffer: what came.
        position: where the frame begins.
        max_frame_bytes: what was agreed on.

    Raises:
        FramingError: it is no frame, or too large.
    """
    if len(buffer) - position < HEADER_BYTES:
        return None, position
    size, offset, kind, channel = _PREFIX.unpack_from(buffer, position)
    if not HEADER_BYTES <= size <= max_frame_bytes or not HEADER_BYTES <= offset * 4 <= size or kind not in {AMQP, SASL}:
        raise FramingError(f"no frame of type {kind} with {size} bytes is taken here; at most {max_frame_bytes}")
    end = position + size
    if len(buffer) < end:
        return None, position
    body = bytes(memoryview(buffer)[position + offset * 4 : end])
    if not body:
        return Frame(kind, channel, None, b""), end
    try:
        value, length = decode(body)
        performative = composed(value)
    except DecodeError as error:
        raise FramingError(str(error)) from error
    if not isinstance(performative, Composite):
        raise FramingError("a frame holds no performative")
    return Frame(kind, channel, performative, body[length:]), end


def frame(channel: int, performative: Composite, *, kind: int = AMQP) -> bytes:
    """Return a performative's frame."""
    body = encode(described(performative))
    return _PREFIX.pack(len(body) + HEADER_BYTES, 2, kind, channel) + body


def transfer_frames(
    channel: int, handle: int, delivery_id: int, tag: bytes, payload: bytes, *, message_format: int, settled: bool, limit: int
) -> list[bytes]:
    """Return the frames that carry one delivery; written by hand, since they are most of what a peer writes.

    Args:
        channel: the session's.
        handle: the link's.
        delivery_id: its number in the session.
        tag: up to 32 bytes.
        payload: the encoded message.
        message_format: of the payload.
        settled: no settlement will come.
        limit: the largest frame that the client takes, in bytes.
    """
    middle = b"".join((b"\x70", _U32.pack(delivery_id), bytes((0xA0, len(tag))), tag, b"\x70", _U32.pack(message_format)))
    first = _performative(handle, middle, settled=settled, more=False)
    if len(payload) + len(first) + HEADER_BYTES <= limit:
        return [_PREFIX.pack(len(payload) + len(first) + HEADER_BYTES, 2, AMQP, channel) + first + payload]
    found: list[bytes] = []
    position = 0
    while position < len(payload) or not found:
        room = limit - HEADER_BYTES - len(first)
        more = position + room < len(payload)
        opening = _performative(handle, middle if not found else b"\x40\x40\x40", settled=settled, more=more)
        part = payload[position : position + room]
        found.append(_PREFIX.pack(len(part) + len(opening) + HEADER_BYTES, 2, AMQP, channel) + opening + part)
        position += room
    return found


def _performative(handle: int, middle: bytes, *, settled: bool, more: bool) -> bytes:
    """Return a transfer of eleven fields, of which `middle` are the delivery id, the tag and the format."""
    flags = bytes((0x41 if settled else 0x42, 0x41 if more else 0x42))
    fields = b"\x70" + _U32.pack(handle) + middle + flags + b"\x40\x40\x42\x42\x42"
    return b"\x00\x53\x14\xc0" + bytes((len(fields) + 1, 11)) + fields
