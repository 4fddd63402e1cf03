"""Where a store is: a file. All that assumes so is named here, for the day when a store is at an address.

| What assumes a file | Where |
|---|---|
| the store is opened, and made with narrow rights, at `path` | `services/application.py` |
| a store is upgraded while no other process has the file open | `changelog/sqlite/upgrade.py` |
| a check of a target looks first whether there is a store | `exists` |
| rejects are written beside it | `rejects` |
| a held target is a lock file beside it | `changelog/sqlite/lock.py` |
| a backup is a file, and a restore gives this one its content | `changelog/sqlite/copies.py`, `services/store_copies.py` |
| a rehearsal is a copy in a folder beside it | `SqliteStore.rehearsal` |
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class StoreLocation(NamedTuple):
    """The location of one store."""

    path: Path

    def exists(self) -> bool:
        """Say whether there is a store, without making one."""
        return self.path.exists()

    def rejects(self, moment: str) -> Path:
        """Return where the rejects of an ingest go unless a person names another file.

        Args:
            moment: when it began, as it stands in file names.
        """
        return self.path.with_name(f"rejects-{moment}.jsonl")

    def older_rejects(self, kept: int) -> list[Path]:
        """Return the files that `rejects` has named, without the newest so many."""
        found = sorted(self.path.parent.glob("rejects-????-??-??T*Z.jsonl"))
        return found[: max(len(found) - kept, 0)]
