"""The store's port: what the log, the control table and the open deliveries can be asked for.

Engines implement it synchronously and in batches; the relay calls it through a bounded thread, the simulation in line.
Positions (`seq`) start at 1 and have no gaps: they are given inside the commit under a lock, so a reader can neither skip a
position nor meet a lower one later (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from goldwire.changelog.replays import ReplayStore
from goldwire.changelog.rows import Control, Counts, Cursor, LogRow, Mode, OpenDelivery, Revision, Settlement, Start
from goldwire.mastering.workspace import Workspace


class Store(ReplayStore, Protocol):
    """The one place where state lives. One writer at a time; any number of readers."""

    def close(self) -> None:
        """Release everything."""
        ...

    # --- ingest
    def ingest(self, now: float) -> AbstractContextManager[Workspace]:
        """One transaction: commits when the block ends, rolls back when it raises.

        Args:
            now: POSIX seconds; becomes `committed_at`, or the moment just after the log's newest row where that is later.

        Raises:
            StoreBusyError: another writer holds the store for longer than the busy timeout.
            StoreFullError: no room; rolled back.
        """
        ...

    def rehearsal(self) -> AbstractContextManager[Store]:
        """A copy of this store to try something out on; it is gone when the block ends. It needs as much room as the store.

        Raises:
            StoreFullError: there is not so much room.
        """
        ...

    # --- the log
    def position(self) -> int:
        """The newest position, 0 when empty."""
        ...

    def read(self, after: int, upto: int, limit: int) -> list[LogRow]:
        """Rows with after < seq <= upto in order, at most `limit`."""
        ...

    def read_latest(self, after: int, upto: int, horizon: int, limit: int) -> tuple[list[LogRow], int]:
        """Like `read`, without rows that have a newer one of their entity at or below `horizon`.

        Returns:
            the rows, and the position up to which the log was looked at (all between are superseded).
        """
        ...

    def rows(self, seqs: Collection[int]) -> dict[int, LogRow]:
        """Single rows by position."""
        ...

    def versions(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], LogRow]:
        """Single rows by (entity id, version)."""
        ...

    def history(self, entity_id: str) -> list[LogRow]:
        """All versions of one entity, oldest first."""
        ...

    def find_entity(self, system: str, external_id: str) -> str | None:
        """The entity that a record belongs to."""
        ...

    def heads(self, entity_type: str | None = None) -> Iterator[LogRow]:
        """The newest row of every entity, in order of entity id, streamed."""
        ...

    # --- targets
    def lock_target(self, target: str) -> AbstractContextManager[None]:
        """Hold a target for this process; the operating system releases it however the process ends.

        Raises:
            StoreBusyError: another process holds it.
        """
        ...

    def acquire(self, target: str, start: Start) -> Cursor:
        """Take a target over: create it on first sight (with `start`), raise its epoch, return where it stands.

        A `snapshot` begins at 0 with `bound` at the newest position: everything older than a head is superseded.
        """
        ...

    def cursors(self) -> list[Cursor]:
        """Where every known target stands, by name."""
        ...

    def declare(self, target: str, epoch: int, bound: int, mode: Mode, reach: int | None = None) -> None:
        """Say, before anything of it is sent, how far the relay looks, in which mode, and what may be sent now.

        Args:
            target: its name.
            epoch: the relay's own.
            bound: the window's end; neither it nor `reach` ever shrinks by this.
            mode: how the window is worked on.
            reach: positions up to here may be sent now; None: the whole window.

        Raises:
            FencedError: a newer epoch exists.
            StoreCorruptError: `reach` lies beyond the window.
        """
        ...

    def release(self, target: str, epoch: int) -> None:
        """Say that nothing above the cursor was sent, nor will be by this relay: it ends, and has settled all it did.

        Raises:
            FencedError: a newer epoch exists.
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Apply a settlement in one transaction: control rows, open deliveries, codes, counters, cursor.

        What is opened behind a letter that was discarded or redriven since the relay looked gets the state that now fits.

        Raises:
            FencedError: a newer epoch exists; nothing was applied.
            StoreCorruptError: `position_from` is not the cursor, it goes beyond what was declared, the codes do not fit the
                positions, a control row would go back in version, or a closed delivery is not open.
        """
        ...

    def controls(self, target: str, entity_ids: Collection[str]) -> dict[str, Control]:
        """Control rows of these entities."""
        ...

    def all_controls(self, target: str) -> Iterator[Control]:
        """Every control row of a target, in order of entity id, streamed."""
        ...

    def lanes(self, target: str, entity_ids: Collection[str]) -> dict[str, list[OpenDelivery]]:
        """Open deliveries (not discarded ones) of these entities, each list in order of seq."""
        ...

    def due(self, target: str, now: float, limit: int) -> list[OpenDelivery]:
        """The first open delivery of each entity whose first is `retrying` and due, soonest first."""
        ...

    def next_due(self, target: str) -> float | None:
        """When the next one is due, POSIX seconds; None when nothing retries."""
        ...

    def dead_letters(self, target: str | None = None, limit: int = 1000) -> list[tuple[str, OpenDelivery]]:
        """Dead and discarded deliveries with their target, oldest first."""
        ...

    def redrive(self, target: str, seqs: Collection[int], now: float) -> int:
        """Make these dead letters `retrying`, due now with no strikes; what is parked behind becomes `pending`.

        A discarded letter is given up for good: newer versions of its entity have gone their way since, among them perhaps a
        deletion that the target never needed to hear of.

        Returns:
            how many.
        """
        ...

    def discard(self, target: str, seqs: Collection[int], now: float) -> int:
        """Give these dead letters up: they stay dead in the ledger; the next one of the entity becomes `retrying`, due now."""
        ...

    def note_unopened(self, target: str, epoch: int, reason: str | None, now: float) -> None:
        """Keep why a target cannot be opened, and since when that is so; None: it is open.

        Args:
            target: its name.
            epoch: the relay's own.
            reason: for people.
            now: POSIX seconds.

        Raises:
            FencedError: a newer epoch exists.
        """
        ...

    def stop(self, target: str, reason: str | None) -> None:
        """Stop a target, or with None let it run again."""
        ...

    def rewind(self, target: str, position: int) -> None:
        """Set a cursor back, so that later positions are worked on again; the control table keeps older versions out.

        Codes and open deliveries above `position` are withdrawn from the counters, so that the ledger still balances. Raises
        the epoch: a relay that runs meanwhile is fenced.

        Raises:
            InputError: an open delivery above `position` may have arrived without an answer, or what followed a discarded one
                may have. It has to end first, since only an identical repeat keeps the chain whole.
        """
        ...

    # --- the ledger
    def counts(self, target: str) -> Counts:
        """The ledger from the counters that settlements keep."""
        ...

    def recount(self, target: str) -> Counts:
        """The ledger from the rows alone: codes of all settlements, open deliveries, log.

        Raises:
            StoreCorruptError: the settlements do not cover (start, position] exactly once.
        """
        ...

    # --- revisions
    def apply_revision(self, target: str, document: bytes, now: float) -> Revision:
        """Record a contract revision unless it equals the newest; it takes effect above the target's `reach`."""
        ...

    def revisions(self, target: str) -> Sequence[Revision]:
        """All revisions of a target, oldest first."""
        ...

    def save_document(self, name: str, document: bytes, now: float) -> int:
        """Keep an applied configuration document; return its number (unchanged when it equals the newest)."""
        ...

    def documents(self, name: str) -> list[tuple[int, str, bytes]]:
        """Kept documents: number, when, bytes; oldest first."""
        ...
