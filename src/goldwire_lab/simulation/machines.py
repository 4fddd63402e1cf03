"""Two machines: a relay takes a target over from one that still runs, where no lock of the operating system reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from goldwire.changelog.rows import Cursor
from goldwire.changelog.sqlite.store import SqliteStore

FIRST, SECOND = 1, 2


class SecondMachine(SqliteStore):
    """The same store, reached from where the first machine's locks are not seen."""

    @contextmanager
    def lock_target(self, target: str, note: bytes = b"") -> Iterator[None]:
        """Hold nothing: there is no lock that both see."""
        del target, note
        yield


class Owners:
    """Which machine has each target.

    Args:
        report: called with each broken promise.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._of: dict[str, int] = {}

    def begin(self) -> None:
        """Another life begins: the first machine has everything."""
        self._of.clear()

    def take(self, target: str, machine: int) -> None:
        """A machine acquires a target; what the other one does of it from now on must be refused."""
        self._of[target] = max(machine, self._of.get(target, FIRST))

    def has(self, target: str, machine: int) -> bool:
        """Say whether this machine is to go on with a target."""
        return self._of.get(target, FIRST) == machine

    def settled(self, machine: int, cursor: Cursor) -> None:
        """A relay has settled something."""
        if not self.has(cursor.target, machine):
            self._report(f"{cursor.target}: a relay that was taken over has settled position {cursor.position}")
