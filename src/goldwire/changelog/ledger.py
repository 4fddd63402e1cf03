"""The ledger's rules that every engine shares: its terms, the recount from the rows, and their comparison. All are pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from goldwire.changelog.rows import DELIVERED, FILTERED, OPEN, SUPERSEDED, Counts, Cursor
from goldwire.errors import StoreCorruptError

STILL_OPEN = 0
"""What stands for an end while there is none."""


def check_positions(path: str, size: int, oldest: int, newest: int) -> None:
    """See that the log has a row for each position.

    Args:
        path: of the store, for the error.
        size: how many rows the log has.
        oldest: the lowest position, 1 for an empty log.
        newest: the highest one, 0 for an empty log.

    Raises:
        StoreCorruptError: it has gaps.
    """
    if (oldest, newest) != (1, size):
        raise StoreCorruptError(f"{path}: the log has {size} rows for positions {oldest} to {newest}")


def recounted_ends(
    cursor: Cursor, settlements: Iterable[tuple[int, bytes]], ends: Iterator[tuple[int, int]]
) -> tuple[int, int, int]:
    """Count from the rows how many positions were delivered, filtered and superseded; memory stays small.

    Args:
        cursor: of the target.
        settlements: where each begins and its codes, in order.
        ends: what became of each position that a settlement left open, in order: its position, and the code of its closing or
            `STILL_OPEN`.

    Raises:
        StoreCorruptError: the rows contradict each other.
    """
    ended = dict.fromkeys((DELIVERED, FILTERED, SUPERSEDED), 0)
    for position, codes in _covering(cursor, settlements):
        for code in ended:
            ended[code] += codes.count(code)
        for code in _ends_of(codes, position, ends, cursor.target):
            if code != STILL_OPEN:
                ended[code] += 1
    surplus = next(ends, None)
    if surplus is not None:
        raise _broken(cursor.target, f"position {surplus[0]} has an end or is open, but no open code")
    return ended[DELIVERED], ended[FILTERED], ended[SUPERSEDED]


def terms(cursor: Cursor, newest: int, ended: tuple[int, int, int], open_states: Mapping[str, int]) -> Counts:
    """Return the ledger's terms.

    Args:
        cursor: of the target.
        newest: the log's newest position.
        ended: how many were delivered, filtered and superseded.
        open_states: how many deliveries are open in each state.
    """
    delivered, filtered, superseded = ended
    return Counts(
        committed=newest - cursor.start,
        delivered=delivered,
        filtered=filtered,
        superseded=superseded,
        dead=open_states.get("dead", 0) + open_states.get("discarded", 0),
        parked=open_states.get("parked", 0),
        pending=newest - cursor.position + open_states.get("retrying", 0) + open_states.get("pending", 0),
    )


def unbalanced(counters: Counts, rows: Counts) -> str | None:
    """Return in which terms the counters differ from a recount of the rows, or that they do not balance; None: all is well."""
    pairs = zip(Counts._fields, counters, rows, strict=True)
    wrong = ", ".join(f"{name} {one:,} and {other:,}" for name, one, other in pairs if one != other)
    if wrong:
        return f"the counters differ from a recount of the rows: {wrong}"
    return None if counters.committed == sum(counters[1:]) else "it does not balance"


def _covering(cursor: Cursor, settlements: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield all settlements, and check that they cover (start, position] exactly once."""
    covered = cursor.start
    for position, codes in settlements:
        if position != covered:
            raise _broken(cursor.target, f"settlements cover up to {covered}, the next one begins at {position}")
        covered += len(codes)
        yield position, codes
    if covered != cursor.position:
        raise _broken(cursor.target, f"settlements cover up to {covered}, the cursor is at {cursor.position}")


def _ends_of(codes: bytes, position: int, ends: Iterator[tuple[int, int]], target: str) -> Iterator[int]:
    """Yield what became of each position that a settlement left open."""
    at = codes.find(OPEN)
    while at >= 0:
        seq = position + at + 1
        found = next(ends, None)
        if found is None or found[0] != seq:
            other = "" if found is None else f" (the next one is {found[0]})"
            raise _broken(target, f"position {seq} was left open, but is neither open nor ended{other}")
        yield found[1]
        at = codes.find(OPEN, at + 1)


def _broken(target: str, what: str) -> StoreCorruptError:
    return StoreCorruptError(f"target {target}: the ledger's rows do not fit: {what}; restore a copy of the store")
