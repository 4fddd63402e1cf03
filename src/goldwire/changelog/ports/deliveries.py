"""The port of deliveries: where each target stands, what it was sent, what has not ended, and the ledger of it all."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from goldwire.changelog.rows import Control, Counts, Cursor, Mode, OpenDelivery, Settlement, Start


class Deliveries(Protocol):
    """Cursors, control rows, open deliveries and counters. What one chunk did is settled in one transaction."""

    def lock_target(self, target: str, note: bytes = b"") -> AbstractContextManager[None]:
        """Hold a target for this process; the operating system releases it however the process ends.

        Args:
            target: its name.
            note: what other processes may read of the one that holds it; empty: nothing.

        Raises:
            StoreBusyError: another process holds it.
        """
        ...

    def target_note(self, target: str) -> bytes | None:
        """Return what the process that holds a target notes of itself; None where none holds it, or it notes nothing."""
        ...

    def acquire(self, target: str, start: Start) -> Cursor:
        """Take a target over: create it on first sight (with `start`), raise its epoch, return where it stands.

        A `snapshot` begins at 0 with `bound` at the newest position: everything older than a head is superseded.
        """
        ...

    def cursors(self) -> list[Cursor]:
        """Where every known target stands, by name."""
        ...

    def cursor(self, target: str) -> Cursor | None:
        """Where one target stands; None when it was never acquired."""
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

    def note_loss(self, target: str, epoch: int, reason: str, now: float) -> None:
        """Keep that a target has lost what it had acknowledged, and when that was seen last.

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

    # --- control rows
    def controls(self, target: str, entity_ids: Collection[str]) -> dict[str, Control]:
        """Control rows of these entities."""
        ...

    def all_controls(self, target: str) -> Iterator[Control]:
        """Every control row of a target, in order of entity id, streamed."""
        ...

    # --- open deliveries
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

    def dead_letter(self, target: str, seq: int) -> OpenDelivery | None:
        """The dead or discarded delivery of a target at a position, found without reading any other; None: there is none."""
        ...

    def redrive(self, target: str, seqs: Collection[int], now: float) -> int:
        """Make these dead letters `retrying`, due now with no strikes; what is parked behind becomes `pending`.

        A discarded letter is given up for good: newer versions of its entity have gone their way since, among them perhaps a
        deletion that the target never needed.

        Returns:
            how many.
        """
        ...

    def discard(self, target: str, seqs: Collection[int], now: float) -> int:
        """Give these dead letters up: they stay dead in the ledger; the next one of the entity becomes `retrying`, due now."""
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
