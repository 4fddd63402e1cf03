"""What the demo found, as plain structs: printed for people, written as JSON for machines."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from goldwire.redaction import shows


class Intake(Struct, frozen=True):
    """One file that was taken in."""

    source: str
    file: str
    rows: int
    facts: int
    decisions: int
    rejected: int
    versions: int
    merges: int
    unmerges: int
    rows_per_second: float


class Quality(Struct, frozen=True):
    """How golden records compare with the truth, in pairs of records."""

    golden_records: int
    pairs_linked: int
    pairs_right: int
    """Linked, and one person in truth."""
    pairs_true: int
    """One person in truth, linked or not."""

    @property
    def precision(self) -> float:
        """The share of linked pairs that are right; 1 where nothing is linked."""
        return self.pairs_right / self.pairs_linked if self.pairs_linked else 1.0

    @property
    def recall(self) -> float:
        """The share of true pairs that are linked; 1 where there are none."""
        return self.pairs_right / self.pairs_true if self.pairs_true else 1.0


class DemoDelivery(Struct, frozen=True):
    """What the first delivery to one target came to."""

    target: str
    kind: str
    contract: str
    delivered: int
    filtered: int
    superseded: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Delivered events over the wall time of the whole run to this target."""
        return self.delivered / self.seconds


class TargetTally(Struct, frozen=True):
    """A target's ledger."""

    target: str
    committed: int
    delivered: int
    filtered: int
    superseded: int
    dead: int
    parked: int
    pending: int
    recount_agrees: bool
    balanced: bool


class RelayCrash(Struct, frozen=True):
    """The relay that was killed, and the one that went on."""

    exit_signal: int
    """9 for SIGKILL."""
    at_kill: list[TargetTally]
    partner_had: int
    """Events of the second wave that had arrived there when the relay was dead."""
    partner_has: int
    """The same once the next relay was done; repeats not counted."""
    partner_repeated: int
    """Events that arrived more than once."""
    partner_repeats_identical: bool
    seconds_to_catch_up: float


class Chain(Struct, frozen=True):
    """What verifying one file of events found."""

    file: str
    events: int
    entities: int
    repeated: int
    findings: int
    ends_as_settled: bool
    """Each chain ends with the event that the relay settled last for its entity."""


class Warehouse(Struct, frozen=True):
    """The SQL table beside the golden records."""

    golden_records: int
    """Those that the contract selects, from the log."""
    rows: int
    columns: int
    """Compared in each row."""
    rows_equal: int
    rows_marked_deleted: int
    unexpected: int
    """Rows of no selected record that are not marked deleted, or selected records without a row."""


class Killed(Struct, frozen=True):
    """The subscriber that was killed while it read."""

    exit_signal: int
    """9 for SIGKILL."""
    applied: int
    """Events that it had applied."""
    published: int
    """Events that the hub had for it at that moment."""


class Mirror(Struct, frozen=True):
    """The subscriber's table beside the golden records, and its guard beside the control table."""

    golden_records: int
    """Those that the contract selects, from the log."""
    rows: int
    rows_equal: int
    """In version, attributes, edges and external ids."""
    unexpected: int
    """Rows of no selected record, or selected records without a row."""
    settled: int
    """Entities in the control table."""
    guards_equal: int
    """In version and hash."""
    guards_unexpected: int
    published: int
    """Events in the hub, repeats included."""
    applied: int
    """Events that the subscriber applied, over both its lives."""
    dead_letters: int
    """Set aside by the subscriber."""


class DecisionOutcome(Struct, frozen=True):
    """What became of one decision of a steward at each target."""

    decision: str
    record: str
    entity_id: str
    eventlog: str
    partner: str
    warehouse: str
    mirror: str | None
    """What the subscriber has; None without a backplane."""
    as_decided: bool
    """Each target says what this decision asks for."""


class Promise(Struct, frozen=True):
    """Something that Goldwire promises, and whether it was kept."""

    text: str
    kept: bool


@shows("intakes", "seconds")
class Summary(Struct, kw_only=True):
    """All that one run of the demo found."""

    intakes: list[Intake]
    by_rules: Quality
    sent: list[DemoDelivery]
    sample: dict[str, Any]
    """One event as the partner received it."""
    second_wave: list[Intake]
    after_steward: Quality
    crash: RelayCrash
    fates: list[DecisionOutcome]
    tombstone: dict[str, Any]
    """The event in the event log that reports a merge."""
    ledgers: list[TargetTally]
    chains: list[Chain]
    warehouse: Warehouse
    killed: Killed | None
    """None without a backplane; the mirror too."""
    mirror: Mirror | None
    promises: list[Promise]
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return all(promise.kept for promise in self.promises)
