"""Reads AMQP 1.0 values from bytes. Source: OASIS AMQP 1.0 part 1, section 1.6."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

from goldwire_emulator.amqp.values import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

Reader = Callable[[bytes, int], tuple[Any, int]]
"""Takes the bytes and where the value begins after its constructor; gives the value and where it ends."""

_U32 = struct.Struct(">I").unpack_from
_FIRST_WITH_WIDTH = 0x50
"""The first constructor after which bytes follow."""
_MOST_WITHOUT_WIDTH = 64
"""Items of an array that take no bytes each, so that a few bytes cannot become gigabytes."""
_WIDTHS = (0, 1, 2, 4, 8, 16)
_FAULTS = (struct.error, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


class DecodeError(ValueError):
    """Bytes that are no AMQP."""


def decode(data: bytes, position: int = 0) -> tuple[Any, int]:
    """Return the value at a position, and where it ends.

    Args:
        data: the bytes.
        position: of the value's constructor.

    Raises:
        DecodeError: there is no whole value.
    """
    try:
        value, end = _read(data, position)
    except _FAULTS as error:
        raise DecodeError(f"no AMQP value at byte {position}: {error}") from error
    if end > len(data):
        raise DecodeError(f"the AMQP value at byte {position} is cut off")
    return value, end


def skip(data: bytes, position: int) -> int:
    """Return where the value at a position ends, without reading it.

    Raises:
        DecodeError: it is cut off.
    """
    try:
        end = _skip(data, position)
    except (IndexError, struct.error, RecursionError) as error:
        raise DecodeError(f"no AMQP value at byte {position}: {error}") from error
    if end > len(data):
        raise DecodeError(f"the AMQP value at byte {position} is cut off")
    return end


def _skip(data: bytes, position: int) -> int:
    code = data[position]
    position += 1
    while code == 0:  # a descriptor, then the value that it describes
        position = _skip(data, position)
        code = data[position]
        position += 1
    category = code >> 4
    if 0x4 <= category <= 0x9:
        return position + _WIDTHS[category - 4]
    if category in {0xA, 0xC, 0xE}:
        return position + 1 + data[position]
    if category in {0xB, 0xD, 0xF}:
        return position + 4 + int(_U32(data, position)[0])
    raise DecodeError(f"byte {position - 1} is no AMQP constructor: 0x{code:02x}")


def _read(data: bytes, position: int) -> tuple[Any, int]:
    return _READERS[data[position]](data, position + 1)


def _number(form: str, kind: Callable[[Any], Any] | None = None) -> Reader:
    reader = struct.Struct(">" + form)
    unpack, size = reader.unpack_from, reader.size
    if kind is None:
        return lambda data, position: (unpack(data, position)[0], position + size)
    return lambda data, position: (kind(unpack(data, position)[0]), position + size)


def _constant(value: Any) -> Reader:
    return lambda _, position: (value, position)


def _bytes(kind: Callable[[bytes], Any], *, wide: bool) -> Reader:
    def read_small(data: bytes, position: int) -> tuple[Any, int]:
        start = position + 1
        return _whole(kind, data, start, start + data[position])

    def read_wide(data: bytes, position: int) -> tuple[Any, int]:
        start = position + 4
        return _whole(kind, data, start, start + _U32(data, position)[0])

    return read_wide if wide else read_small


def _whole(kind: Callable[[bytes], Any], data: bytes, start: int, end: int) -> tuple[Any, int]:
    if end > len(data):
        raise DecodeError("cut off")
    return kind(data[start:end]), end


def _fixed(kind: Callable[[bytes], Any], size: int) -> Reader:
    return lambda data, position: _whole(kind, data, position, position + size)


def _sizes(data: bytes, position: int, *, wide: bool) -> tuple[int, int, int]:
    """Return where a compound ends, how many items it has, and where they begin."""
    if wide:
        end, count, start = position + 4 + _U32(data, position)[0], _U32(data, position + 4)[0], position + 8
    else:
        end, count, start = position + 1 + data[position], data[position + 1], position + 2
    if end > len(data) or count > end - start + 1:
        raise DecodeError("cut off")
    return end, count, start


def _check_within(at: int, end: int) -> None:
    """Refuse an item that ends after its compound: bytes read twice at each level would be read for ever."""
    if at > end:
        raise DecodeError("an item is larger than the compound that holds it")


def _list(*, wide: bool) -> Reader:
    def read_list(data: bytes, position: int) -> tuple[Any, int]:
        end, count, at = _sizes(data, position, wide=wide)
        items = []
        for _ in range(count):
            item, at = _READERS[data[at]](data, at + 1)
            _check_within(at, end)
            items.append(item)
        return items, end

    return read_list


def _map(*, wide: bool) -> Reader:
    def read_map(data: bytes, position: int) -> tuple[Any, int]:
        end, count, at = _sizes(data, position, wide=wide)
        items = {}
        for _ in range(count // 2):
            key, at = _READERS[data[at]](data, at + 1)
            items[key], at = _READERS[data[at]](data, at + 1)
            _check_within(at, end)
        return items, end

    return read_map


def _array(*, wide: bool) -> Reader:
    def read_array(data: bytes, position: int) -> tuple[Any, int]:
        if wide:
            end, count, at = position + 4 + _U32(data, position)[0], _U32(data, position + 4)[0], position + 8
        else:
            end, count, at = position + 1 + data[position], data[position + 1], position + 2
        items = Array()
        if not count:  # the SDKs leave the constructor of an empty array out
            return items, end
        code, at, descriptor = data[at], at + 1, None
        if code == 0:
            descriptor, at = _read(data, at)
            code, at = data[at], at + 1
        reader = _READERS[code]
        if end > len(data) or count > (end - at if code >= _FIRST_WITH_WIDTH else _MOST_WITHOUT_WIDTH):
            raise DecodeError("cut off")
        for _ in range(count):
            item, at = reader(data, at)
            _check_within(at, end)
            items.append(item if descriptor is None else Described(descriptor, item))
        return items, end

    return read_array


def _described(data: bytes, position: int) -> tuple[Any, int]:
    descriptor, position = _read(data, position)
    value, position = _read(data, position)
    return Described(descriptor, value), position


def _text(data: bytes) -> str:
    return data.decode()


def _symbol(data: bytes) -> Symbol:
    return Symbol(data.decode("ascii"))


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def _empty(_: bytes, position: int) -> tuple[list[Any], int]:
    return [], position


_READERS: dict[int, Reader] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(value=True),
    0x42: _constant(value=False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: _empty,
    0x50: _number("B", UByte),
    0x51: _number("b", Byte),
    0x52: _number("B", UInt),
    0x53: _number("B", ULong),
    0x54: _number("b", Int),
    0x55: _number("b"),
    0x56: _number("?"),
    0x60: _number("H", UShort),
    0x61: _number("h", Short),
    0x70: _number("I", UInt),
    0x71: _number("i", Int),
    0x72: _number("f", Float),
    0x73: _number("I", lambda code: Char(chr(code))),
    0x74: _fixed(Decimal32, 4),
    0x80: _number("Q", ULong),
    0x81: _number("q"),
    0x82: _number("d"),
    0x83: _number("q", Timestamp),
    0x84: _fixed(Decimal64, 8),
    0x94: _fixed(Decimal128, 16),
    0x98: _fixed(_uuid, 16),
    0xA0: _bytes(bytes, wide=False),
    0xA1: _bytes(_text, wide=False),
    0xA3: _bytes(_symbol, wide=False),
    0xB0: _bytes(bytes, wide=True),
    0xB1: _bytes(_text, wide=True),
    0xB3: _bytes(_symbol, wide=True),
    0xC0: _list(wide=False),
    0xC1: _map(wide=False),
    0xD0: _list(wide=True),
    0xD1: _map(wide=True),
    0xE0: _array(wide=False),
    0xF0: _array(wide=True),
}
