"""The rules that every engine of the store shares: the fence, what a settlement must be, the order in a lane. All are pure."""

from __future__ import annotations

from goldwire.changelog.rows import DELIVERED, FILTERED, OPEN, SUPERSEDED, Cursor, OpenDelivery, OpenState, Settlement
from goldwire.errors import FencedError, StoreCorruptError

ENDS = (DELIVERED, FILTERED, SUPERSEDED)
"""How a position can end."""


def fence(cursor: Cursor, epoch: int) -> None:
    """Refuse what an older relay asks for.

    Raises:
        FencedError: the epoch is not the newest.
        StoreCorruptError: the epoch was never given.
    """
    if epoch < cursor.epoch:
        raise FencedError(
            f"target {cursor.target}: a newer relay took it over (epoch {cursor.epoch}, this one has {epoch}): stop this one"
        )
    if epoch > cursor.epoch:
        raise StoreCorruptError(f"target {cursor.target}: epoch {epoch} was never given, the newest is {cursor.epoch}")


def check_settlement(cursor: Cursor, settlement: Settlement) -> None:
    """Check a settlement against the cursor and against itself."""
    begin, end, codes = settlement.position_from, settlement.position_to, settlement.codes
    if begin != cursor.position:
        raise contradiction(settlement, f"it starts at {begin}, the cursor is at {cursor.position}")
    if end > cursor.reach:
        raise contradiction(settlement, f"it goes to {end}, but only positions up to {cursor.reach} were declared")
    if settlement.reach > cursor.bound:
        raise contradiction(settlement, f"it declares {settlement.reach}, but the window ends at {cursor.bound}")
    if len(codes) != end - begin:
        raise contradiction(settlement, f"it has {len(codes)} codes for {end - begin} positions")
    if sum(map(codes.count, (*ENDS, OPEN))) != len(codes):
        raise contradiction(settlement, "a code is none of D, F, S, O")
    opened = [delivery.seq for delivery in settlement.opened]
    if codes.count(OPEN) != len(set(opened)) or len(opened) != len(set(opened)):
        raise contradiction(settlement, f"it has {codes.count(OPEN)} open codes and {len(opened)} opened deliveries")
    for seq in opened:
        if not begin < seq <= end or codes[seq - begin - 1] != OPEN:
            raise contradiction(settlement, f"the opened delivery {seq} has no open code")
    if any(closing.code not in ENDS for closing in settlement.closed):
        raise contradiction(settlement, "a delivery was closed with a code that is none of D, F, S")


def ordered(lane: list[OpenDelivery], now: float) -> list[OpenDelivery]:
    """Return the deliveries of a lane whose state no longer fits where they stand in it, with the one that does.

    Only the first may retry; what is behind it is pending, and parked when a dead one is in between.
    """
    changed: list[OpenDelivery] = []
    parked = False
    for index, row in enumerate(lane):
        if row.state == "dead":
            parked = True
            continue
        state: OpenState = "parked" if parked else "pending" if index > 0 else "retrying"
        if row.state != state:
            changed.append(row._replace(state=state, due_at=now if state == "retrying" else row.due_at))
    return changed


def contradiction(settlement: Settlement, what: str) -> StoreCorruptError:
    """Return the error that refuses a settlement as a whole."""
    return StoreCorruptError(f"target {settlement.target}: settlement refused: {what}; nothing of it was applied")
