"""Reads the SQL of Service Bus rules into functions of a message: filters, and the statements of actions.

The grammar, the scopes and the reserved words are those of
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-messaging-sql-filter and `…-sql-rule-action`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple
from uuid import uuid4

from goldwire_emulator.broker import sql_values as values
from goldwire_emulator.broker.message import SYSTEM_PROPERTIES, NewMessage
from goldwire_emulator.broker.refusals import ArgumentError
from goldwire_emulator.broker.sql_tokens import Token, tokens
from goldwire_emulator.broker.sql_values import Evaluate

MAX_CHARACTERS = 1024
"""The service's limit of a filter condition and of an action."""
_COMPARISONS = frozenset({"=", "<>", "!=", ">", ">=", "<", "<="})


class PropertyName(NamedTuple):
    """A property that an expression names: `sys.Label`, `user.region`, `region`."""

    scope: Literal["sys", "user"]
    name: str

    def of(self, message: NewMessage) -> Any:
        """Return its value; None if it is not there. Names are compared without case."""
        if self.scope == "sys":
            return message.system.get(self.name)
        if self.name in message.application:
            return message.application[self.name]
        wanted = self.name.lower()
        return next((value for name, value in message.application.items() if name.lower() == wanted), None)


class Statement(NamedTuple):
    """One step of an action: `SET property_name = value`, or `REMOVE property_name`, which has no value."""

    property_name: PropertyName
    value: Evaluate | None


def parse_filter(text: str) -> Evaluate:
    """Return a function that says whether a message matches: True, False or unknown.

    Raises:
        ArgumentError: the text is not of the language.
    """
    parser = _Parser(text)
    condition = parser.disjunction()
    parser.expect("end", "end")
    return condition


def parse_action(text: str) -> list[Statement]:
    """Return the statements of an action.

    Raises:
        ArgumentError: the text is not of the language.
    """
    parser = _Parser(text)
    statements = [parser.statement()]
    while parser.now.kind != "end":
        parser.take("sign", ";")
        parser.take("sign", ",")
        if parser.now.kind != "end":
            statements.append(parser.statement())
    return statements


class _Parser:
    """Recursive descent; each method reads one level of the grammar and leaves the next token as `now`."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise ArgumentError(f"the rule's SQL has {len(text)} characters, more than {MAX_CHARACTERS}")
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    @property
    def now(self) -> Token:
        return self._tokens[self._at]

    def take(self, kind: str, *wanted: Any) -> Token | None:
        token = self.now
        if token.kind != kind or (wanted and token.value not in wanted):
            return None
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def expect(self, kind: str, value: str) -> Token:
        token = self.take(kind, value) if value else self.take(kind)
        if token is None:
            raise ArgumentError(
                f"the rule's SQL needs {value or kind} instead of '{self.now.value}' "
                f"at character {self.now.position + 1}: {self._text}"
            )
        return token

    def statement(self) -> Statement:
        if self.take("keyword", "REMOVE"):
            return Statement(self.property_name(), None)
        self.expect("keyword", "SET")
        property_name = self.property_name()
        self.expect("sign", "=")
        return Statement(property_name, self.sum())

    def disjunction(self) -> Evaluate:
        left = self.conjunction()
        while self.take("keyword", "OR"):
            left = _joined(values.either, left, self.conjunction())
        return left

    def conjunction(self) -> Evaluate:
        left = self.negation()
        while self.take("keyword", "AND"):
            left = _joined(values.both, left, self.negation())
        return left

    def negation(self) -> Evaluate:
        if self.take("keyword", "NOT"):
            inner = self.negation()
            return lambda message: values.negated(_truth(inner(message)))
        return self.predicate()

    def predicate(self) -> Evaluate:
        if self.take("keyword", "EXISTS"):
            self.expect("sign", "(")
            property_name = self.property_name()
            self.expect("sign", ")")
            return lambda message: property_name.of(message) is not None
        left = self.sum()
        if sign := self.take("sign", *_COMPARISONS):
            right = self.sum()
            return lambda message: values.compare(sign.value, left(message), right(message))
        if self.take("keyword", "IS"):
            wanted = not self.take("keyword", "NOT")
            self.expect("keyword", "NULL")
            return lambda message: (left(message) is None) is wanted
        return self.membership(left)

    def membership(self, left: Evaluate) -> Evaluate:
        denied = self.take("keyword", "NOT") is not None
        if self.take("keyword", "IN"):
            found = self.options(left)
        elif self.take("keyword", "LIKE"):
            found = self.pattern(left)
        elif denied:
            raise ArgumentError(f"the rule's SQL needs IN or LIKE after NOT at character {self.now.position + 1}: {self._text}")
        else:
            return left
        return (lambda message: values.negated(found(message))) if denied else found

    def options(self, left: Evaluate) -> Evaluate:
        self.expect("sign", "(")
        options = [self.sum()]
        while self.take("sign", ","):
            options.append(self.sum())
        self.expect("sign", ")")
        return lambda message: values.among(left(message), [option(message) for option in options])

    def pattern(self, left: Evaluate) -> Evaluate:
        pattern = self.sum()
        escape = self.sum() if self.take("keyword", "ESCAPE") else _constant(None)
        return lambda message: values.like(left(message), pattern(message), escape(message))

    def sum(self) -> Evaluate:
        left = self.product()
        while sign := self.take("sign", "+", "-"):
            left = _calculated(sign.value, left, self.product())
        return left

    def product(self) -> Evaluate:
        left = self.unary()
        while sign := self.take("sign", "*", "/", "%"):
            left = _calculated(sign.value, left, self.unary())
        return left

    def unary(self) -> Evaluate:
        if sign := self.take("sign", "+", "-"):
            return _calculated(sign.value, _constant(0), self.unary())
        if self.take("sign", "("):
            inner = self.disjunction()
            self.expect("sign", ")")
            return inner
        return self.operand()

    def operand(self) -> Evaluate:
        if token := self.take("number") or self.take("string"):
            return _constant(token.value)
        if token := self.take("keyword", "TRUE", "FALSE", "NULL"):
            return _constant({"TRUE": True, "FALSE": False, "NULL": None}[token.value])
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self.now.kind == "name" and following == ("sign", "(", following.position):
            return self.function()
        return self.property_name().of

    def function(self) -> Evaluate:
        name = self.expect("name", "").value.lower()
        self.expect("sign", "(")
        if name == "newid":
            self.expect("sign", ")")
            return lambda _: str(uuid4())
        if name not in {"property", "p"}:
            raise ArgumentError(f"the rule's SQL calls {name}(): the functions are newid() and property(name): {self._text}")
        named = self.sum()
        self.expect("sign", ")")
        return lambda message: PropertyName("user", str(named(message))).of(message)

    def property_name(self) -> PropertyName:
        name = self.expect("name", "").value
        if name.lower() in {"sys", "user"} and self.take("sign", "."):
            scope, name = name.lower(), self.expect("name", "").value
            if scope == "sys":
                return _system(name)
        return PropertyName("user", name)


def _system(name: str) -> PropertyName:
    known = SYSTEM_PROPERTIES.get(name.lower())
    if known is None:
        raise ArgumentError(
            f"sys.{name} is no system property that rules can use here; those are {', '.join(SYSTEM_PROPERTIES)}"
        )
    return PropertyName("sys", known)


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _joined(join: Any, left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda message: join(_truth(left(message)), _truth(right(message)))


def _calculated(sign: str, left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda message: values.calculate(sign, left(message), right(message))
