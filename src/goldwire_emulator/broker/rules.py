"""The rules of a subscription: which messages it takes, and what their actions change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from goldwire_emulator.broker.entities import CorrelationFilter, RuleSettings
from goldwire_emulator.broker.message import Edits, NewMessage
from goldwire_emulator.broker.refusals import AlreadyExistsError, NotFoundError
from goldwire_emulator.broker.sql_parser import PropertyName, Statement, parse_action, parse_filter
from goldwire_emulator.broker.sql_values import equal

DEFAULT_RULE = RuleSettings("$Default")


class Rules:
    """The rules in force.

    Args:
        settings: in their order.

    Raises:
        ArgumentError: a filter or an action is not of the language.
    """

    def __init__(self, settings: Iterable[RuleSettings]) -> None:
        self._rules = {each.name.lower(): _CompiledRule(each) for each in settings}

    def settings(self) -> tuple[RuleSettings, ...]:
        """All rules, in their order."""
        return tuple(rule.settings for rule in self._rules.values())

    def with_rule(self, settings: RuleSettings) -> Rules:
        """These and one more.

        Raises:
            AlreadyExistsError: there is one of that name.
            ArgumentError: its SQL is not of the language.
        """
        if settings.name.lower() in self._rules:
            raise AlreadyExistsError(f"there is a rule '{settings.name}' already; remove it first")
        return Rules([*self.settings(), settings])

    def without_rule(self, name: str) -> Rules:
        """These without one.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name.lower() not in self._rules:
            raise NotFoundError(f"there is no rule '{name}'")
        return Rules(each for each in self.settings() if each.name.lower() != name.lower())

    def copies(self, message: NewMessage) -> list[NewMessage]:
        """The copies of a message that the subscription takes.

        One for all matching rules without an action together, and one more for each matching rule with an action.
        """
        matching = [rule for rule in self._rules.values() if rule.matches(message)]
        copies = [message] if any(not rule.statements for rule in matching) else []
        return copies + [message.edited(rule.edits(message)) for rule in matching if rule.statements]


class _CompiledRule:
    def __init__(self, settings: RuleSettings) -> None:
        self.settings = settings
        self.statements = parse_action(settings.action) if settings.action.strip() else []
        self.matches: Callable[[NewMessage], bool] = (
            _sql(settings.sql) if settings.correlation is None else _correlation(settings.correlation)
        )

    def edits(self, message: NewMessage) -> Edits:
        done = Edits()
        for statement in self.statements:
            done = done.then(_step(statement, message.edited(done)))
        return done


def _sql(text: str) -> Callable[[NewMessage], bool]:
    condition = parse_filter(text)
    return lambda message: condition(message) is True


def _correlation(wanted: CorrelationFilter) -> Callable[[NewMessage], bool]:
    system = list(wanted.system.items())
    application = [(PropertyName("user", name), value) for name, value in wanted.application.items()]
    return lambda message: (
        all(str(message.system.get(name)) == value for name, value in system)
        and all(equal(wanted_name.of(message), value) is True for wanted_name, value in application)
    )


def _step(statement: Statement, message: NewMessage) -> Edits:
    wanted_name, name = statement.property_name, statement.property_name.name
    value: Any = None if statement.value is None else statement.value(message)
    if wanted_name.scope == "sys":
        return Edits(system={name: None if value is None else str(value)})
    # A property that stands there in other letter case is the same property.
    name = next((held for held in message.application if held.lower() == name.lower()), name)
    if statement.value is None:
        return Edits(removed=(name,))
    return Edits(application={name: value})
