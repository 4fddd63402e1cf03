"""Writes AMQP 1.0 values as bytes. Source: OASIS AMQP 1.0 part 1, section 1.6."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
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

_U32 = struct.Struct(">I")
_U32_U32 = struct.Struct(">II")
_SMALL = 255


class EncodeError(ValueError):
    """A value that AMQP cannot carry."""


def encode(value: Any) -> bytes:
    """Return a value with its constructor, in its shortest form.

    Args:
        value: of a Python type that `values` names, or of a class defined there.

    Raises:
        EncodeError: another type, or a number out of its type's range.
    """
    out = bytearray()
    write(out, value)
    return bytes(out)


def write(out: bytearray, value: Any) -> None:
    """Append a value with its constructor; see `encode`."""
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise EncodeError(f"AMQP has no type for a {type(value).__name__}")
    try:
        writer(out, value)
    except (struct.error, UnicodeEncodeError) as error:
        raise EncodeError(f"a {type(value).__name__} is out of its range: {error}") from error


def compound(out: bytearray, small: int, count: int, body: bytes | bytearray) -> None:
    """Append a list, map or array, of which the items are encoded already.

    Args:
        out: where to.
        small: the constructor of the form with sizes of one byte; that with four is 0x10 above.
        count: of items; a map's keys and values count each.
        body: the items.
    """
    if len(body) < _SMALL and count <= _SMALL:
        out += bytes((small, len(body) + 1, count))
    else:
        out.append(small + 0x10)
        out += _U32_U32.pack(len(body) + 4, count)
    out += body


def _variable(small: int) -> Callable[[bytearray, bytes], None]:
    def write_bytes(out: bytearray, value: bytes) -> None:
        size = len(value)
        if size <= _SMALL:
            out += bytes((small, size))
        else:
            out.append(small + 0x10)
            out += _U32.pack(size)
        out += value

    return write_bytes


_write_binary = _variable(0xA0)
_write_utf8 = _variable(0xA1)
_write_ascii = _variable(0xA3)


def _write_string(out: bytearray, value: str) -> None:
    _write_utf8(out, value.encode())


def _write_symbol(out: bytearray, value: Symbol) -> None:
    _write_ascii(out, value.encode("ascii"))


def _fixed(code: int, form: str) -> Callable[[bytearray, Any], None]:
    pack = struct.Struct(">B" + form).pack

    def write_number(out: bytearray, value: Any) -> None:
        out += pack(code, value)

    return write_number


def _integer(code: int, form: str, small: int, zero: int | None) -> Callable[[bytearray, int], None]:
    """Return the writer of an integer type that has a form of one byte, and perhaps one of none for zero."""
    pack = struct.Struct(">B" + form).pack
    low, high = (0, _SMALL) if zero else (-128, 127)

    def write_integer(out: bytearray, value: int) -> None:
        if value == 0 and zero:
            out.append(zero)
        elif low <= value <= high:
            out += bytes((small, value & 0xFF))
        else:
            out += pack(code, value)

    return write_integer


def _element_raw(size: int) -> Callable[[bytearray, bytes], None]:
    write_raw = _raw(0, size)

    def write_element(body: bytearray, value: bytes) -> None:
        whole = bytearray()
        write_raw(whole, value)
        body += whole[1:]

    return write_element


def _raw(code: int, size: int) -> Callable[[bytearray, bytes], None]:
    def write_raw(out: bytearray, value: bytes) -> None:
        if len(value) != size:
            raise EncodeError(f"a {type(value).__name__} has {size} bytes, not {len(value)}")
        out.append(code)
        out += value

    return write_raw


def _write_char(out: bytearray, value: Char) -> None:
    out.append(0x73)
    out += _U32.pack(ord(value))


def _write_uuid(out: bytearray, value: UUID) -> None:
    out.append(0x98)
    out += value.bytes


def _write_list(out: bytearray, value: list[Any]) -> None:
    if not value:
        out.append(0x45)
        return
    compound(out, 0xC0, len(value), _written(value))


def _write_map(out: bytearray, value: dict[Any, Any]) -> None:
    compound(out, 0xC1, 2 * len(value), _written(item for pair in value.items() for item in pair))


def _written(values: Iterable[Any]) -> bytearray:
    out = bytearray()
    for value in values:
        write(out, value)
    return out


def _write_described(out: bytearray, value: Described) -> None:
    out.append(0)
    write(out, value.descriptor)
    write(out, value.value)


def _write_array(out: bytearray, value: Array) -> None:
    """Write an array; an empty one has no constructor, which the SDKs write and read so, though the standard has one."""
    if not value:
        compound(out, 0xE0, 0, b"")
        return
    body = bytearray()
    _write_elements(body, value)
    compound(out, 0xE0, len(value), body)


def _write_elements(body: bytearray, items: Sequence[Any]) -> None:
    """Append the constructor that the items share, then each without one."""
    kind = type(items[0])
    if any(type(item) is not kind for item in items):
        raise EncodeError("the items of an array are of one type")
    if kind is Described:
        if any(item.descriptor != items[0].descriptor for item in items):
            raise EncodeError("the items of an array have one descriptor")
        body.append(0)
        write(body, items[0].descriptor)
        _write_elements(body, [item.value for item in items])
        return
    element = _ELEMENTS.get(kind)
    if element is None:
        raise EncodeError(f"no array of {kind.__name__} can be written")
    code, write_element = element
    body.append(code)
    for item in items:
        write_element(body, item)


def _sized(body: bytearray, value: bytes) -> None:
    body += _U32.pack(len(value))
    body += value


def _element_integer(form: str) -> Callable[[bytearray, Any], None]:
    pack = struct.Struct(">" + form).pack

    def write_element(body: bytearray, value: Any) -> None:
        body += pack(value)

    return write_element


def _wide(write_whole: Callable[[bytearray, Any], None], small: int) -> Callable[[bytearray, Any], None]:
    """Return the writer of a compound as an array's element: with sizes of four bytes and without constructor."""

    def write_element(body: bytearray, value: Any) -> None:
        whole = bytearray()
        write_whole(whole, value)
        if whole[0] == 0x45:
            body += _U32_U32.pack(4, 0)
        elif whole[0] == small:
            body += _U32_U32.pack(whole[1] + 3, whole[2])
            body += whole[3:]
        else:
            body += whole[1:]

    return write_element


_WRITERS: dict[type, Callable[[bytearray, Any], None]] = {
    type(None): lambda out, _: out.append(0x40),
    bool: lambda out, value: out.append(0x41 if value else 0x42),
    int: _integer(0x81, "q", 0x55, None),
    float: _fixed(0x82, "d"),
    str: _write_string,
    bytes: _write_binary,
    bytearray: _write_binary,
    memoryview: _write_binary,
    UUID: _write_uuid,
    list: _write_list,
    tuple: _write_list,
    dict: _write_map,
    Symbol: _write_symbol,
    Char: _write_char,
    UByte: _fixed(0x50, "B"),
    UShort: _fixed(0x60, "H"),
    UInt: _integer(0x70, "I", 0x52, 0x43),
    ULong: _integer(0x80, "Q", 0x53, 0x44),
    Byte: _fixed(0x51, "b"),
    Short: _fixed(0x61, "h"),
    Int: _integer(0x71, "i", 0x54, None),
    Timestamp: _fixed(0x83, "q"),
    Float: _fixed(0x72, "f"),
    Decimal32: _raw(0x74, 4),
    Decimal64: _raw(0x84, 8),
    Decimal128: _raw(0x94, 16),
    Array: _write_array,
    Described: _write_described,
}

_ELEMENTS: dict[type, tuple[int, Callable[[bytearray, Any], None]]] = {
    type(None): (0x40, lambda *_: None),
    bool: (0x56, lambda body, value: body.append(value)),
    int: (0x81, _element_integer("q")),
    float: (0x82, _element_integer("d")),
    str: (0xB1, lambda body, value: _sized(body, value.encode())),
    bytes: (0xB0, _sized),
    UUID: (0x98, lambda body, value: body.extend(value.bytes)),
    Symbol: (0xB3, lambda body, value: _sized(body, value.encode("ascii"))),
    UByte: (0x50, _element_integer("B")),
    UShort: (0x60, _element_integer("H")),
    UInt: (0x70, _element_integer("I")),
    ULong: (0x80, _element_integer("Q")),
    Byte: (0x51, _element_integer("b")),
    Short: (0x61, _element_integer("h")),
    Int: (0x71, _element_integer("i")),
    Timestamp: (0x83, _element_integer("q")),
    Float: (0x72, _element_integer("f")),
    Char: (0x73, lambda body, value: body.extend(_U32.pack(ord(value)))),
    Decimal32: (0x74, _element_raw(4)),
    Decimal64: (0x84, _element_raw(8)),
    Decimal128: (0x94, _element_raw(16)),
    Array: (0xF0, _wide(_write_array, 0xE0)),
    list: (0xD0, _wide(_write_list, 0xC0)),
    dict: (0xD1, _wide(_write_map, 0xC1)),
}
