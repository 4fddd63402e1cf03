"""Ties the names in a `where:` expression to what they mean, and finds what the subset leaves to the full CEL package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from goldwire.errors import did_you_mean
from goldwire.expression.patterns import linear_pattern
from goldwire.expression.syntax import (
    AttributeRef,
    Binary,
    Call,
    Conditional,
    Foreign,
    Has,
    Index,
    Known,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Name,
    Node,
    Select,
    Unary,
    fault,
)  # fmt: skip

KNOWN = ("entity.id", "entity.type", "record.approval", "record.confidence", "record.status", "changed")
MEMBERS = ("value", "confidence", "provenance", "lastSeen")
FUNCTIONS = ("size", "string", "int", "double")
METHODS = {"startsWith": 1, "endsWith": 1, "contains": 1, "matches": 1, "size": 0}
_FULL = frozenset((
    "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
    "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "int",
    "matches", "size", "startsWith", "string", "timestamp", "type", "uint",
))  # fmt: skip
"""The functions of the language definition; the full package finds an unknown one only when it runs."""
_MACROS = ("all", "exists", "exists_one", "filter", "map")
_ROOTS = ("a", "attributes", "changed", "entity", "record")


class Resolver:
    """Walks a syntax tree once.

    Attributes:
        attributes: every attribute that is referred to.
        values: those whose value decides, rather than its presence, provenance or confidence alone.
        known: names like `entity.id` that are referred to.
        outside: why the full package is needed, or None.
        patterns: those of `matches` that are constant, each with its location.
    """

    def __init__(self, text: str, attributes: Collection[str]) -> None:
        self._text = text
        self._model = frozenset(attributes)
        self._bound: list[str] = []
        self.attributes: set[str] = set()
        self.values: set[str] = set()
        self.known: set[str] = set()
        self.outside: str | None = None
        self.patterns: list[tuple[int, str]] = []

    def resolve(self, node: Node) -> Node:
        """Return the tree with attributes and known names instead of paths.

        Raises:
            ContractError: a name is unknown here.
        """
        return _RESOLVERS[type(node)](self, node)

    def _parts(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        return tuple(map(self.resolve, nodes))

    def _same(self, node: Node) -> Node:
        return node

    def _any_path(self, node: Node) -> Node:
        return self._path(node, presence=False)

    def _logic(self, node: Logic) -> Node:
        return Logic(node.at, node.operator, self._parts(node.terms))

    def _binary(self, node: Binary) -> Node:
        return Binary(node.at, node.operator, self.resolve(node.left), self.resolve(node.right))

    def _unary(self, node: Unary) -> Node:
        return Unary(node.at, node.operator, self.resolve(node.of))

    def _conditional(self, node: Conditional) -> Node:
        return Conditional(node.at, *self._parts((node.condition, node.then, node.otherwise)))

    def _list(self, node: ListOf) -> Node:
        return ListOf(node.at, self._parts(node.items))

    def _map(self, node: MapOf) -> Node:
        self.outside = "a map"
        return MapOf(node.at, tuple((self.resolve(key), self.resolve(item)) for key, item in node.items))

    def _foreign(self, node: Foreign) -> Node:
        self.outside = f"a literal of type {node.what}"
        return node

    def _path(self, node: Node, *, presence: bool) -> Node:
        """Resolve `root.…`; `presence` when only `has()` asks for the last step."""
        steps: list[tuple[Node, str | Node]] = []
        root = node
        while isinstance(root, Select | Index):
            if isinstance(root, Select):
                steps.append((root, root.field))
            elif isinstance(root.key, Literal) and isinstance(root.key.value, str):
                steps.append((root, root.key.value))
            else:
                steps.append((root, root.key))
            root = root.of
        steps.reverse()
        if isinstance(root, Name) and root.name not in self._bound:
            head, used = self._head(root, steps, presence=presence)
        else:
            head, used = (root if isinstance(root, Name) else self.resolve(root)), 0
        for step, key in steps[used:]:
            if isinstance(step, Select):
                head = Select(step.at, head, step.field)
            else:
                head = Index(step.at, head, Literal(step.at, key) if isinstance(key, str) else self.resolve(key))
        return head

    def _head(self, root: Name, steps: list[tuple[Node, str | Node]], *, presence: bool) -> tuple[Node, int]:
        names = [key for _, key in steps[:2]]
        if root.name == "changed":
            self.known.add("changed")
            return Known(root.at, "changed"), 0
        if root.name in {"entity", "record"}:
            return self._of_record(root, names), 1
        if root.name not in _ROOTS:
            raise fault(self._text, root.at, f"`{root.name}` means nothing here; an attribute is written `a.{root.name}`")
        if not names or not isinstance(names[0], str):
            raise fault(self._text, root.at, f'name one attribute: `{root.name}.NAME` or `{root.name}["NAME"]`')
        return self._attribute(root, names[0], steps, presence=presence)

    def _of_record(self, root: Name, names: list[str | Node]) -> Node:
        name = f"{root.name}.{names[0]}" if names and isinstance(names[0], str) else root.name
        if name not in KNOWN:
            raise fault(self._text, root.at, f"`{name}` means nothing here{did_you_mean(name, KNOWN)}")
        self.known.add(name)
        return Known(root.at, name)

    def _attribute(
        self, root: Name, attribute: str, steps: list[tuple[Node, str | Node]], *, presence: bool
    ) -> tuple[Node, int]:
        if attribute not in self._model:
            raise fault(self._text, root.at, f"unknown attribute {attribute!r}{did_you_mean(attribute, self._model)}")
        self.attributes.add(attribute)
        if root.name == "a":
            if not presence or len(steps) > 1:
                self.values.add(attribute)
            return AttributeRef(root.at, attribute, "value"), 1
        if presence and len(steps) == 1:
            return AttributeRef(root.at, attribute, "value"), 1
        member = steps[1][1] if len(steps) > 1 else None
        if member not in MEMBERS:
            raise fault(self._text, root.at, f"write `attributes.{attribute}.value`, or one of {', '.join(MEMBERS[1:])}")
        if member == "value" and not (presence and len(steps) == 2):  # noqa: PLR2004 - two steps: NAME and value
            self.values.add(attribute)
        return AttributeRef(root.at, attribute, str(member)), 2

    def _call(self, node: Call) -> Node:
        if node.function == "has" and node.target is None:
            return self._has(node)
        if node.target is not None and node.function in _MACROS and node.arguments:
            return self._macro(node)
        if node.function not in _FULL:
            known = _FULL.union(_MACROS)
            raise fault(self._text, node.at, f"unknown function `{node.function}`{did_you_mean(node.function, known)}")
        count = len(node.arguments)
        if node.target is None:
            if node.function not in FUNCTIONS or count != 1:
                self.outside = f"the function `{node.function}`"
        elif METHODS.get(node.function) != count:
            self.outside = f"the function `{node.function}`"
        elif node.function == "matches":
            pattern = node.arguments[0]
            if isinstance(pattern, Literal) and type(pattern.value) is str:
                self.patterns.append((node.at, pattern.value))
            if not (isinstance(pattern, Literal) and type(pattern.value) is str and linear_pattern(pattern.value)):
                self.outside = "a pattern of `matches` beyond `^`, characters, classes and one unbounded repeat"
        target = None if node.target is None else self.resolve(node.target)
        return Call(node.at, node.function, target, tuple(map(self.resolve, node.arguments)))

    def _has(self, node: Call) -> Node:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Select | Index):
            raise fault(self._text, node.at, "has() takes one member, e.g. `has(a.email)`")
        return Has(node.at, self._path(node.arguments[0], presence=True))

    def _macro(self, node: Call) -> Node:
        self.outside = f"the macro `{node.function}`"
        assert node.target is not None, "a macro has a target"
        target = self.resolve(node.target)
        variable = node.arguments[0]
        if not isinstance(variable, Name) or variable.name in _ROOTS:
            raise fault(self._text, variable.at, "a macro's variable is a plain name, and none of " + ", ".join(_ROOTS))
        self._bound.append(variable.name)
        rest = tuple(map(self.resolve, node.arguments[1:]))
        self._bound.pop()
        return Call(node.at, node.function, target, (variable, *rest))


_RESOLVERS: dict[type[Node], Callable[[Resolver, Any], Node]] = {
    Binary: Resolver._binary,  # noqa: SLF001 - the class's own table, which needs the class
    Call: Resolver._call,  # noqa: SLF001
    Conditional: Resolver._conditional,  # noqa: SLF001
    Foreign: Resolver._foreign,  # noqa: SLF001
    Index: Resolver._any_path,  # noqa: SLF001
    ListOf: Resolver._list,  # noqa: SLF001
    Literal: Resolver._same,  # noqa: SLF001
    Logic: Resolver._logic,  # noqa: SLF001
    MapOf: Resolver._map,  # noqa: SLF001
    Name: Resolver._any_path,  # noqa: SLF001
    Select: Resolver._any_path,  # noqa: SLF001
    Unary: Resolver._unary,  # noqa: SLF001
}
