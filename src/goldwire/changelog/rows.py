"""The row types of the changelog: rows of the log, control rows, open deliveries, cursors, settlements, revisions.

Plain values, the same for every engine and every reader.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct, field

from goldwire.mastering.workspace import ChangeKind
from goldwire.redaction import shows

Presence = Literal["in", "out", "gone"]
"""`in`: the target holds the record; `out`: it left the filter but no deletion was sent; `gone`: deletion was sent."""

OpenState = Literal["retrying", "pending", "parked", "dead", "discarded"]
"""`pending` waits behind a retrying one of its entity, `parked` behind a dead one; `discarded` is a dead letter that a person
gave up: it stays dead in the ledger and no longer parks its entity."""

DELIVERED, FILTERED, SUPERSEDED, OPEN = b"DFSO"
"""Outcome codes of a settlement, one byte for each position (`OPEN`: see the open deliveries)."""


@shows("seq", "entity_id", "entity_type", "version", "kind", "committed_at")
class LogRow(NamedTuple):
    """One committed change."""

    seq: int
    entity_id: str
    entity_type: str
    version: int
    kind: ChangeKind
    committed_at: str
    """RFC 3339, UTC; never earlier than the row before it, whatever the clock did."""
    correlation_id: str
    state: bytes
    changed: str
    merged_into: str | None
    addressed_to: str | None = None
    """The one target that this row is for, because a resync sends the entity again; None: it is a change, and for all."""

    def concerns(self, target: str) -> bool:
        """Say whether it is a change, or is sent again to this target; for others there is nothing in it."""
        return self.addressed_to is None or self.addressed_to == target


@shows("entity_id", "version", "seq", "presence", "revision", "outcome")
class Control(NamedTuple):
    """What one target was last sent of one entity, and what it answered."""

    entity_id: str
    version: int
    seq: int
    presence: Presence
    hash: bytes
    """32 bytes: `hash` of the last settled event; the next one's `previousHash`."""
    previous_hash: bytes | None
    """That event's own `previousHash`, and `base_version` the version its delta was made against (None: sent in full):
    with them the event can be sealed again, byte for byte."""
    base_version: int | None
    revision: int
    """Contract revision that sealed it."""
    remote_id: str | None
    """The target's own id of the record."""
    settled_at: str
    outcome: Literal["delivered", "duplicate"]


class OpenDelivery(NamedTuple):
    """A delivery that the cursor passed without an end: it retries, waits, or is dead."""

    seq: int
    entity_id: str
    entity_type: str
    version: int
    state: OpenState
    attempts: int
    """How often it was sent."""
    strikes: int
    """How many of these count towards giving up: only those since which the target has taken something else."""
    ambiguous: bool
    """An attempt may have had its effect: look up, or resend the identical event, before anything newer."""
    first_attempt_at: str | None
    last_attempt_at: str | None
    due_at: float
    """POSIX seconds."""
    reason: str
    """The target's last answer; never a value of the record."""
    revision: int
    """Contract revision that sealed it last, and seals it again while it is `ambiguous`; otherwise the newest one does."""


class Cursor(NamedTuple):
    """Where a target stands."""

    target: str
    epoch: int
    """Rises each time that the target is acquired; a settlement of an older epoch is refused."""
    start: int
    """Positions up to here never concerned this target."""
    position: int
    """Every position in (start, position] is settled or open."""
    reach: int
    """Positions up to here may have been sent, >= position. Contract revisions take effect above it."""
    bound: int
    """The end of the declared window, >= reach. Coalescing looks no further, so a crash repeats the identical events."""
    delivered: int
    filtered: int
    superseded: int
    stopped: str | None
    """Why it was stopped, or None while it may run."""
    mode: Literal["latest", "every"] | None
    """How the window up to `bound` is worked on to its end, also when the configuration has changed; None before the first."""
    unopened: str | None = None
    """Why the target could not be opened, or had a wrong setup, the last time; None while all is well."""
    unopened_since: str | None = None
    loss: str | None = None
    """What the target said to have lost of what it had acknowledged, the last time."""
    loss_since: str | None = None


class Closing(NamedTuple):
    """The end of an open delivery."""

    seq: int
    code: int
    """`DELIVERED`, `FILTERED` or `SUPERSEDED`."""
    revision: int = 0
    """The contract revision that sealed it; 0 where nothing was sealed. A replay makes the same event with it."""


@shows("target", "epoch", "position_from", "position_to", "stop")
class Settlement(Struct, gc=False):
    """All that one chunk did to one target: applied in one transaction, or not at all."""

    target: str
    epoch: int
    position_from: int
    position_to: int
    """The cursor moves from the first to the second; equal when only open deliveries were worked on."""
    codes: bytes
    """One code for each position in (from, to]."""
    controls: list[Control] = field(default_factory=list)
    """At most one for each entity: the last."""
    opened: list[OpenDelivery] = field(default_factory=list)
    """Inserted; its position has the code OPEN."""
    updated: list[OpenDelivery] = field(default_factory=list)
    """Open deliveries whose state, attempts, reason or due time changed."""
    closed: list[Closing] = field(default_factory=list)
    """Open deliveries that ended. The row goes, the code is recorded."""
    reach: int = 0
    """What follows is declared along with it: positions up to here may be sent from now on."""
    stop: str | None = None
    """Stop the target with this reason."""


class Counts(NamedTuple):
    """The ledger's terms for one target; `committed` counts positions after the target's start.

    Positions above its cursor that are addressed to other targets are not counted before it has passed them.
    """

    committed: int
    delivered: int
    filtered: int
    superseded: int
    dead: int
    parked: int
    pending: int


@shows("revision", "effective_after", "applied_at")
class Revision(NamedTuple):
    """One applied revision of a target's contract and of the model it was compiled with."""

    revision: int
    effective_after: int
    """It seals the positions above this one (up to the next revision's)."""
    applied_at: str
    document: bytes
    """Canonical JSON of all that the contract is compiled from; secrets only as references."""


@shows("number", "kept_at")
class KeptDocument(NamedTuple):
    """Something that was applied or reserved, as it was at one time."""

    number: int
    """From 1 on, without gaps, for each thing that is kept."""
    kept_at: str
    document: bytes
    """Canonical JSON; secrets only as references."""


class IntakeTotals(NamedTuple):
    """How much was ever taken in from one source."""

    source: str
    """Its name in the configuration; `NO_SOURCE` for what came without one."""
    rows: int
    """Rows read, rejected ones included."""
    rejected: int
    versions: int
    merges: int
    unmerges: int
    last_at: str
    """When it was taken in last."""


NO_SOURCE = "-"
"""Stands for the source of rows in Goldwire's own format; no configured name looks like it."""

Mode = Literal["latest", "every"]
"""How a window is worked on: only the newest version of each entity in it, or each version."""

Start = Literal["snapshot", "beginning", "now"]
"""Where a new target begins: the heads at a fixed position and then the log; the whole log; only what comes."""
