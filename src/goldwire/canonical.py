"""Canonical JSON (RFC 8785): a plain value becomes the one sequence of bytes that every language agrees on.

A value is brought into this form once, where it enters; from then on its bytes are moved, compared and hashed, never
encoded again. Open to all rooms, because capture needs it first and the event last.

The plain domain is I-JSON (RFC 7493): null, booleans, integers within ±(2^53 - 1), finite doubles, strings without lone
surrogates, arrays, and objects with string keys.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader holds exactly (RFC 7493, section 2.2)."""

MAX_DEPTH = 64
"""How deep a value may nest before it is refused."""


class NotPlainError(ValueError):
    """A value lies outside the plain domain; the text says which and how to mend it, without the value itself."""


def canonical(value: Any, *, depth: int = 0) -> bytes:  # noqa: PLR0911 - one return for each type reads best
    """Return the RFC 8785 form of a plain value.

    Raises:
        NotPlainError: the value has no exact JSON form.
    """
    kind = type(value)
    if kind is str:
        return text(value)
    if value is None:
        return b"null"
    if kind is bool:
        return b"true" if value else b"false"
    if kind is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return b"%d" % value
        raise NotPlainError("an integer beyond ±(2^53 - 1) has no exact JSON form; send it as a string")
    if kind is float:
        return number(value)
    if depth >= MAX_DEPTH:
        raise NotPlainError(f"nested deeper than {MAX_DEPTH} levels")
    if kind is list or kind is tuple:
        return b"[" + b",".join([canonical(item, depth=depth + 1) for item in value]) + b"]"
    if kind is dict:
        return _object(value, depth)
    raise NotPlainError(f"a {kind.__name__} is no plain JSON value; give a string, a number, a list or an object")


def text(value: str) -> bytes:
    """Return a string's canonical form.

    Raises:
        NotPlainError: it holds a lone surrogate, which UTF-8 cannot carry.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise NotPlainError("a string with a lone surrogate cannot be written as UTF-8") from error


def number(value: float) -> bytes:
    """Return a double as ECMAScript prints it (ECMA-262, Number::toString), which is what RFC 8785 asks for.

    Raises:
        NotPlainError: it is infinite or not a number.
    """
    if not math.isfinite(value):
        raise NotPlainError("NaN and infinity have no JSON form; leave the value out or send null")
    if value == 0:
        return b"0"
    mantissa, _, exponent = repr(value).partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return (sign + _point_set(digits, point)).encode()


def _point_set(digits: str, point: int) -> str:
    """Write significant digits with the decimal point after `point` of them, as ECMAScript chooses to."""
    count = len(digits)
    if count <= point <= 21:  # noqa: PLR2004 - ECMA-262 names 21 and -6
        return digits + "0" * (point - count)
    if 0 < point <= 21:  # noqa: PLR2004
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:  # noqa: PLR2004
        return f"0.{'0' * -point}{digits}"
    exponent = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{digits[0]}.{digits[1:]}{exponent}" if count > 1 else digits + exponent


def key_order(key: str) -> bytes:
    """Sort key that orders object keys by UTF-16 code units (RFC 8785, section 3.2.3)."""
    return key.encode("utf-16-be", "surrogatepass")


def _object(value: dict[Any, Any], depth: int) -> bytes:
    for key in value:
        if type(key) is not str:
            raise NotPlainError(f"an object key must be a string, not a {type(key).__name__}")
    members = [text(key) + b":" + canonical(value[key], depth=depth + 1) for key in sorted(value, key=key_order)]
    return b"{" + b",".join(members) + b"}"
