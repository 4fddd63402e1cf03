"""The port that facts' results come in by: one transaction of mastering, and a copy to try one out on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from goldwire.changelog.rows import IntakeTotals
from goldwire.mastering.workspace import Workspace

if TYPE_CHECKING:
    from goldwire.changelog.ports.store import Store


class Intakes(Protocol):
    """How much came in by `Workspace.note_intake`."""

    def intake(self) -> list[IntakeTotals]:
        """How much was ever taken in, by source."""
        ...


class Ingest(Intakes, Protocol):
    """How new versions are committed. One writer at a time."""

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
