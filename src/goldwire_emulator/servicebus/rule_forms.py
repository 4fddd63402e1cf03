"""Rules as they stand in requests and answers, which some SDKs change and list over AMQP.

The forms, codes included, are those of
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldwire_emulator.amqp.values import Described, ULong
from goldwire_emulator.broker.entities import CorrelationFilter, RuleSettings
from goldwire_emulator.broker.refusals import ArgumentError

_RULE = ULong(0x0000013700000004)
_NO_ACTION = ULong(0x0000013700000005)
_SQL_ACTION = ULong(0x0000013700000006)
# Microsoft writes these with one digit less; its clients compare with the number that results.
_SQL_FILTER = ULong(0x000001370000006)
_TRUE_FILTER = ULong(0x000001370000007)
_CORRELATION_FILTER = ULong(0x000001370000009)
_TRUE = "1=1"
_FIELDS = (
    "correlation_id",
    "message_id",
    "to",
    "reply_to",
    "label",
    "session_id",
    "reply_to_session_id",
    "content_type",
)
"""In the order of the described list; a request's map spells them with hyphens."""


def rule_from(name: str, description: Mapping[Any, Any]) -> RuleSettings:
    """Return the rule that a request describes.

    Raises:
        ArgumentError: it holds no filter.
    """
    action = (description.get("sql-rule-action") or {}).get("expression") or ""
    if sql := description.get("sql-filter"):
        return RuleSettings(name, sql=str(sql["expression"]), action=str(action))
    correlation = description.get("correlation-filter")
    if not correlation:
        raise ArgumentError(f"rule '{name}' has neither sql-filter nor correlation-filter")
    system = {field: str(correlation[key]) for field in _FIELDS if correlation.get(key := field.replace("_", "-")) is not None}
    application = {str(key): value for key, value in (correlation.get("properties") or {}).items()}
    return RuleSettings(name, correlation=CorrelationFilter(system, application), action=str(action))


def described_rule(rule: RuleSettings) -> Described:
    """Return a rule as an answer lists it."""
    action = Described(_SQL_ACTION, [rule.action]) if rule.action else Described(_NO_ACTION, [None])
    return Described(_RULE, [_described_filter(rule), action, rule.name])


def _described_filter(rule: RuleSettings) -> Described:
    if rule.correlation is not None:
        system = [rule.correlation.system.get(field) for field in _FIELDS]
        return Described(_CORRELATION_FILTER, [*system, rule.correlation.application])
    return Described(_TRUE_FILTER, [None]) if rule.sql == _TRUE else Described(_SQL_FILTER, [rule.sql])
