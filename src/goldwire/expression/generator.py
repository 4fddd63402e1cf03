"""Turns a resolved `where:` expression into the source of a Python function.

The source holds only our own words and numbered constants: it contains no text of the expression and no name of an attribute.
`&&` and `||` exist in two forms. The quick one is Python's `and` and `or`; where it has a result, CEL has the same. When it
raises, the careful form decides: there `||` of true and an error is true, and `&&` of false and an error is false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from goldwire.expression import runtime
from goldwire.expression.patterns import linear_pattern
from goldwire.expression.syntax import (
    AttributeRef,
    Binary,
    Call,
    Conditional,
    Has,
    Index,
    Known,
    ListOf,
    Literal,
    Logic,
    Node,
    Select,
    Unary,
    fault,
)  # fmt: skip

_KNOWN = {
    "entity.id": ("r.entity_id", "string"),
    "entity.type": ("r.entity_type", "string"),
    "record.approval": ("s.approval", "string"),
    "record.confidence": ("s.confidence", "double"),
    "record.status": ("s.status", "string"),
    "changed": ("r.changed.split(',')", "list"),
}
_READERS = {
    "value": ("value", "json"),
    "confidence": ("confidence", "double"),
    "provenance": ("provenance", "string"),
    "lastSeen": ("last_seen", "string"),
}
_CALLS = {
    "size": ("size", "int"),
    "string": ("to_string", "string"),
    "int": ("to_int", "int"),
    "double": ("to_double", "double"),
    "startsWith": ("starts_with", "bool"),
    "endsWith": ("ends_with", "bool"),
    "contains": ("contains", "bool"),
    "matches": ("matches", "bool"),
}
_KIND_OF = {str: "string", int: "int", float: "double", bool: "bool", type(None): "null"}
_RUNTIME = {name: getattr(runtime, name) for name in (
    "absent", "all_of", "any_of", "arithmetic", "compare", "confidence", "contained", "contains", "ends_with", "equal",
    "has_member", "last_seen", "matches", "member", "minus", "negate", "provenance", "size", "starts_with", "to_double",
    "to_int", "to_string", "truth", "value",
)}  # fmt: skip

Code = tuple[str, str]
"""Source, and the kind of its result: bool, int, double, string, list, null, `json` (of the record, never an int), or any."""


class Generator:
    """Writes the source of one expression for one shape."""

    def __init__(self, text: str, fields: Mapping[str, str], *, careful: bool) -> None:
        self._text = text
        self._fields = fields
        self._careful = careful
        self._constants: dict[str, Any] = {}

    def function(self, node: Node) -> Any:
        """Return the function of `(row, state)`.

        Raises:
            ContractError: an operation can never have a result.
        """
        source = f"def where(r, s):\n A = s.attributes\n return {self._truth(node)}\n"
        space: dict[str, Any] = {**_RUNTIME, "UNSET": UNSET, **self._constants}
        exec(compile(source, "<where>", "exec"), space)  # noqa: S102 - our own words and numbered constants only
        return space["where"]

    def _truth(self, node: Node) -> str:
        source, kind = self._code(node)
        if kind == "bool":
            return source
        if kind not in {"json", "any"}:
            raise fault(self._text, node.at, f"a condition is true or false; this is of type {kind}")
        return f"truth({source})"

    def _code(self, node: Node) -> Code:
        return _WRITERS[type(node)](self, node)

    def _attribute(self, node: AttributeRef) -> Code:
        reader, kind = _READERS[node.member]
        field = self._fields.get(node.name)
        return (f"{reader}(A.{field})" if field else "absent()"), kind

    def _known(self, node: Known) -> Code:
        return _KNOWN[node.name]

    def _literal(self, node: Literal) -> Code:
        return self._constant(node.value), _KIND_OF[type(node.value)]

    def _list(self, node: ListOf) -> Code:
        return "[" + ", ".join(self._code(item)[0] for item in node.items) + "]", "list"

    def _unary(self, node: Unary) -> Code:
        if node.operator == "!":
            return f"negate({self._truth(node.of)})", "bool"
        source, kind = self._code(node.of)
        return f"minus({source})", kind

    def _conditional(self, node: Conditional) -> Code:
        then, otherwise = self._code(node.then), self._code(node.otherwise)
        kind = then[1] if then[1] == otherwise[1] else "any"
        return f"({then[0]} if {self._truth(node.condition)} else {otherwise[0]})", kind

    def _select(self, node: Select) -> Code:
        return f"member({self._code(node.of)[0]}, {self._constant(node.field)})", "json"

    def _index(self, node: Index) -> Code:
        return f"member({self._code(node.of)[0]}, {self._code(node.key)[0]})", "any"

    def _constant(self, value: Any) -> str:
        if value is None or value is True or value is False:
            return repr(value)
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    def _logic(self, node: Logic) -> Code:
        terms = [self._truth(term) for term in node.terms]
        if self._careful:
            name = "all_of" if node.operator == "&&" else "any_of"
            return f"{name}({', '.join(f'lambda: {term}' for term in terms)})", "bool"
        return "(" + (" and " if node.operator == "&&" else " or ").join(terms) + ")", "bool"

    def _has(self, node: Has) -> Code:
        return self._presence(node), "bool"

    def _presence(self, node: Has) -> str:
        of = node.of
        if isinstance(of, AttributeRef):
            field = self._fields.get(of.name)
            return f"(A.{field} is not UNSET)" if field else "False"
        if isinstance(of, Known):
            return "True"
        if isinstance(of, Select):
            return f"has_member({self._code(of.of)[0]}, {self._constant(of.field)})"
        if isinstance(of, Index) and isinstance(of.key, Literal) and isinstance(of.key.value, str):
            return f"has_member({self._code(of.of)[0]}, {self._constant(of.key.value)})"
        raise fault(self._text, node.at, "has() takes one member, e.g. `has(a.email)`")

    def _binary(self, node: Binary) -> Code:
        (left, first), (right, second) = self._code(node.left), self._code(node.right)
        kinds = {first, second}
        operator = node.operator
        if operator in {"==", "!="}:
            # a text equals only a text, and two doubles compare as Python compares them
            source = f"({left} == {right})" if "string" in kinds or kinds == {"double"} else f"equal({left}, {right})"
            return (source if operator == "==" else f"(not {source})"), "bool"
        if operator == "in":
            return f"contained({left}, {right})", "bool"
        if operator in {"<", "<=", ">", ">="}:
            if not kinds & {"json", "any"} and first != second and kinds != {"int", "double"}:
                raise fault(self._text, node.at, f"`{operator}` never compares {first} with {second}")
            plain = first == second and first in {"string", "double", "int"}
            return (f"({left} {operator} {right})" if plain else f"compare({operator!r}, {left}, {right})"), "bool"
        self._check_arithmetic(node, first, second)
        return f"arithmetic({operator!r}, {left}, {right})", first if first == second != "json" else "any"

    def _check_arithmetic(self, node: Binary, first: str, second: str) -> None:
        """Refuse an operation that would fail for every record: CEL adds integers to integers and doubles to doubles only."""
        kinds = {first, second}
        if "int" in kinds and kinds & {"json", "double"}:
            raise fault(
                self._text, node.at,
                f"`{node.operator}` takes two integers or two doubles, and numbers of a record are doubles; "
                "write 2.0 rather than 2, or int(…) around the other side",
            )  # fmt: skip
        if node.operator == "%" and kinds & {"json", "double"}:
            raise fault(self._text, node.at, "`%` takes two integers, and numbers of a record are doubles; write int(…)")

    def _call(self, node: Call) -> Code:
        name, kind = _CALLS[node.function]
        arguments = [] if node.target is None else [self._code(node.target)[0]]
        if node.function == "matches":
            pattern = node.arguments[0]
            assert isinstance(pattern, Literal)
            arguments.append(self._constant(linear_pattern(str(pattern.value))))
        else:
            arguments.extend(self._code(argument)[0] for argument in node.arguments)
        return f"{name}({', '.join(arguments)})", kind


_WRITERS: dict[type[Node], Callable[[Generator, Any], Code]] = {
    AttributeRef: Generator._attribute,  # noqa: SLF001 - the class's own table, which needs the class
    Binary: Generator._binary,  # noqa: SLF001
    Call: Generator._call,  # noqa: SLF001
    Conditional: Generator._conditional,  # noqa: SLF001
    Has: Generator._has,  # noqa: SLF001
    Index: Generator._index,  # noqa: SLF001
    Known: Generator._known,  # noqa: SLF001
    ListOf: Generator._list,  # noqa: SLF001
    Literal: Generator._literal,  # noqa: SLF001
    Logic: Generator._logic,  # noqa: SLF001
    Select: Generator._select,  # noqa: SLF001
    Unary: Generator._unary,  # noqa: SLF001
}
