"""What a compiled `where:` expression calls: CEL's rules for comparing and computing, on plain Python values.

Numbers of a record are doubles, as CEL reads JSON. An error never holds a value of the record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Never

import msgspec
from msgspec import UNSET, Struct

from goldwire.canonical import number
from goldwire.expression.parser import INT_MAX, INT_MIN
from goldwire.redaction import shows

_NUMBERS = (int, float)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_NAMES = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map", type(None): "null"}


class EvaluationError(Exception):
    """An expression has no result for a record; the text says why, without the record's values."""


class MissingError(EvaluationError):
    """An expression looks at what the record does not have."""


@shows()
class _Value(Struct, gc=False):
    value: Any


class _Confidence(Struct, gc=False):
    confidence: float


class _Provenance(Struct, gc=False):
    provenance: str


class _LastSeen(Struct, gc=False):
    lastSeen: str  # noqa: N815 - the member's name in the state


_value = msgspec.json.Decoder(_Value).decode
_confidence = msgspec.json.Decoder(_Confidence).decode
_provenance = msgspec.json.Decoder(_Provenance).decode
_last_seen = msgspec.json.Decoder(_LastSeen).decode


def value(raw: Any) -> Any:
    """Decode an attribute's value."""
    if raw is UNSET:
        raise MissingError("an attribute that the record does not have")
    decoded = _value(raw).value
    return decoded if type(decoded) is str else _doubles(decoded)


def confidence(raw: Any) -> float:
    """Decode an attribute's confidence."""
    if raw is UNSET:
        raise MissingError("an attribute that the record does not have")
    return _confidence(raw).confidence


def provenance(raw: Any) -> str:
    """Decode the system that an attribute won from."""
    if raw is UNSET:
        raise MissingError("an attribute that the record does not have")
    return _provenance(raw).provenance


def last_seen(raw: Any) -> str:
    """Decode when an attribute was last seen."""
    if raw is UNSET:
        raise MissingError("an attribute that the record does not have")
    return _last_seen(raw).lastSeen


def _doubles(decoded: Any) -> Any:
    kind = type(decoded)
    if kind is int:
        return float(decoded)
    if kind is list:
        return [_doubles(item) for item in decoded]
    if kind is dict:
        return {key: _doubles(item) for key, item in decoded.items()}
    return decoded


def no_overload(operation: str, *operands: Any) -> Never:
    """Raise the error that an operation does not take operands of these kinds."""
    kinds = " and ".join(_NAMES.get(type(operand), "value") for operand in operands)
    raise EvaluationError(f"`{operation}` does not take {kinds}")


def absent() -> Never:
    """Raise the error that this entity type has no such attribute."""
    raise MissingError("an attribute that the entity type does not have")


def truth(operand: Any) -> bool:
    """Return a boolean; anything else has no truth in CEL."""
    if operand is True or operand is False:
        return bool(operand)
    no_overload("a condition", operand)


def negate(operand: Any) -> bool:
    """`!operand`."""
    return not truth(operand)


def _settled(parts: Sequence[Callable[[], Any]], decisive: bool) -> bool:
    failed: Exception | None = None
    for part in parts:
        try:
            if truth(part()) is decisive:
                return decisive
        except EvaluationError as error:
            # one that is not about a missing attribute is worth more to its reader
            if failed is None or isinstance(failed, MissingError):
                failed = error
    if failed is not None:
        raise failed
    return not decisive


def all_of(*parts: Callable[[], Any]) -> bool:
    """`&&`: false beside an error is false (CEL's logic is commutative)."""
    return _settled(parts, decisive=False)


def any_of(*parts: Callable[[], Any]) -> bool:
    """`||`: true beside an error is true."""
    return _settled(parts, decisive=True)


def equal(left: Any, right: Any) -> bool:
    """`==`: numbers compare across kinds, everything else of different kinds differs."""
    first, second = type(left), type(right)
    if first in _NUMBERS and second in _NUMBERS:
        return bool(left == right)
    if first is not second:
        return False
    if first is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if first is dict:
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    return bool(left == right)


def compare(operator: str, left: Any, right: Any) -> bool:
    """`<`, `<=`, `>`, `>=` over two numbers, two texts or two booleans."""
    first, second = type(left), type(right)
    if not (first in _NUMBERS and second in _NUMBERS) and not (first is second and first in {str, bool}):
        no_overload(operator, left, right)
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    return bool(left > right) if operator == ">" else bool(left >= right)


def contained(item: Any, container: Any) -> bool:
    """`in`: an item of a list, or a key of a map."""
    if type(container) is list:
        return any(equal(item, one) for one in container)
    if type(container) is dict:
        return type(item) is str and item in container
    no_overload("in", item, container)


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """`+ - * / %` over two integers, two doubles (not `%`), and `+` over two texts or two lists."""
    kind = type(left)
    if kind is not type(right) or kind not in {int, float, str, list}:
        no_overload(operator, left, right)
    if kind is int:
        return _integers(operator, left, right)
    if operator == "+":
        return left + right
    if kind is not float or operator == "%":
        no_overload(operator, left, right)
    if operator == "/":
        return _divide(left, right)
    try:
        return left - right if operator == "-" else left * right
    except OverflowError:
        return math.inf


def _divide(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _integers(operator: str, left: int, right: int) -> int:
    if operator in "/%":
        if right == 0:
            raise EvaluationError(f"`{operator}` by zero")
        quotient = abs(left) // abs(right)
        quotient = quotient if (left < 0) == (right < 0) else -quotient
        result = quotient if operator == "/" else left - right * quotient
    else:
        result = left + right if operator == "+" else left - right if operator == "-" else left * right
    return _bounded(result)


def _bounded(result: int) -> int:
    if INT_MIN <= result <= INT_MAX:
        return result
    raise EvaluationError("an integer beyond 64 bits")


def minus(operand: Any) -> Any:
    """`-operand`."""
    if type(operand) is int:
        return _bounded(-operand)
    if type(operand) is float:
        return -operand
    no_overload("-", operand)


def member(of: Any, key: Any) -> Any:
    """`of.key` or `of[key]`."""
    if type(of) is dict and type(key) is str:
        if key in of:
            return of[key]
        raise MissingError("a member that the value does not have")
    if type(of) is list and type(key) is int:
        if 0 <= key < len(of):
            return of[key]
        raise MissingError("an item that the list does not have")
    no_overload("[]", of, key)


def has_member(of: Any, key: str) -> bool:
    """`has(of.key)`."""
    if type(of) is dict:
        return key in of
    no_overload("has", of)


def size(of: Any) -> int:
    """Characters of a text, items of a list, members of a map."""
    if type(of) in {str, list, dict}:
        return len(of)
    no_overload("size", of)


def starts_with(of: Any, part: Any) -> bool:
    """`of.startsWith(part)`."""
    if type(of) is str and type(part) is str:
        return of.startswith(part)
    no_overload("startsWith", of, part)


def ends_with(of: Any, part: Any) -> bool:
    """`of.endsWith(part)`."""
    if type(of) is str and type(part) is str:
        return of.endswith(part)
    no_overload("endsWith", of, part)


def contains(of: Any, part: Any) -> bool:
    """`of.contains(part)`."""
    if type(of) is str and type(part) is str:
        return part in of
    no_overload("contains", of, part)


def matches(of: Any, pattern: re.Pattern[str]) -> bool:
    """`of.matches(pattern)`."""
    if type(of) is str:
        return pattern.search(of) is not None
    no_overload("matches", of)


def to_int(operand: Any) -> int:
    """`int(operand)`: a double is cut off towards zero, a text must be a decimal integer."""
    if type(operand) is int:
        return operand
    if type(operand) is float and math.isfinite(operand):
        return _bounded(int(operand))
    if type(operand) is str and _INTEGER.fullmatch(operand):
        return _bounded(int(operand))
    if type(operand) in {float, str}:
        raise EvaluationError("`int` of what is no integer")
    no_overload("int", operand)


def to_double(operand: Any) -> float:
    """`double(operand)`."""
    if type(operand) in _NUMBERS:
        return float(operand)
    if type(operand) is str:
        if _DOUBLE.fullmatch(operand):
            return float(operand)
        raise EvaluationError("`double` of what is no number")
    no_overload("double", operand)


def to_string(operand: Any) -> str:
    """`string(operand)`: numbers as JSON writes them."""
    if type(operand) is str:
        return operand
    if type(operand) is bool:
        return "true" if operand else "false"
    if type(operand) is int:
        return str(operand)
    if type(operand) is float and math.isfinite(operand):
        return number(operand).decode()
    no_overload("string", operand)
