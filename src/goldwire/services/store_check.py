"""Checks a whole store, from its file and its log to the ledgers."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from goldwire.changelog.ports.integrity import CheckProgress, Damage, Integrity
from goldwire.errors import StoreCorruptError

KEPT_DAMAGES = 1_000
"""The most damages that the result holds; it counts the others."""


class StoreCheck(Struct):
    """What a check found."""

    damages: int = 0
    first_damages: list[Damage] = []
    looked_at: dict[str, int] = {}
    """How much of each part: rows of the log, control rows, records; of `delivered` and `ledger`, how many targets."""
    records_without_checksum: int = 0
    """Records that no code of today wrote since the store was upgraded; a change of one by a disk stays unseen."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.damages == 0


def check_store(store: Integrity, progress: CheckProgress | None = None) -> StoreCheck:
    """Look at everything in a store; others may use it meanwhile.

    Args:
        store: the store.
        progress: called now and then.
    """
    result = StoreCheck()

    def report(part: str, done: int, total: int) -> None:
        result.looked_at[part] = total
        if progress is not None:
            progress(part, done, total)

    for damage in store.damages(report):
        result.damages += 1
        if len(result.first_damages) < KEPT_DAMAGES:
            result.first_damages.append(damage)
    with suppress(StoreCorruptError):  # it is among the damages
        result.records_without_checksum = store.records_without_checksum()
    return result
