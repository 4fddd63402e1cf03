"""What a store can lose: its last commits, because the disk said that it had written them and had not; or more, with a copy.

The first is a cut of the write-ahead log where a commit ended, as a power cut leaves it under a cache that lies. The second is
a copy of the file, made between two lives and put back between two later ones.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import NamedTuple

LOSING = 0.25
"""For which share of seeds stores lose something."""

NOTED = 0.2
"""How likely a moment is noted to which a cut goes back."""

CUT = 0.5
"""How likely a crash of such a seed is also a power cut."""

COPIED = 0.5
RESTORED = 0.25

_CHECKPOINTED_BYTES = 12_000_000
"""From there on SQLite may have moved some of the log into the file, and a cut would leave what no power cut leaves."""


class Progress(NamedTuple):
    """How far the source was, which sends again what its receiver does not have."""

    committed: tuple[int, ...]
    """Indexes of the batches that were committed."""
    ingested: int
    model: int
    """The rules of mastering then."""


class _Moment(NamedTuple):
    progress: Progress
    bytes_written: int
    salt: bytes


class Losses:
    """What the store of one seed loses.

    Args:
        seed: the scenario's; the draws are apart from all others.
        file: the store.
        possible: False where what stands behind the targets cannot go on with an older store.
    """

    def __init__(self, seed: int, file: Path, *, possible: bool) -> None:
        self._random = Random(f"{seed}:losses")
        self._used = self._random.random() < LOSING and possible
        self._file = file
        self._log = file.with_name(f"{file.name}-wal")
        self._moments: list[_Moment] = []
        self._copies: list[tuple[Progress, bytes]] = []
        self.happened = False
        """Something was lost so far."""

    def note(self, progress: Progress) -> None:
        """Note this moment, or not; called between two transactions."""
        if self._used and self._random.random() < NOTED and self._log.is_file():
            self._moments.append(_Moment(progress, self._log.stat().st_size, self._salt()))

    def begin(self) -> None:
        """Another life begins, with an empty write-ahead log."""
        self._moments.clear()

    def crashed(self) -> tuple[Progress, bytes, bytes] | None:
        """Return what a crash leaves where it is a power cut: the progress, the file and its log; the store is still open."""
        if not self._moments or self._random.random() >= CUT:
            return None
        moment = self._random.choice(self._moments)
        log = self._log.read_bytes()
        if moment.salt != self._salt() or len(log) > _CHECKPOINTED_BYTES or moment.bytes_written >= len(log):
            return None
        return moment.progress, self._file.read_bytes(), log[: moment.bytes_written]

    def put_back(self, file: bytes, log: bytes = b"") -> None:
        """Let the store be this; called while none has it open."""
        self._file.write_bytes(file)
        self._log.write_bytes(log)
        self._file.with_name(f"{self._file.name}-shm").unlink(missing_ok=True)
        self.happened = True

    def between_lives(self, progress: Progress) -> Progress | None:
        """Copy the closed store, or put a copy back, now and then; return the progress where one was put back."""
        if not self._used:
            return None
        if self._copies and self._random.random() < RESTORED:
            kept, file = self._random.choice(self._copies)
            self.put_back(file)
            return kept
        if self._random.random() < COPIED:
            self._copies.append((progress, self._file.read_bytes()))
        return None

    def _salt(self) -> bytes:
        with self._log.open("rb") as opened:
            return opened.read(32)[16:24]
