"""The values of rule expressions: three-valued logic, and operators that follow the service's documented semantics.

`None` stands for NULL and for unknown. An operator on unknown gives unknown; so does one whose operands do not fit
together, such as text with a number, of which the reference says nothing: the message is not matched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from goldwire_emulator.broker.message import NewMessage

Evaluate = Callable[[NewMessage], Any]


_LONG = 1 << 63


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def comparable(left: Any, right: Any) -> bool:
    """Whether two values are of one kind: two numbers, two texts, two booleans."""
    return (_number(left) and _number(right)) or (not _number(left) and type(left) is type(right))


def equal(left: Any, right: Any) -> bool | None:
    """`=`."""
    if left is None or right is None or not comparable(left, right):
        return None
    return bool(left == right)


def compare(sign: str, left: Any, right: Any) -> bool | None:
    """Any comparison."""
    same = equal(left, right)
    if same is None or sign == "=":
        return same
    if sign in {"<>", "!="}:
        return not same
    if isinstance(left, bool):
        return None
    below = bool(left < right)
    return {"<": below, "<=": below or same, ">": not below and not same, ">=": not below}[sign]


def calculate(sign: str, left: Any, right: Any) -> Any:
    """`+ - * / %`; division of whole numbers truncates towards zero, as in C#; what 64 bits do not hold is unknown."""
    if left is None or right is None:
        return None
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if not (_number(left) and _number(right)) or (sign in "/%" and right == 0):
        return None
    try:
        result = _divide(sign, left, right) if sign in "/%" else {"+": left + right, "-": left - right, "*": left * right}[sign]
    except OverflowError:  # a whole number too large to be made a fraction, or an infinite one to be made whole
        return None
    return result if isinstance(result, float) or -_LONG <= result < _LONG else None


def _divide(sign: str, left: float, right: float) -> float:
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if sign == "/" else left - quotient * right
    return left / right if sign == "/" else left - right * int(left / right)


def both(left: bool | None, right: bool | None) -> bool | None:
    """AND."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def either(left: bool | None, right: bool | None) -> bool | None:
    """OR."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def negated(value: bool | None) -> bool | None:
    """NOT."""
    return None if value is None else not value


def among(value: Any, options: Sequence[Any]) -> bool | None:
    """IN: unknown only if the value is."""
    return None if value is None else any(equal(value, option) is True for option in options)


def like(value: Any, pattern: Any, escape: Any) -> bool | None:
    """LIKE: `%` any text, `_` any character; the escape character takes both their meaning away."""
    if not isinstance(value, str) or not isinstance(pattern, str) or not isinstance(escape, str | None):
        return None
    return _pattern(pattern, escape).fullmatch(value) is not None


@lru_cache(maxsize=256)
def _pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    out, characters = [], iter(pattern)
    for character in characters:
        if character == escape:
            out.append(re.escape(next(characters, character)))
        else:
            out.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
    return re.compile("".join(out), re.DOTALL)
