"""A JSON value becomes what a column takes, or a reason that names the column and never the value; and is compared later."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.targets.sql.table_settings import ColumnType

_WHOLE = re.compile(r"[+-]?[0-9]{1,60}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BEYOND_MICROSECONDS = re.compile(r"[.,][0-9]{6}[0-9]*[1-9]")
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "off", "0"), False
)
_INTEGER_64 = (-(1 << 63), (1 << 63) - 1)
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
    low: int | None = None
    """The least whole number that it takes."""
    high: int | None = None
    """The greatest whole number that it takes."""
    scale: int | None = None
    """The most decimal places that it takes."""
    whole_digits: int | None = None
    """The most digits in front of the decimal point that it takes."""
    single: bool = False
    """Takes numbers of single precision."""
    decimal: bool = False
    """Takes numbers of many digits exactly, as decimals."""
    padded: bool = False
    """A text is filled up with blanks to its length, which do not count."""
    refuses_nul: bool = False
    """A text must not hold the character U+0000."""
    may_differ: bool = False
    """What it holds is not compared with what was sent."""
    naive_time: bool = False
    """Takes no time zone: times are written in UTC."""
    time_as_text: bool = False
    """Dates and times are stored as text."""
    as_text: bool = False
    """Of a type that is not known: every value goes as its text, of which the server makes the same in any statement."""
    takes_any_text: bool = False
    """A text needs no conversion and no check."""


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


def _text(column: Column, value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value).decode()
    if column.refuses_nul and "\0" in text:
        raise UnfitValueError(f"column {column.name} takes no character U+0000, and the value holds one")
    return text


def _integer(column: Column, value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise _unfit(column, value, "a whole number")
    if (column.low is not None and value < column.low) or (column.high is not None and value > column.high):
        raise UnfitValueError(
            f"column {column.name} takes whole numbers from {column.low} to {column.high}, the value is beyond"
        )
    return int(value)


def _number(column: Column, value: Any) -> Any:
    exact = _exact(value)
    if exact is None:
        raise _unfit(column, value, "a number")
    if column.scale is not None and _decimal_digits(exact) > column.scale:
        raise UnfitValueError(f"column {column.name} takes {column.scale} decimal places, the value has more")
    if column.whole_digits is not None and exact.adjusted() >= column.whole_digits and exact:
        raise UnfitValueError(f"column {column.name} takes {column.whole_digits} digits before the point, the value has more")
    if column.decimal:
        return exact
    if not column.single and exact == exact.to_integral_value() and _INTEGER_64[0] <= exact <= _INTEGER_64[1]:
        return int(exact)
    if _exact(float(exact)) != exact:
        raise UnfitValueError(
            f"column {column.name} takes a number of double precision, the value has more digits or is beyond"
        )
    if column.single and not _fits_single(float(exact)):
        raise UnfitValueError(f"column {column.name} takes a number of single precision, the value is beyond")
    return float(exact)


def _fits_single(number: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", number))[0]) == bool(number)
    except OverflowError:
        return False


def _exact(value: Any) -> Decimal | None:
    """Return a number as it is written; None where it is none."""
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    exact = Decimal(repr(value) if isinstance(value, float) else value)
    return exact if exact.is_finite() else None


def _decimal_digits(exact: Decimal) -> int:
    """Return how many decimal places a number needs. `Decimal.normalize` would round to 28 digits."""
    _, digits, exponent = exact.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -int(exponent) - zeros if any(digits) else 0


def _boolean(column: Column, value: Any) -> bool:
    if isinstance(value, str):
        value = _BOOLEANS.get(value.casefold(), value)
    if value in (0, 1) and isinstance(value, int | float):
        return bool(value)
    raise _unfit(column, value, "true or false")


def _date(column: Column, value: Any) -> Any:
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _unfit(column, value, "a date such as 2026-11-23") from None
    if parsed.timetz().replace(tzinfo=None) != time():
        raise UnfitValueError(f"column {column.name} takes a date, and the value has a time of day")
    return parsed.date().isoformat() if column.time_as_text else parsed.date()


def _timestamp(column: Column, value: Any) -> Any:
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _unfit(column, value, "a time such as 2026-11-23T10:00:00Z") from None
    if column.time_as_text:
        return value
    if _BEYOND_MICROSECONDS.search(value):
        raise UnfitValueError(f"column {column.name} takes a time to the microsecond, the value is finer")
    if parsed.tzinfo is None:
        return parsed
    try:
        in_utc = parsed.astimezone(UTC)
    except OverflowError:
        raise UnfitValueError(f"column {column.name} takes times of the years 1 to 9999 in UTC, the value is beyond") from None
    return in_utc.replace(tzinfo=None) if column.naive_time else parsed


def _json(column: Column, value: Any) -> str:
    text = canonical(value).decode()
    if column.refuses_nul and _ESCAPED_NUL.search(text):
        raise UnfitValueError(f"column {column.name} takes no character U+0000, and the value holds one")
    return text


def _other(column: Column, value: Any) -> Any:
    as_text = isinstance(value, list | dict) or (column.as_text and not isinstance(value, str))
    return canonical(value).decode() if as_text else value


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


def convert_key(column: Column, text: str) -> Any:
    """Return an id as the key column takes it.

    Raises:
        UnfitValueError: it does not fit, or the column would hold the same for another id.
    """
    key = convert(column, text)
    if key is text and not column.padded:
        return key
    if str(plain_key(column, key)) != text:
        raise UnfitValueError(
            f"column {column.name} would hold the key in another form, in which two keys may be the same; make it a text"
        )
    return key


def plain_key(column: Column, held: Any) -> Any:
    """Return a key as the column holds it, in the form whose text is the id."""
    if type(held) is str and not column.padded:
        return held
    if isinstance(held, Decimal):
        text = f"{held:f}"
        return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
    if isinstance(held, float) and held.is_integer():
        return int(held)
    if isinstance(held, str) and column.padded:
        return held.rstrip(" ")
    return held


def holds(column: Column, sent: Any, held: Any) -> bool:
    """Say whether a column holds what was sent.

    Args:
        column: which.
        sent: as `convert` returned it.
        held: as the driver reads it.
    """
    if column.may_differ:
        return True
    if sent is None or held is None:
        return sent is held
    return _COMPARISONS[column.type](column, sent, held)


def _holds_text(column: Column, sent: Any, held: Any) -> bool:
    return bool((held.rstrip(" ") if column.padded and isinstance(held, str) else held) == sent)


def _holds_number(_column: Column, sent: Any, held: Any) -> bool:
    exact = _exact(held)
    return exact is not None and exact == _exact(sent)


def _holds_boolean(_column: Column, sent: Any, held: Any) -> bool:
    return held in (0, 1, b"\0", b"\1") and sent is (held in (1, b"\1"))


def _holds_date(_column: Column, sent: Any, held: Any) -> bool:
    return str(held.date() if isinstance(held, datetime) else held) == str(sent)


def _holds_timestamp(_column: Column, sent: Any, held: Any) -> bool:
    if isinstance(sent, datetime) and isinstance(held, datetime):
        # Without a zone it was written in that of the transaction, which is UTC.
        sent, held = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (sent, held))
    return bool(sent == held)


def _holds_json(_column: Column, sent: Any, held: Any) -> bool:
    try:
        return bool(canonical(json.loads(held) if isinstance(held, str | bytes) else held).decode() == sent)
    except ValueError:
        return False


def _holds_other(_column: Column, sent: Any, held: Any) -> bool:
    """Compare what the driver reads as it was sent; of types that it reads otherwise no more is known than that it took it."""
    if isinstance(held, UUID):
        return isinstance(sent, str) and sent.strip("{}").replace("-", "").casefold() == held.hex
    if isinstance(held, str) and isinstance(sent, str):
        return held == sent
    if isinstance(held, int | float | Decimal) and not isinstance(held, bool):
        return _exact(held) == _exact(sent)
    return True


_COMPARISONS: dict[ColumnType | None, Callable[[Column, Any, Any], bool]] = {
    "text": _holds_text,
    "integer": _holds_number,
    "number": _holds_number,
    "boolean": _holds_boolean,
    "date": _holds_date,
    "timestamp": _holds_timestamp,
    "json": _holds_json,
    None: _holds_other,
}
