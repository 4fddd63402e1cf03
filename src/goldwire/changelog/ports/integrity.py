"""The port of a store's own health: everything in it that is not what was written, or does not fit the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

CheckProgress = Callable[[str, int, int], None]
"""Called with what is being looked at, how many rows of it were, and how many there are; 0 while that is not known."""


class Damage(NamedTuple):
    """One thing that is wrong in a store."""

    part: str
    """`file`, `log`, `heads`, `control`, `records`, `delivered`, `numbers`, `replays`, `resyncs` or `ledger`."""
    where: str
    """Which row: its position, its entity, its target."""
    text: str
    """What is wrong with it; never a value of a record."""


class Integrity(Protocol):
    """What a store says of its own rows."""

    def damages(self, progress: CheckProgress | None = None) -> Iterator[Damage]:
        """Everything that is wrong, found by reading every row of the log, every control row and every record.

        Looked at are the engine's own structures, the checksums, whether positions and numbers have no gaps, whether the
        heads are those of the log, whether what was delivered has its control row, whether replays and resyncs can be read,
        and whether each target's counters agree with a recount. Others may write meanwhile.

        Not found is a change of what has no checksum and is not counted: what stewards said, how an open delivery
        stands, which of two ends a settlement has where the counters fit, documents.

        Args:
            progress: called now and then.
        """
        ...

    def records_without_checksum(self) -> int:
        """How many records a code before checksums of records wrote last: a change of them by a disk stays unseen."""
        ...
