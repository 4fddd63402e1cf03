"""What comes in: a fact is what one system says of one record; a decision is what a steward says of an entity.

Attribute values are held as canonical JSON bytes from here on (see `goldwire.canonical`): compared, stored and sent as they
are, decoded only where a rule needs to look inside.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from goldwire.redaction import shows

DecisionKind = Literal["approve", "withdraw", "override", "release", "merge", "unmerge", "delete"]


class ExternalId(NamedTuple):
    """How one system knows a record."""

    system: str
    id: str


class Edge(Struct, frozen=True):
    """A relation to another entity, named by an external id or by an entity id (exactly one of the two).

    With `sole` and neither of the two it says that the record has no edge of this relation any more.
    """

    rel: str
    to_external: ExternalId | None = None
    to_entity: str | None = None
    removed: bool = False
    sole: bool = False
    """It replaces what this record said earlier of the same relation, as a column that holds one id does."""


@shows("system", "external_id", "entity_type", "origin")
class Fact(Struct, frozen=True):
    """What one system said of one of its records at one time.

    A fact is about the attributes that it names and no others. A value of `null` says that the system holds no value any more.
    """

    system: str
    external_id: str
    entity_type: str
    attributes: dict[str, bytes]
    """Attribute name to canonical JSON bytes of its value."""
    observed_at: str
    """RFC 3339, UTC, six fraction digits (`goldwire.clock.timestamp`)."""
    confidence: float = 1.0
    """0 to 1."""
    edges: tuple[Edge, ...] = ()
    entity_id: str | None = None
    """The golden record's identity where an upstream hub gives it."""
    deleted: bool = False
    """The system deleted this record; `attributes` is empty then."""
    origin: str = ""
    """Where it was read, e.g. `crm.csv:17`; for messages only."""
    dated_here: bool = False
    """It came without a time: `observed_at` is when it was read. It then counts as later than all that is known of its record,
    whatever the clock showed."""


@shows("kind", "entity_id", "record", "attribute", "origin")
class Decision(Struct, frozen=True):
    """What a steward decided about an entity, named by its entity id or by any external id it has."""

    kind: DecisionKind
    decided_at: str
    entity_id: str | None = None
    record: ExternalId | None = None
    """The record that names the entity; for `unmerge` the record that is split off."""
    into_entity_id: str | None = None
    """For `merge`: the survivor (or `into_record`)."""
    into_record: ExternalId | None = None
    attribute: str | None = None
    """For `override` and `release`."""
    value: bytes | None = None
    """For `override`: canonical JSON bytes."""
    by: str = ""
    reason: str = ""
    origin: str = ""
    dated_here: bool = False
    """It came without a time: `decided_at` is when it was read. It then counts as later than what was decided before."""


class RejectedRow(Struct, frozen=True):
    """A row that could not become a fact, or a fact that could not be taken; good rows beside it go through."""

    origin: str
    """File and line, e.g. `crm.csv:17`."""
    field: str
    """The field at fault, or empty when it is the row as a whole."""
    reason: str
    """What is wrong and how to mend it; never the value itself."""
