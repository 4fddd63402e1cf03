"""A JSON value becomes what a column takes, or a reason that names the column and never the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.targets.sql.settings import ColumnType

_WHOLE = re.compile(r"-?\d{1,18}")
_JSON_NAMES = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "an object"}


class UnfitValueError(Exception):
    """A value that its column cannot take."""


class Column(Struct, frozen=True):
    """What is known of a column that is written to."""

    name: str
    type: ColumnType | None
    """None: the database decides."""
    nullable: bool = True
    length: int | None = None
    """The most characters that it takes."""
    bits: int | None = None
    """Of an integer."""
    naive_time: bool = False
    """Takes no time zone: times are written in UTC."""
    time_as_text: bool = False
    """Dates and times are stored as text."""


def convert(column: Column, value: Any) -> Any:
    """Return the value as the driver takes it.

    Args:
        column: where it goes.
        value: a plain JSON value.

    Raises:
        UnfitValueError: the column cannot take it.
    """
    if value is None:
        if not column.nullable:
            raise UnfitValueError(f"column {column.name} may not be empty (NOT NULL), and the record has no value for it")
        return None
    converted = _CONVERTERS[column.type](column, value)
    if column.length is not None and isinstance(converted, str) and len(converted) > column.length:
        raise UnfitValueError(f"column {column.name} takes {column.length} characters, the value has {len(converted)}")
    return converted


def _unfit(column: Column, value: Any, wanted: str) -> UnfitValueError:
    given = _JSON_NAMES.get(type(value), "something else")
    return UnfitValueError(f"column {column.name} takes {wanted}, the value is {given} that is none")


def _text(_column: Column, value: Any) -> str:
    if isinstance(value, str):
        return value
    return canonical(value).decode()


def _integer(column: Column, value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise _unfit(column, value, "a whole number")
    if column.bits is not None and not -(1 << column.bits - 1) <= value < 1 << column.bits - 1:
        raise UnfitValueError(f"column {column.name} takes whole numbers of {column.bits} bits, the value is beyond")
    return int(value)


def _number(column: Column, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _unfit(column, value, "a number")
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            raise _unfit(column, value, "a number") from None
    return value


def _boolean(column: Column, value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)
    if value in (0, 1) and isinstance(value, int | float):
        return bool(value)
    raise _unfit(column, value, "true or false")


def _date(column: Column, value: Any) -> Any:
    try:
        parsed = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise _unfit(column, value, "a date such as 2026-11-23") from None
    return parsed.isoformat() if column.time_as_text else parsed


def _timestamp(column: Column, value: Any) -> Any:
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _unfit(column, value, "a time such as 2026-11-23T10:00:00Z") from None
    if column.time_as_text:
        return value
    if parsed.tzinfo is not None and column.naive_time:
        return parsed.astimezone(UTC).replace(tzinfo=None)
    return parsed


def _json(_column: Column, value: Any) -> str:
    return canonical(value).decode()


def _other(_column: Column, value: Any) -> Any:
    return canonical(value).decode() if isinstance(value, list | dict) else value


_CONVERTERS: dict[ColumnType | None, Callable[[Column, Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
    "json": _json,
    None: _other,
}
