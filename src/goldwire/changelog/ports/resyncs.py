"""The port of resyncs: their records, and the rows of the log that they append."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from goldwire.changelog.resyncs import Owed, Resend, Resync


class Resyncs(Protocol):
    """A target has at most one resync that is open or held."""

    def add_resync(self, resync: Resync, now: float) -> None:
        """Keep the record of a new resync; an open or held one of the same target ends as superseded.

        Raises:
            InputError: the target was never acquired.
            StoreCorruptError: the id is taken.
        """
        ...

    def resyncs(self, target: str | None = None) -> list[Resync]:
        """All resyncs in the order in which they were asked for."""
        ...

    def owed(self, target: str) -> Owed:
        """What no resync of a target has mended yet, as `owed` finds it in all of them; it is asked for each second."""
        ...

    def open_resync(self, target: str) -> Resync | None:
        """The open resync of a target."""
        ...

    def newest_resync(self, target: str) -> Resync | None:
        """The resync of a target that was asked for last, whatever became of it."""
        ...

    def resend(self, resync: Resync, wanted: Collection[Resend], epoch: int, now: float) -> Resync | None:
        """Append the newest state of these entities, addressed to the resync's target, and replace its record: all or nothing.

        An entity whose head is no longer at the version that it was judged at is left out.

        Args:
            resync: the record as it is to be; what was appended is added to it.
            wanted: the entities; none: only the record is replaced.
            epoch: the relay's own.
            now: POSIX seconds.

        Returns:
            the record as it was kept; None when it is no longer open, and nothing was changed.

        Raises:
            FencedError: a newer epoch of the target exists.
            StoreBusyError: another writer holds the store for longer than the busy timeout.
        """
        ...

    def cancel_resync(self, resync_id: str, now: float) -> Resync | None:
        """End an open or held resync and return its record; None when none with this id is. What was appended is still sent."""
        ...
