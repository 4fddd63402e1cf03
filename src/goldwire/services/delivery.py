"""Delivers to targets from beginning to end, and reports the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.replays import Replay
from goldwire.changelog.resyncs import Resync
from goldwire.clock import Clock
from goldwire.errors import FencedError, GoldwireError, StoreBusyError, TargetStoppedError
from goldwire.services.backlog import Behind, behind
from goldwire.services.event_loop import run_in_thread
from goldwire.services.garbage_collection import rare_collection
from goldwire.services.ledger import LedgerTerms
from goldwire.services.relays import ConfiguredRelays
from goldwire.services.run import Progress, RelayEnd, Supervisor

Record = TypeVar("Record", Replay, Resync)
"""What was asked of one target."""

LOOK_SECONDS = 0.1
"""How often it is looked how far a replay or a resync is."""

DeliveryState = Literal["caught up", "behind", "stopped", "busy", "taken over", "failed"]


class TargetRun(Struct, frozen=True):
    """What a run came to at one target."""

    target: str
    position: int
    """Everything up to this position of the log is settled or open."""
    committed: int | None
    """The terms of its ledger, this one and the next six, are None where it never began."""
    delivered: int | None
    filtered: int | None
    superseded: int | None
    dead: int | None
    parked: int | None
    pending: int | None
    state: DeliveryState
    configuration_differs: bool
    """Its contract was edited since it was applied; the applied one counted."""
    last_failure: str | None
    """What the target said last of a delivery that will be tried again."""
    error: str | None
    """Why its relay had to end."""

    @property
    def counts(self) -> LedgerTerms | None:
        """The terms of its ledger alone; None where it never began."""
        if self.committed is None:
            return None
        return LedgerTerms(**{name: getattr(self, name) for name in LedgerTerms.__struct_fields__})


_NO_TERMS = dict.fromkeys(LedgerTerms.__struct_fields__)


def target_runs(store: Deliveries, ends: Sequence[RelayEnd], unapplied: Collection[str]) -> list[TargetRun]:
    """Return what a run came to.

    Args:
        store: where it was settled.
        ends: how each relay ended.
        unapplied: the targets whose configured contract is not applied; `ConfiguredRelays.check` returns them.
    """
    cursors = {cursor.target: cursor for cursor in store.cursors()}
    found = []
    for end in ends:
        begun, error = end.target in cursors, end.error
        waits = behind(store, end.target) if begun else None
        found.append(
            TargetRun(
                target=end.target,
                position=cursors[end.target].position if begun else 0,
                **(asdict(LedgerTerms.of(store.counts(end.target))) if begun else _NO_TERMS),
                state=_state(error) if error is not None else "behind" if waits else "caught up",
                configuration_differs=end.target in unapplied,
                last_failure=waits.reason or None if waits else None,
                error=str(error) if error is not None else None,
            )
        )
    return found


async def deliver(
    supervisor: Supervisor, names: Sequence[str], beside: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> list[RelayEnd]:
    """Deliver to these targets on the running event loop; return how each relay ended, once none runs.

    Args:
        supervisor: runs the relays.
        names: the targets.
        beside: makes what runs meanwhile, until then.

    Raises:
        ConfigError: a setting is wrong; nothing was sent.
        CancelledError: the task was cancelled; the relays have ended gracefully.
    """
    async with supervisor:
        supervisor.start(*names)
        watching = asyncio.create_task(beside()) if beside is not None else None
        try:
            return await supervisor.wait()
        finally:
            if watching is not None:
                watching.cancel()


async def side_by_side(work: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do several things at once, until the task is cancelled."""
    await asyncio.gather(*(each() for each in work))


async def carry_out(
    supervisor: Supervisor, relays: ConfiguredRelays, record: Record, read: Callable[[str], Sequence[Record]],
    reported: Callable[[Record], None] | None = None,
) -> None:  # fmt: skip
    """Run one target's relay until what it was asked for has ended; what is pending goes along.

    A person who asked for more of the kind meanwhile relies on it too. A relay that is asked to end before leaves the work
    open, and the next relay of the target goes on with it.

    Args:
        supervisor: runs the relay; not `until_caught_up`.
        relays: what it runs.
        record: of the work.
        read: returns all records of a target; called where the store is used.
        reported: called with the record now and then, and when it has ended.

    Raises:
        GoldwireError: the relay ended with an error.
    """
    async with supervisor:
        supervisor.start(record.target)
        following = asyncio.create_task(_follow(supervisor, relays.clock, record, read, reported))
        waiting = asyncio.create_task(supervisor.wait())
        try:
            await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()  # what went wrong there must not be waited for here
            ends = await waiting
        finally:
            following.cancel()
            waiting.cancel()
    for end in ends:
        if end.error is not None:
            raise end.error


async def _follow(
    supervisor: Supervisor, clock: Clock, record: Record, read: Callable[[str], Sequence[Record]],
    reported: Callable[[Record], None] | None,
) -> None:  # fmt: skip
    any_open = True
    while any_open:
        await clock.sleep(LOOK_SECONDS)
        records = await supervisor.call(read, record.target)
        if reported is not None:
            reported(next(one for one in records if one.id == record.id))
        any_open = any(one.state == "open" for one in records)
    supervisor.end()


def run_targets(
    relays: ConfiguredRelays,
    names: Sequence[str],
    *,
    until_caught_up: bool,
    progress: Progress | None = None,
    failed: Callable[[str, GoldwireError], None] | None = None,
    waiting: Callable[[str, Behind], None] | None = None,
) -> list[RelayEnd]:
    """Deliver to these targets and return how each relay ended. Works in any thread, and beside a running event loop.

    Ctrl-C ends gracefully: what is in flight is settled. A second one ends at once.

    Args:
        relays: builds them.
        names: the targets.
        until_caught_up: end when nothing is pending; otherwise go on until Ctrl-C.
        progress: called after each settlement, as the next two in another thread; see `Supervisor`.
        failed: called when a relay ends with an error.
        waiting: called now and then about a target that makes no progress.

    Raises:
        ConfigError: a setting is wrong; nothing was sent.
        KeyboardInterrupt: Ctrl-C was pressed, and all has ended.
    """
    supervisor = Supervisor(
        relays, until_caught_up=until_caught_up, progress=progress, failed=failed, waiting=waiting
    )  # fmt: skip
    with rare_collection():
        return run_in_thread(lambda: deliver(supervisor, names), end=supervisor.end, cancel=supervisor.cancel)


def _state(error: GoldwireError) -> DeliveryState:
    words: dict[type[GoldwireError], DeliveryState] = {
        TargetStoppedError: "stopped",
        StoreBusyError: "busy",
        FencedError: "taken over",
    }
    return words.get(type(error), "failed")
