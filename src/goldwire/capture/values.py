"""A value from a file becomes canonical JSON bytes, or is refused with the reason and the fix."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import re
from typing import Any

import msgspec

from goldwire.canonical import NotPlainError, canonical
from goldwire.capture.source_spec import ValueType
from goldwire.clock import timestamp

NULL = b"null"

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\Z")
_SURE_LENGTH = 15
_MOST_BITS = 3_300
"""Of a whole number, about a thousand digits: longer ones are no ids, and slow to write out."""

_BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)
_TYPES: dict[ValueType, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}


class RefusedError(ValueError):
    """A value cannot be taken; the text says why and how to mend it, never the value itself."""


def from_text(text: str, wanted: ValueType) -> bytes:
    """Return the canonical bytes of a text from a file, read as the wanted type.

    Raises:
        RefusedError: it is no such value.
    """
    if wanted == "string":
        return plain(text)
    if wanted == "integer":
        if not _INTEGER.match(text):
            raise RefusedError("is no whole number; mend it or map the column as `type: string`")
        return plain(int(text))
    if wanted == "number":
        if not _NUMBER.match(text):
            raise RefusedError("is no number; mend it or map the column as `type: string`")
        return plain(int(text) if _INTEGER.match(text) else _double(text))
    if wanted == "boolean":
        known = _BOOLEANS.get(text.casefold())
        if known is None:
            raise RefusedError("is neither true nor false; write true, false, yes, no, 1 or 0")
        return b"true" if known else b"false"
    try:
        return plain(msgspec.json.decode(text.encode()))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RefusedError("is no JSON; mend it or map the column as `type: string`") from error


def from_value(value: Any, wanted: ValueType | None) -> bytes:
    """Return the canonical bytes of a value that already has a type (from JSON lines, Parquet or Python).

    Raises:
        RefusedError: it is of another type than the wanted one, or outside the plain domain.
    """
    if value is None:
        return NULL
    if wanted is None or wanted == "json":
        return plain(value)
    if isinstance(value, str) and wanted != "string":
        return from_text(value, wanted)
    kinds, name = _TYPES[wanted]
    value = _plain_number(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and wanted != "boolean"):
        raise RefusedError(f"is a {type(value).__name__}, not {name}; mend it or change the column's `type`")
    return plain(value)


def plain(value: Any) -> bytes:
    """Return a value's canonical bytes; dates become RFC 3339 text, decimals and whole numbers beyond 2^53 exact text.

    Raises:
        RefusedError: it lies outside the plain domain.
    """
    try:
        return canonical(value)
    except NotPlainError as error:
        known = _known_kind(value)
        if known is None:
            raise RefusedError(str(error)) from error
        return canonical(known)
    except RecursionError as error:
        raise RefusedError("is nested too deeply") from error


@functools.lru_cache(maxsize=4096)
def moment(text: str) -> str:
    """Return a time as recorded text (see `goldwire.clock.timestamp`); without an offset it counts as UTC.

    Args:
        text: ISO 8601 / RFC 3339, a date or a date with a time.

    Raises:
        RefusedError: it is no time.
    """
    try:
        return recorded(dt.datetime.fromisoformat(text))
    except ValueError as error:
        raise RefusedError("is no time; write it as 2026-11-23T10:00:00Z") from error


def recorded(when: dt.datetime) -> str:
    """Return a datetime as recorded text; without an offset it counts as UTC.

    Raises:
        RefusedError: it lies outside the years 1 to 9999.
    """
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    try:
        return when.astimezone(dt.UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    except OverflowError as error:
        raise RefusedError("lies outside the years 1 to 9999") from error


def is_undated(value: Any) -> bool:
    """Say whether a row or a caller gives no time, so that `moment_of` takes the time of reading."""
    return value is None or value == ""


def moment_of(value: Any, now: float) -> str:
    """Return the time that a row or a caller gives as recorded text, or the time of reading when it gives none.

    Args:
        value: text, a datetime, or None.
        now: POSIX seconds.

    Raises:
        RefusedError: it is no time.
    """
    if is_undated(value):
        return timestamp(now)
    if isinstance(value, dt.datetime):
        return recorded(value)
    if isinstance(value, dt.date):
        return moment(value.isoformat())
    if isinstance(value, str):
        return moment(value)
    raise RefusedError("is no time; write it as 2026-11-23T10:00:00Z")


def share(value: Any) -> float:
    """Return a confidence.

    Raises:
        RefusedError: it is no number from 0 to 1.
    """
    if isinstance(value, str) and _NUMBER.match(value):
        value = float(value)
    value = _plain_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RefusedError("must be a number from 0 to 1")
    return float(value)


def _plain_number(value: Any) -> Any:
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else _double(str(value))
    return value


def _double(text: str) -> float:
    """Return the double that a number is.

    Raises:
        RefusedError: no double is exactly this number, as people write it.
    """
    value = float(text)
    # A double keeps fifteen digits of any number whose size is an everyday one.
    if (len(text) > _SURE_LENGTH or "e" in text or "E" in text) and decimal.Decimal(repr(value)) != decimal.Decimal(text):
        raise RefusedError("is a number with more digits than JSON carries exactly; map the column as `type: string`")
    return value


def _known_kind(value: Any) -> str | None:
    """Types of Parquet and Python that have one obvious text."""
    if isinstance(value, dt.datetime):
        return recorded(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return f"{value:f}"
    if type(value) is int and value.bit_length() <= _MOST_BITS:
        return str(value)
    return None
