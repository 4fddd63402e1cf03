"""The port of replays: their records, and what one target was sent of an entity's past."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from goldwire.changelog.replays import Past, Replay


class Replays(Protocol):
    """A replay moves neither control rows nor cursor nor ledger; what it does is in its record."""

    def add_replay(self, replay: Replay) -> None:
        """Keep the record of a new replay.

        Raises:
            InputError: the target was never acquired.
            StoreCorruptError: the id is taken.
        """
        ...

    def replays(self, target: str | None = None) -> list[Replay]:
        """All replays in the order in which they were asked for."""
        ...

    def open_replay(self, target: str) -> Replay | None:
        """The oldest open replay of a target: they are carried out one after another."""
        ...

    def save_replay(self, replay: Replay, epoch: int) -> bool:
        """Replace a record; False when it is no longer open, and nothing was changed.

        Raises:
            FencedError: a newer epoch of the target exists.
        """
        ...

    def cancel_replay(self, replay_id: str, now: float) -> Replay | None:
        """End an open replay and return its record; None when none with this id is open."""
        ...

    def first_rows(self, after: int, upto: int, above: int, limit: int) -> tuple[list[tuple[int, str]], int]:
        """Positions and entity ids of rows in (after, upto] that are their entity's first above `above`.

        Returns:
            at most `limit` of them in order, and the position up to which the log was looked at.
        """
        ...

    def pasts(self, target: str, entity_ids: Collection[str]) -> dict[str, Past]:
        """What of these entities' changes ended as delivered or filtered; entities without a change are left out."""
        ...

    def erased_since(self, entity_ids: Collection[str], after: int) -> set[str]:
        """Those of these entities that were erased at a position above `after`."""
        ...

    def position_before(self, moment: str) -> int:
        """The last position committed before a moment (recorded text, as `goldwire.clock.timestamp` makes it); 0 if none."""
        ...
