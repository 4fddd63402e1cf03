"""What the store keeps of replays, and of what one target was sent of an entity's past.

A replay repeats what was sent (docs/adr/0040). It moves neither control rows nor cursor nor ledger; what it does is in its
record.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from goldwire.changelog.rows import Control, LogRow

ReplayState = Literal["open", "done", "cancelled", "failed"]

FAILURES_NAMED_MAX = 100
"""How many failures a record names; it only counts the others."""


class Selection(Struct, frozen=True):
    """Which events a replay repeats. Fixed when it is asked for."""

    after: int
    upto: int
    """Entities with a change at a position in (after, upto] are concerned."""
    bounded: bool = False
    """A person gave the upper end: of an entity only what is up to it is repeated, and its newest event."""
    entities: tuple[str, ...] = ()
    """Only these; empty: all."""
    where: str | None = None
    """A CEL expression; an entity is concerned if it is true for a version among those to repeat."""
    where_attributes: tuple[str, ...] = ()
    """Names that the expression may refer to."""


class ReplayFailure(Struct, frozen=True):
    """What of an entity could not be repeated."""

    entity_id: str
    version: int
    reason: str
    """Never a value of the record."""


class Tally(Struct, frozen=True):
    """What a replay has done so far."""

    entities: int = 0
    """Entities that were worked on to their end."""
    events: int = 0
    """Events that the target took, those it held already included."""
    duplicates: int = 0
    """Those of them that it answered to hold already."""
    bytes: int = 0
    """Bodies of the events taken."""
    rejected: int = 0
    """Events that the target rejected, or that were given up."""
    skipped: int = 0
    """Events not sent because one before them of their entity was rejected or given up."""
    withheld: int = 0
    """Events that the present contract, or an erasure, no longer lets out."""
    newest_only: int = 0
    """Entities of whose past only the newest event could be confirmed."""
    unconfirmed: int = 0
    """Entities of which no event could be confirmed, so nothing was sent."""
    blocked: int = 0
    """Entities behind a dead letter that may have arrived: a person must redrive or discard it first."""
    undecided: int = 0
    """Versions for which the selection's expression had no result; an entity is not chosen by them."""


class Replay(Struct, frozen=True):
    """The record of one replay."""

    id: str
    """Part of the message ids."""
    target: str
    selection: Selection
    requested_by: str
    requested_at: str
    why: str = ""
    rate: float | None = None
    """Events a second, beside the target's own limit."""
    state: ReplayState = "open"
    reason: str = ""
    """Why it failed."""
    started_at: str | None = None
    ended_at: str | None = None
    position: int = 0
    """Entities whose first change lies up to here are done, but for `begun` and `waiting`."""
    begun: tuple[str, ...] = ()
    """Entities of which something may have been sent: after a crash they are repeated from the first event, before anything
    live of them."""
    waiting: tuple[str, ...] = ()
    """Entities that wait for a delivery of theirs that may have arrived."""
    tally: Tally = Tally()
    failures: tuple[ReplayFailure, ...] = ()


class Fate(NamedTuple):
    """A change that ended for a target as delivered or filtered."""

    row: LogRow
    code: int
    """`DELIVERED` or `FILTERED`."""
    revision: int | None
    """The revision that sealed it where it ended after its settlement; None: that of its position."""


class Past(NamedTuple):
    """What became of one entity's changes at one target, as one moment saw it."""

    fates: list[Fate]
    """In order of version."""
    erased: int
    """The newest version at which the record was erased, 0 if never: nothing older may leave again."""
    control: Control | None
    """What the target was last sent of it."""
