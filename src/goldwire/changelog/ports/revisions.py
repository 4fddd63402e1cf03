"""The port of what people applied: contract revisions, settings, placements, mastering rules, configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import KeptDocument, Revision


class Revisions(Protocol):
    """Kept with the moment it was applied; nothing that was applied is ever lost."""

    def apply_revision(self, target: str, document: bytes, now: float, resync: Resync | None = None) -> Revision:
        """Record a contract revision unless it equals the newest; it takes effect above the target's `reach`.

        Args:
            target: its name.
            document: canonical JSON of all that the contract is compiled from.
            now: POSIX seconds.
            resync: kept with it, and only with it, see `Resyncs.add_resync`; it gets the number of the revision.
        """
        ...

    def revisions(self, target: str) -> Sequence[Revision]:
        """All revisions of a target, oldest first."""
        ...

    def newest_revision(self, target: str) -> int:
        """The number of the revision that was applied last, 0 before the first; no document is read for it."""
        ...

    def keep_settings(self, target: str, document: bytes, now: float) -> int:
        """Keep a target's settings as they were applied, unless they equal the newest; return their number."""
        ...

    def kept_settings(self, target: str) -> list[KeptDocument]:
        """All settings of a target that were ever applied, oldest first."""
        ...

    def reserve_placement(self, target: str, document: bytes, now: float) -> int:
        """Keep where a target may deliver from now on, unless it equals the newest; return its number."""
        ...

    def placements(self, target: str) -> list[KeptDocument]:
        """Where a target may have delivered, oldest first."""
        ...

    def keep_mastering_rules(self, document: bytes, now: float) -> int:
        """Keep under which rules the store is mastered, unless they equal the newest; return their number."""
        ...

    def mastering_rules(self) -> list[KeptDocument]:
        """Under which rules the store was mastered, oldest first."""
        ...

    def keep_configuration(self, document: bytes, now: float) -> int:
        """Keep an applied configuration, unless it equals the newest; return its number."""
        ...

    def configurations(self) -> list[KeptDocument]:
        """All configurations that were applied, oldest first."""
        ...
