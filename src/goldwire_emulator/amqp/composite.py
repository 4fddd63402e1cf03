"""Composites: described lists with named fields, to and from the bytes. The performatives are made of them.

Every field is written, trailing nulls too, and descriptors in their short form: the Azure SDKs read fields by their position.
A field's wire type is kept beside it, so that code may use plain Python values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from msgspec import Struct

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.values import Array, Described, Symbol, Timestamp, UByte, UInt, ULong, UShort

_BY_DESCRIPTOR: dict[Any, type[Composite]] = {}


class Composite(Struct):
    """A described list with named fields. A subclass registers itself by its descriptors."""

    code: ClassVar[int]
    symbol: ClassVar[str]
    wire: ClassVar[tuple[Callable[[Any], Any], ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _BY_DESCRIPTOR[cls.code] = cls
        _BY_DESCRIPTOR[cls.symbol] = cls


def described(composite: Composite) -> Described:
    """Return a composite as the AMQP value that it is on the wire; one without fields gets a null, for the SDKs' sake."""
    values = [None if value is None else kind(value) for kind, value in zip(composite.wire, _values(composite), strict=True)]
    return Described(ULong(composite.code), values or [None])


def composed(value: Any) -> Any:
    """Return a described list as the composite that it stands for, those inside it too; any other value as it is.

    Raises:
        DecodeError: a known composite with fields that are not its own.
    """
    if not isinstance(value, Described):
        return value
    kind = _BY_DESCRIPTOR.get(value.descriptor)
    if kind is None or not isinstance(value.value, list):
        return value
    return _filled(kind, value.value)


def _filled(kind: type[Composite], values: list[Any]) -> Composite:
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    known = values[: len(names)]
    if any(value is not None for value in values[len(names) :]):
        raise DecodeError(f"{kind.symbol} has more fields than {len(names)}")
    given = {}
    for name, value, default, wire in zip(names, known, defaults, kind.wire, strict=False):
        if value is not None and not _fits(value, wire):
            raise DecodeError(f"{kind.symbol}: {name} is not of its type")
        if value is not None or default is None:
            given[name] = composed(value)
    return kind(**given)


def _fits(value: Any, wire: Callable[[Any], Any]) -> bool:
    """Say whether a value can be written again as a field of this type, so that nothing is taken that cannot be passed on."""
    expected = _EXPECTED.get(wire)
    if expected is not None and not isinstance(value, expected):
        return False
    if wire in _RANGES:
        least, most = _RANGES[wire]
        return bool(least <= value <= most)
    if wire is symbols:
        return isinstance(value, str | list) and _are_symbols([value] if isinstance(value, str) else value)
    if wire is fields:
        return _are_symbols(value)
    return wire is not Symbol or _are_symbols([value])


def _are_symbols(names: Iterable[Any]) -> bool:
    return all(isinstance(name, str) and name.isascii() for name in names)


def _values(composite: Composite) -> list[Any]:
    return [getattr(composite, name) for name in composite.__struct_fields__]


_EXPECTED: dict[Any, type] = {
    **dict.fromkeys((UByte, UShort, UInt, ULong, Timestamp), int),
    **dict.fromkeys((str, Symbol), str),
    bool: bool,
    bytes: bytes,
}
"""What a field's wire type is in Python; others are looked at where they are used."""
_RANGES: dict[Any, tuple[int, int]] = {
    UByte: (0, (1 << 8) - 1),
    UShort: (0, (1 << 16) - 1),
    UInt: (0, (1 << 32) - 1),
    ULong: (0, (1 << 64) - 1),
    Timestamp: (-1 << 63, (1 << 63) - 1),
}


def as_is(value: Any) -> Any:
    """The wire type of a field that holds any value, a composite too."""
    return described(value) if isinstance(value, Composite) else value


def symbols(value: Any) -> Any:
    """The wire type of a field that holds one symbol or several."""
    return Array(Symbol(item) for item in ([value] if isinstance(value, str) else value))


def fields(value: Any) -> Any:
    """The wire type of a map with symbols as keys."""
    return {Symbol(key): as_is(item) for key, item in value.items()}


_EXPECTED[fields] = dict
