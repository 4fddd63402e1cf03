"""The port of what people applied: contract revisions and configuration documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from goldwire.changelog.rows import Revision


class Revisions(Protocol):
    """Kept with the moment it was applied; nothing that was applied is ever lost."""

    def apply_revision(self, target: str, document: bytes, now: float) -> Revision:
        """Record a contract revision unless it equals the newest; it takes effect above the target's `reach`."""
        ...

    def revisions(self, target: str) -> Sequence[Revision]:
        """All revisions of a target, oldest first."""
        ...

    def newest_revision(self, target: str) -> int:
        """The number of the revision that was applied last, 0 before the first; no document is read for it."""
        ...

    def save_document(self, name: str, document: bytes, now: float) -> int:
        """Keep an applied configuration document; return its number (unchanged when it equals the newest)."""
        ...

    def documents(self, name: str) -> list[tuple[int, str, bytes]]:
        """Kept documents: number, when, bytes; oldest first."""
        ...
