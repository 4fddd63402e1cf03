"""The types of AMQP 1.0 that Python has none of its own for, so that a value keeps its type on the way through.

Python's own stand for the commonest ones: `None` null, `bool` boolean, `int` long, `float` double, `str` string, `bytes`
binary, `uuid.UUID` uuid, `list` list, `dict` map. The rest are the classes here. Source: OASIS AMQP 1.0 part 1, types.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Symbol(str):
    """An ASCII name from a constrained domain; equal to the `str` of the same characters."""

    __slots__ = ()


class Char(str):
    """One Unicode character."""

    __slots__ = ()


class UByte(int):
    """0 to 255."""

    __slots__ = ()


class UShort(int):
    """0 to 65,535."""

    __slots__ = ()


class UInt(int):
    """0 to 2^32 - 1."""

    __slots__ = ()


class ULong(int):
    """0 to 2^64 - 1."""

    __slots__ = ()


class Byte(int):
    """-128 to 127."""

    __slots__ = ()


class Short(int):
    """-32,768 to 32,767."""

    __slots__ = ()


class Int(int):
    """-2^31 to 2^31 - 1; a plain Python `int` is a long."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since 1970-01-01 UTC."""

    __slots__ = ()


class Float(float):
    """32 bits; a plain Python `float` is a double of 64."""

    __slots__ = ()


class Decimal32(bytes):
    """The 4 bytes of an IEEE 754 decimal, passed through as they are."""

    __slots__ = ()


class Decimal64(bytes):
    """The 8 bytes of an IEEE 754 decimal, passed through as they are."""

    __slots__ = ()


class Decimal128(bytes):
    """The 16 bytes of an IEEE 754 decimal, passed through as they are."""

    __slots__ = ()


class Array(list[Any]):
    """Values of one type, encoded with one constructor."""

    __slots__ = ()


class Described(NamedTuple):
    """A value with a descriptor that says what it means."""

    descriptor: Any
    """A `ULong` or a `Symbol`."""
    value: Any
