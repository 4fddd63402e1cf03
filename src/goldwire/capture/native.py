"""Goldwire's own line format: a whole fact or a steward's decision as one JSON object."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, field

from goldwire.capture.fact import Decision, DecisionKind, Edge, ExternalId, Fact, RejectedRow
from goldwire.capture.names import NAME_TWICE, has_name_twice
from goldwire.capture.plain import decision_from, fact_from
from goldwire.capture.source_spec import MEBIBYTE
from goldwire.capture.values import RefusedError
from goldwire.redaction import shows

_OPERATIONS = ("added", "removed")


class NativeExternalRef(Struct, forbid_unknown_fields=True):
    """A record, as the wire names it."""

    system: str
    id: str


class _To(Struct, forbid_unknown_fields=True, rename="camel"):
    """Where an edge leads."""

    external_id: NativeExternalRef | None = None
    entity_id: str | None = None


class _NativeEdge(Struct, forbid_unknown_fields=True):
    """One edge, as in an event."""

    rel: str
    to: _To
    op: Literal["added", "removed"] = "added"


@shows("system", "external_id", "entity_type")
class NativeFact(Struct, forbid_unknown_fields=True, rename="camel"):
    """One fact."""

    system: str
    external_id: str
    entity_type: str
    attributes: dict[str, Any] = field(default_factory=dict)
    edges: list[_NativeEdge] = field(default_factory=list)
    observed_at: str | None = None
    confidence: float = 1.0
    entity_id: str | None = None
    deleted: bool = False


@shows("decision", "entity_id", "record", "attribute")
class NativeDecision(Struct, forbid_unknown_fields=True, rename="camel"):
    """One decision of a steward."""

    decision: DecisionKind
    entity_id: str | None = None
    record: NativeExternalRef | None = None
    into_entity_id: str | None = None
    into_record: NativeExternalRef | None = None
    attribute: str | None = None
    value: Any = msgspec.UNSET
    decided_at: str | None = None
    by: str = ""
    reason: str = ""


class NativeReader:
    """Reads lines of Goldwire's own format.

    Args:
        now: POSIX seconds; when facts were observed and decisions made that give no time.
        max_value_bytes: a value with more bytes is rejected.
    """

    def __init__(self, now: float, max_value_bytes: int = MEBIBYTE) -> None:
        self._now = now
        self._limit = max_value_bytes
        self._fact = msgspec.json.Decoder(NativeFact)
        self._decision = msgspec.json.Decoder(NativeDecision)

    def read(self, line: bytes, origin: str) -> Fact | Decision | RejectedRow:
        """Return what one line says, or why it says nothing."""
        try:
            # Decisions are few: the reader tries a line as one only when the word stands in it as a key.
            is_decision = b'"decision"' in line and _is_decision(line)
            found = self._read_decision(line, origin) if is_decision else self._read_fact(line, origin)
            return RejectedRow(origin, "", NAME_TWICE) if has_name_twice(line) else found
        except msgspec.ValidationError as error:
            reason, _, location = str(error).partition(" - at `")
            location = location.rstrip("`").removeprefix("$").lstrip(".")
            return RejectedRow(origin, location, _plain_reason(reason, location))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return RejectedRow(origin, "", not_json(error))
        except RefusedError as refused:
            location, _, reason = str(refused).partition(": ")
            return RejectedRow(origin, location, reason)

    def _read_fact(self, line: bytes, origin: str) -> Fact:
        native = self._fact.decode(line)
        return fact_from(
            system=native.system,
            external_id=native.external_id,
            entity_type=native.entity_type,
            attributes=native.attributes,
            edges=[_edge(edge) for edge in native.edges],
            observed_at=native.observed_at,
            confidence=native.confidence,
            entity_id=native.entity_id,
            deleted=native.deleted,
            origin=origin,
            now=self._now,
            max_value_bytes=self._limit,
        )

    def _read_decision(self, line: bytes, origin: str) -> Decision:
        native = self._decision.decode(line)
        return decision_from(
            native.decision,
            entity_id=native.entity_id,
            record=_ref(native.record),
            into_entity_id=native.into_entity_id,
            into_record=_ref(native.into_record),
            attribute=native.attribute,
            value=native.value,
            decided_at=native.decided_at,
            by=native.by,
            reason=native.reason,
            origin=origin,
            now=self._now,
            max_value_bytes=self._limit,
        )


def not_json(error: Exception) -> str:
    """Say what is wrong with a line that is no JSON, without its content."""
    if isinstance(error, UnicodeError):
        return "is not UTF-8; save the file as UTF-8"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return f"is no valid JSON object: {error}"


def _is_decision(line: bytes) -> bool:
    decoded = msgspec.json.decode(line)
    return isinstance(decoded, dict) and "decision" in decoded


def _plain_reason(reason: str, location: str) -> str:
    if reason.startswith("Invalid enum value"):
        words = _OPERATIONS if location.endswith(".op") else get_args(DecisionKind)
        return f"is none of the words known here: {', '.join(words)}"
    return reason[:1].lower() + reason[1:]


def _ref(ref: NativeExternalRef | None) -> ExternalId | None:
    return None if ref is None else ExternalId(ref.system, ref.id)


def _edge(edge: _NativeEdge) -> Edge:
    return Edge(edge.rel, _ref(edge.to.external_id), edge.to.entity_id, removed=edge.op == "removed")
