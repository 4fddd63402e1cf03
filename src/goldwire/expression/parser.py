"""Reads a `where:` expression into its syntax tree: the grammar of the CEL language definition, without messages."""

from __future__ import annotations

from collections.abc import Callable

from goldwire.expression.lexer import Token, tokens
from goldwire.expression.syntax import (
    Binary,
    Call,
    Conditional,
    Foreign,
    Index,
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

LENGTH_MAX = 8192
"""The longest expression, in characters."""

DEPTH_MAX = 40
"""How deep an expression may nest."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> Node:
    """Read an expression.

    Raises:
        ContractError: it is no CEL expression, too long, or nested too deep; the text names the location.
    """
    if len(text) > LENGTH_MAX:
        raise fault(text, 0, f"longer than {LENGTH_MAX} characters; simplify it")
    reader = _Reader(text)
    node = reader.expression()
    if reader.here.kind != "end":
        raise reader.unexpected("an operator or the end")
    return node


class _Reader:
    """Recursive descent, one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._index = 0
        self._depth = 0

    @property
    def here(self) -> Token:
        return self._tokens[self._index]

    def unexpected(self, wanted: str) -> Exception:
        return fault(self._text, self.here.at, f"expected {wanted}")

    def expression(self) -> Node:
        self._enter()
        condition = self._logic("||")
        if self._take("?"):
            then = self._logic("||")
            self._expect(":")
            condition = Conditional(condition.at, condition, then, self.expression())
        self._depth -= 1
        return condition

    def _logic(self, operator: str) -> Node:
        terms = [self._logic("&&") if operator == "||" else self._comparison()]
        while self._take(operator):
            terms.append(self._logic("&&") if operator == "||" else self._comparison())
        return terms[0] if len(terms) == 1 else Logic(terms[0].at, operator, tuple(terms))

    def _comparison(self) -> Node:
        return self._left_to_right(_COMPARISONS, self._sum)

    def _sum(self) -> Node:
        return self._left_to_right(("+", "-"), lambda: self._left_to_right(("*", "/", "%"), self._unary))

    def _left_to_right(self, operators: tuple[str, ...], part: Callable[[], Node]) -> Node:
        left = part()
        links = 0
        while self.here.kind in {"sign", "name"} and self.here.value in operators:
            token = self._next()
            left = Binary(token.at, token.value, left, part())
            links += 1
            if links > DEPTH_MAX:
                raise fault(self._text, token.at, f"more than {DEPTH_MAX} operators in a row; simplify the expression")
        return left

    def _unary(self) -> Node:
        token = self.here
        if token.kind == "sign" and token.value in "!-":
            self._enter()
            self._next()
            if token.value == "-" and self.here.kind in {"int", "double"}:
                node = self._members(self._number(self._next(), -1))
            else:
                node = Unary(token.at, token.value, self._unary())
            self._depth -= 1
            return node
        return self._members(self._primary())

    def _members(self, node: Node) -> Node:
        links = 0
        while self.here.kind == "sign":
            at = self.here.at
            links += 1
            if links > DEPTH_MAX:
                raise fault(self._text, at, f"more than {DEPTH_MAX} members in a row; simplify the expression")
            if self._take("."):
                name = self._name()
                node = Call(at, name, node, self._arguments(")")) if self._take("(") else Select(node.at, node, name)
            elif self._take("["):
                key = self.expression()
                self._expect("]")
                node = Index(node.at, node, key)
            else:
                break
        return node

    def _primary(self) -> Node:
        token = self._next()
        if token.kind in {"int", "double"}:
            return self._number(token, 1)
        if token.kind == "text":
            return Literal(token.at, token.value)
        if token.kind in {"uint", "bytes"}:
            return Foreign(token.at, token.kind)
        if token.kind == "name" and token.value != "in":
            return self._word(token)
        return self._bracket(token)

    def _word(self, token: Token) -> Node:
        if token.value in _CONSTANTS:
            return Literal(token.at, _CONSTANTS[token.value])
        if self._take("("):
            return Call(token.at, token.value, None, self._arguments(")"))
        return Name(token.at, token.value)

    def _bracket(self, token: Token) -> Node:
        if token.value == "(":
            node = self.expression()
            self._expect(")")
            return node
        if token.value == "[":
            return ListOf(token.at, self._arguments("]"))
        if token.value == "{":
            return self._map(token.at)
        self._index -= 1
        raise self.unexpected("a value, a name or an opening bracket")

    def _number(self, token: Token, sign: int) -> Literal:
        if token.kind == "double":
            return Literal(token.at, sign * float(token.value))
        value = sign * int(token.value, 16 if token.value[:2] in {"0x", "0X"} else 10)
        if not INT_MIN <= value <= INT_MAX:
            raise fault(self._text, token.at, "an integer beyond 64 bits")
        return Literal(token.at, value)

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._take(closing):
            if found:
                self._expect(",")
                if closing == "]" and self._take(closing):
                    break
            found.append(self.expression())
        return tuple(found)

    def _map(self, at: int) -> MapOf:
        found: list[tuple[Node, Node]] = []
        while not self._take("}"):
            if found:
                self._expect(",")
            key = self.expression()
            self._expect(":")
            found.append((key, self.expression()))
        return MapOf(at, tuple(found))

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise fault(self._text, self.here.at, f"nested deeper than {DEPTH_MAX} levels; simplify the expression")

    def _next(self) -> Token:
        token = self.here
        if token.kind == "end":
            raise self.unexpected("a value")
        self._index += 1
        return token

    def _take(self, sign: str) -> bool:
        if self.here.kind == "sign" and self.here.value == sign:
            self._index += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self.unexpected(f"`{sign}`")

    def _name(self) -> str:
        if self.here.kind != "name":
            raise self.unexpected("a name")
        return self._next().value
