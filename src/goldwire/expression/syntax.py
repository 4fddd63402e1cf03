"""The syntax tree of a `where:` expression, and the error that points into its text."""

from __future__ import annotations

from msgspec import Struct

from goldwire.errors import ContractError


class Node(Struct, frozen=True):
    """Part of an expression."""

    at: int
    """Where it begins: characters from the start of the expression, 0 first."""


class Literal(Node, frozen=True):
    """A number, a text, a boolean or null."""

    value: float | str | bool | None


class ListOf(Node, frozen=True):
    """`[a, b]`."""

    items: tuple[Node, ...]


class MapOf(Node, frozen=True):
    """`{a: b}`; outside the subset."""

    items: tuple[tuple[Node, Node], ...]


class Foreign(Node, frozen=True):
    """A literal outside the subset: bytes or an unsigned integer."""

    what: str


class Name(Node, frozen=True):
    """An identifier."""

    name: str


class Select(Node, frozen=True):
    """`of.field`."""

    of: Node
    field: str


class Index(Node, frozen=True):
    """`of[key]`."""

    of: Node
    key: Node


class Call(Node, frozen=True):
    """`function(arguments)` or `target.function(arguments)`."""

    function: str
    target: Node | None
    arguments: tuple[Node, ...]


class Unary(Node, frozen=True):
    """`!of` or `-of`."""

    operator: str
    of: Node


class Binary(Node, frozen=True):
    """A comparison, an arithmetic operation or `in`."""

    operator: str
    left: Node
    right: Node


class Logic(Node, frozen=True):
    """`&&` or `||` over two terms or more."""

    operator: str
    terms: tuple[Node, ...]


class Conditional(Node, frozen=True):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


class AttributeRef(Node, frozen=True):
    """`a.NAME`, or a member of `attributes.NAME`."""

    name: str
    member: str
    """`value`, `confidence`, `provenance` or `lastSeen`."""


class Has(Node, frozen=True):
    """`has(of.field)`."""

    of: Node


class Known(Node, frozen=True):
    """`entity.id`, `entity.type`, `record.approval`, `record.confidence`, `record.status` or `changed`."""

    name: str


def fault(text: str, at: int, what: str) -> ContractError:
    """Return the error that names a location in an expression and what stands there."""
    here = text[at : at + 20]
    location = f"at character {at + 1}, {here!r}" if here else "at its end"
    return ContractError(f"`where` {location}: {what}")
