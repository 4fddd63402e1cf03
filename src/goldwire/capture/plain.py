"""Facts and decisions made from plain Python values: normalised, or refused with the field and the fix."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from goldwire.capture.fact import Decision, Edge, ExternalId, Fact
from goldwire.capture.source_spec import MEBIBYTE, RESERVED_SYSTEM
from goldwire.capture.values import RefusedError, from_value, is_undated, moment_of, plain, share

DecisionKind = Literal["approve", "withdraw", "override", "release", "merge", "unmerge", "delete"]

_NEEDS_ATTRIBUTE = {"override", "release"}


def fact_from(
    *,
    system: str,
    external_id: str,
    entity_type: str,
    attributes: Mapping[str, Any] | None = None,
    edges: Iterable[Edge] = (),
    observed_at: str | datetime | None = None,
    confidence: float = 1.0,
    entity_id: str | None = None,
    deleted: bool = False,
    origin: str = "",
    now: float | None = None,
    max_value_bytes: int = MEBIBYTE,
) -> Fact:
    """Return a fact.

    Args:
        system: which system says it.
        external_id: the record, as that system knows it.
        entity_type: e.g. `Customer`.
        attributes: name to plain value; None says that the system holds no value any more.
        edges: relations to other entities.
        observed_at: when, RFC 3339 or a datetime (without an offset: UTC); None: `now`.
        confidence: 0 to 1.
        entity_id: the golden record's identity where an upstream hub gives it.
        deleted: the system deleted the record; `attributes` and `edges` do not count then.
        origin: where it comes from, for messages.
        now: POSIX seconds; None: the machine's clock.
        max_value_bytes: a value with more bytes is refused.

    Raises:
        RefusedError: a field cannot be taken; the text begins with the field's name and a colon.
    """
    if system == RESERVED_SYSTEM:
        raise RefusedError(f"system: `{RESERVED_SYSTEM}` is kept for stewards' decisions; choose another name")
    encoded = {}
    if not deleted:
        for name, value in (attributes or {}).items():
            encoded[_name(f"attributes.{name}", name)] = _value(f"attributes.{name}", value, max_value_bytes)
    return Fact(
        _name("system", system),
        _name("externalId", external_id),
        _name("entityType", entity_type),
        encoded,
        _moment("observedAt", observed_at, now),
        _share(confidence),
        () if deleted else tuple(_checked(edge) for edge in edges),
        None if entity_id is None else _name("entityId", entity_id),
        deleted,
        origin,
        is_undated(observed_at),
    )


def decision_from(
    kind: DecisionKind,
    *,
    entity_id: str | None = None,
    record: ExternalId | tuple[str, str] | None = None,
    into_entity_id: str | None = None,
    into_record: ExternalId | tuple[str, str] | None = None,
    attribute: str | None = None,
    value: Any = msgspec.UNSET,
    decided_at: str | datetime | None = None,
    by: str = "",
    reason: str = "",
    origin: str = "",
    now: float | None = None,
    max_value_bytes: int = MEBIBYTE,
) -> Decision:
    """Return a steward's decision about the entity that `entity_id` or one of its records names.

    Args:
        kind: what was decided.
        entity_id: the entity; for `merge` the one that goes, for `unmerge` one that was merged.
        record: instead of it, a record of the entity (system, id); for `unmerge` the record that is split off.
        into_entity_id: for `merge`, the entity that stays.
        into_record: instead of it, one of its records.
        attribute: for `override` and `release`.
        value: for `override`, a plain value; None says that there is none.
        decided_at: when, RFC 3339 or a datetime (without an offset: UTC); None: `now`.
        by: the steward.
        reason: why.
        origin: where it comes from, for messages.
        now: POSIX seconds; None: the machine's clock.
        max_value_bytes: a value with more bytes is refused.

    Raises:
        RefusedError: a field cannot be taken; the text begins with the field's name and a colon.
    """
    if (entity_id is None) == (record is None):
        raise RefusedError("entityId: name the entity by `entityId` or by `record`, and not by both")
    if kind == "merge" and (into_entity_id is None) == (into_record is None):
        raise RefusedError("intoEntityId: name what stays by `intoEntityId` or by `intoRecord`, and not by both")
    if kind != "merge" and (into_entity_id is not None or into_record is not None):
        raise RefusedError(f"intoEntityId: only a merge has it, not `{kind}`")
    if (kind in _NEEDS_ATTRIBUTE) != (attribute is not None):
        needed = "is missing" if kind in _NEEDS_ATTRIBUTE else f"does not belong to `{kind}`"
        raise RefusedError(f"attribute: {needed}; `override` and `release` name an attribute")
    if (kind == "override") != (value is not msgspec.UNSET):
        raise RefusedError("value: belongs to `override`, which needs one (null says that there is none)")
    return Decision(
        kind,
        _moment("decidedAt", decided_at, now),
        None if entity_id is None else _name("entityId", entity_id),
        None if record is None else ExternalId(*record),
        into_entity_id,
        None if into_record is None else ExternalId(*into_record),
        attribute,
        _value("value", value, max_value_bytes) if kind == "override" else None,
        by,
        reason,
        origin,
        is_undated(decided_at),
    )


def _name(field: str, value: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(f"{field}: must be a text that is not empty")
    try:
        plain(value)
    except RefusedError as refused:
        raise RefusedError(f"{field}: {refused}") from refused
    return value


def _value(field: str, value: Any, limit: int) -> bytes:
    try:
        encoded = from_value(value, None)
    except RefusedError as refused:
        raise RefusedError(f"{field}: {refused}") from refused
    if len(encoded) > limit:
        raise RefusedError(
            f"{field}: {len(encoded)} bytes are more than the limit of {limit}; shorten it or raise `max_value_bytes`"
        )
    return encoded


def _moment(field: str, value: str | datetime | None, now: float | None) -> str:
    try:
        return moment_of(value, time.time() if now is None else now)
    except RefusedError as refused:
        raise RefusedError(f"{field}: {refused}") from refused


def _share(value: float) -> float:
    try:
        return share(value)
    except RefusedError as refused:
        raise RefusedError(f"confidence: {refused}") from refused


def _checked(edge: Edge) -> Edge:
    named = (edge.to_external is not None) + (edge.to_entity is not None)
    if named != 1 and not (named == 0 and edge.sole and edge.removed):
        raise RefusedError("edges: each leads to an external id or to an entity id, and not to both")
    for text in (edge.rel, edge.to_entity, *(edge.to_external or ())):
        if text is not None:
            _name("edges", text)
    return edge
