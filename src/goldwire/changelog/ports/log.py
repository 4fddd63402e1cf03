"""The port of the log: committed versions by position, and the heads of entities.

Positions (`seq`) start at 1 and have no gaps: they are given inside the commit under a lock, so a reader can neither skip a
position nor meet a lower one later (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from goldwire.changelog.rows import LogRow


class Log(Protocol):
    """Every committed version of every entity; nothing in it ever changes."""

    def position(self) -> int:
        """The newest position, 0 when empty."""
        ...

    def read(self, after: int, upto: int, limit: int) -> list[LogRow]:
        """Rows with after < seq <= upto in order, at most `limit`."""
        ...

    def read_latest(self, target: str, after: int, upto: int, horizon: int, limit: int) -> tuple[list[LogRow], int]:
        """Like `read`, without rows that have a newer one of their entity at or below `horizon`.

        A newer one that is addressed to another target than this does not count.

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

    def head_page(self, after: str, limit: int) -> list[LogRow]:
        """The newest rows of the entities whose ids come after this one, in order of entity id, at most `limit`."""
        ...

    def heads_of(self, entity_ids: Collection[str]) -> list[LogRow]:
        """The newest rows of these entities, in any order; those without a version are left out."""
        ...

    def heads(self, entity_type: str | None = None) -> Iterator[LogRow]:
        """The newest row of every entity, in order of entity id, streamed."""
        ...
