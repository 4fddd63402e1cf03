"""The relay of one target: reads the log through its contract, sends, settles, and goes on until it is stopped.

The loop alternates between an open replay, lanes that are due and the next chunk of the log. It awaits the store and the
target once a chunk; what happens to each event of a chunk is plain code in `chunk` and `lanes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf
from random import Random

from goldwire.changelog.ports.store import RelayStore
from goldwire.changelog.rows import Control, Cursor, LogRow, OpenDelivery, Settlement, Start
from goldwire.clock import Clock, seconds, timestamp
from goldwire.errors import ConfigError, FencedError, TargetRefusedError, TargetStoppedError, stopped_text
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError
from goldwire.relay.chunk import Chunk, no_result, wants_base
from goldwire.relay.connection import Connection, Opening, Stop, StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.divergence import Divergence
from goldwire.relay.lanes import LaneWork
from goldwire.relay.ledger import balances
from goldwire.relay.mass_guard import MassGuard
from goldwire.relay.observer import Observer
from goldwire.relay.pace import Breaker, DeadLetterCap
from goldwire.relay.placement.reservation import PlacementGuard
from goldwire.relay.replay import ReplayWork
from goldwire.relay.replay_source import ReplaySource
from goldwire.relay.resync import ResyncWork
from goldwire.relay.retry_policy import ASKED_TO_WAIT, RetryPolicy, settled
from goldwire.relay.sender import PlacementReservation, Sender
from goldwire.relay.settings import DeliverySettings, GuardSettings
from goldwire.targets.base import Delivered, Duplicate, Item, Target

STATUS_SECONDS = 1.0
"""How often a relay reports how far its target is, and looks whether it was stopped."""

PROBE = 1
"""How many events of lanes a probe sends: a batch that fails because of one of them would look like an outage for ever."""

WINDOW_CHUNKS = 16
"""How many chunks one declared window spans in `mode: every`, so that declaring costs next to nothing."""


class Relay:
    """Delivers the log to one target, in order per entity, at least once.

    Args:
        name: the target's name.
        store: the log and this target's control table.
        target: not yet open; the relay opens and closes it.
        contracts: the target's contracts.
        settings: pace and limits.
        guards: how much may leave the target or change without a yes.
        start: where a target that the store has never seen begins.
        clock, random: time and jitter.
        placement: asked before anything is sent, and again when the contract has changed.
        settings_number: that of the settings that the target was made with.
        call: how the store is reached.
        observer: where attempts and settlements are reported.
        progress: called with the cursor after each settlement.
        note: what other processes may read while it runs; see `Deliveries.lock_target`.
    """

    def __init__(
        self, name: str, store: RelayStore, target: Target, contracts: ContractRevisions, settings: DeliverySettings, *,
        placement: PlacementGuard, clock: Clock, random: Random, observer: Observer, start: Start = "snapshot",
        settings_number: int = 0, guards: GuardSettings | None = None, call: StoreCall | None = None,
        progress: Callable[[Cursor], None] | None = None, note: bytes = b"",
    ) -> None:  # fmt: skip
        self._name = name
        self._store = store
        self._contracts = contracts
        self._settings = settings
        self._clock = clock
        self._random = random
        self._observer = observer
        self._start: Start = start
        self._call = call or StoreCall()
        self._progress = progress
        self._note = note
        self._breaker = Breaker(settings, random)
        self._policy = RetryPolicy(settings, DeadLetterCap(settings), clock, random)
        self._stop = Stop()
        self._connection = Connection(target, settings.timeout_seconds, observer, self._stop)
        self._opening = Opening(store, self._connection, settings, clock=clock, random=random, call=self._call, stop=self._stop)
        self._divergence = Divergence(name, store, self._call, self._connection, clock=clock, observer=observer)
        self._sender = Sender(
            self._connection, settings, self._breaker, clock, observer, self._stop,
            PlacementReservation(placement, self._call, clock, self._stop), self._divergence,
        )  # fmt: skip
        self._replays = ReplayWork(
            name, store, self._call, ReplaySource(name, store, self._call, contracts.without_reports()), self._sender, settings,
            self._breaker, self._policy, clock=clock, random=random, observer=observer,
        )  # fmt: skip
        self._resyncs = ResyncWork(
            name, store, self._call, self._connection, contracts.without_reports(),
            settings_number=settings_number, clock=clock, observer=observer,
        )  # fmt: skip
        self._guard = MassGuard(name, store, self._call, guards or GuardSettings(), clock=clock, observer=observer)
        self._cursor: Cursor
        self._unclear_upto = 0
        self._reported_at = -STATUS_SECONDS
        self._turn = 0

    def stop(self) -> None:
        """Ask for a graceful stop: what is in flight ends and is settled, nothing new is sent."""
        self._stop.ask()

    async def run(self, *, until_caught_up: bool = False) -> Cursor:
        """Deliver until stopped, or until nothing is pending; return where the target stands then.

        Raises:
            TargetStoppedError: it was stopped before, or had to be now; the reason is in the text.
            StoreBusyError: another process delivers to this target, or keeps it from reserving its placement.
            FencedError: another process took it over.
            ConfigError: the target found a setting wrong.
        """
        with self._store.lock_target(self._name, self._note):
            self._cursor = await self._call(self._store.acquire, self._name, self._start)
            self._refuse_if_stopped()
            self._unclear_upto = self._cursor.reach
            self._observer.event("relay started", position=self._cursor.position, epoch=self._cursor.epoch)
            try:
                if await self._opening.open(self._cursor):
                    await self._refuse_if_ahead()
                    await self._loop(until_caught_up=until_caught_up)
                await self._release()
            except ConfigError as error:
                await self._opening.gave_up(self._cursor, error)
                raise
            except TargetRefusedError as error:  # what was sent is not settled, and stays declared
                await self._call(self._store.stop, self._name, str(error))
                raise stopped_error(self._name, str(error)) from error
            except TargetStoppedError:  # raised between two settlements only
                await self._release()
                raise
            finally:
                await self._connection.close()
                self._observer.event("relay stopped", position=self._cursor.position)
        return self._cursor

    async def _refuse_if_ahead(self) -> None:
        """Stop a target that holds what this store did not send, before anything is sent to it."""
        reason = await self._divergence.look(self._cursor, self._unclear_upto)
        if reason is not None:
            await self._call(self._store.stop, self._name, reason)
            raise TargetStoppedError(f"target {self._name} was stopped: {reason}")

    async def _release(self) -> None:
        """Release what was declared, unless a relay before this one may have sent some of it and no relay has settled that."""
        if self._cursor.position >= self._unclear_upto:
            await self._call(self._store.release, self._name, self._cursor.epoch)

    async def _loop(self, *, until_caught_up: bool) -> None:
        await self._refresh_contracts()
        while not self._stop.asked:
            await self._report_status()
            worked = await self._work()
            if self._must_stop is not None:
                raise TargetStoppedError(f"target {self._name} was stopped: {self._must_stop}")
            if not worked and not await self._wait(until_caught_up=until_caught_up):
                return

    @property
    def _must_stop(self) -> str | None:
        """Why the target must stop, once it must."""
        return self._policy.stop or self._divergence.stop

    async def _work(self) -> bool:
        """Give each its turn; return False when none had anything to do."""
        turns = (self._work_replay, self._work_lanes, self._work_log)
        if self._breaker.closed:
            worked = any([await turn() for turn in turns if not self._stop.asked])
            return (not self._stop.asked and await self._resyncs.turn(self._cursor)) or worked
        if self._breaker.resting(self._clock.monotonic()):
            return False
        # On probation one of them has the probe, each in turn, so that one bad event cannot hold it for ever.
        for _ in turns:
            self._turn = (self._turn + 1) % len(turns)
            if await turns[self._turn]():
                return True
        return False

    async def _work_replay(self) -> bool:
        cursor = self._cursor
        return await self._replays.turn(cursor.epoch, clear=cursor.position >= self._unclear_upto)

    async def _wait(self, *, until_caught_up: bool) -> bool:
        """Sleep until there may be something to do; return False when there is nothing left and that ends the run."""
        due = await self._next_due()
        delay = self._settings.poll_seconds
        if not self._breaker.resting(self._clock.monotonic()):
            delay = min(delay, self._replays.due_seconds())
        if self._breaker.resting(self._clock.monotonic()):
            delay = self._breaker.rest_seconds(self._clock.monotonic())
        elif due is not None:
            delay = min(max(due - self._clock.now(), 0.0), delay)
        elif (
            until_caught_up
            and await self._call(self._store.position) == self._cursor.position
            and not await self._replays.any_open()
            and not await self._resyncs.any_open()
        ):
            return False
        await self._pause(max(delay, 0.001))
        return True

    async def _pause(self, delay_seconds: float) -> None:
        await self._stop.unless(self._clock.sleep(delay_seconds))

    # --- the log

    async def _work_log(self) -> bool:
        limit = self._settings.chunk_size if self._breaker.closed else min(self._settings.chunk_size, self._settings.batch_size)
        if self._breaker.resting(self._clock.monotonic()):
            return False
        if not await self._window():
            return False
        cursor = self._cursor
        after, bound = cursor.position, cursor.bound
        upto = self._contracts.last_position_of(after + 1, bound)
        if cursor.mode == "latest":
            rows, upto = await self._call(self._store.read_latest, self._name, after, upto, bound, limit)
        else:
            rows = await self._call(self._store.read, after, upto, limit)
            upto = rows[-1].seq
        if upto > cursor.reach:
            return await self._declare(bound, upto)
        entities = {row.entity_id for row in rows}
        controls = await self._call(self._store.controls, self._name, entities)
        lanes = await self._call(self._store.lanes, self._name, entities)
        await self._refuse_if_taken_over()
        chunk = Chunk(after, upto, rows, controls, lanes, self._contracts.at(after + 1), self._unclear_upto)
        chunk.hold(self._replays.held)
        await self._send_waves(chunk)
        reach = min(upto + self._settings.chunk_size, bound)
        await self._settle(chunk.settlement(self._name, cursor.epoch, reach, self._must_stop), chunk.taken)
        await self._refresh_contracts()
        return True

    async def _window(self) -> bool:
        """Make sure that something above the cursor is declared; False when the log has nothing more, or a stop came first."""
        cursor = self._cursor
        if cursor.position < cursor.bound and cursor.mode is not None:
            return True
        newest = max(await self._call(self._store.position), cursor.bound)
        if newest <= cursor.position:
            return False
        mode = self._settings.mode
        if mode == "every":
            newest = max(min(newest, cursor.position + self._settings.chunk_size * WINDOW_CHUNKS), cursor.bound)
        self._cursor = cursor._replace(mode=mode)
        return await self._declare(newest, min(cursor.position + self._settings.chunk_size, newest))

    async def _declare(self, bound: int, reach: int) -> bool:
        """Let the store know that as much may be sent; False when a stop was asked for before the placement was reserved."""
        if not await self._sender.reserve():
            return False
        cursor = self._cursor
        assert cursor.mode is not None, "a window has a mode"
        await self._call(self._store.declare, self._name, cursor.epoch, bound, cursor.mode, reach)
        self._cursor = cursor._replace(bound=bound, reach=max(cursor.reach, reach))
        await self._refresh_contracts()
        return True

    async def _refresh_contracts(self) -> None:
        """Read the contracts again: whenever more may be sent, since one that is applied later takes effect above that.

        An earlier read could miss a revision that was applied just before and seals some of it.
        """
        newest = await self._call(self._store.newest_revision, self._name)
        if self._contracts.misses(newest) and self._contracts.refresh(await self._call(self._store.revisions, self._name)):
            self._sender.reserve_again()

    async def _send_waves(self, chunk: Chunk) -> None:
        rows = chunk.rows
        own = None
        while rows:
            wanted = chunk.wanted_bases(rows)
            bases: dict[str, bytes] = {}
            if wanted:
                own = own or {(row.entity_id, row.version): row.state for row in chunk.rows}
                bases = await self._bases(wanted, own)
            sending, items, rows = chunk.wave(rows, bases, self._policy)
            kept, reason = await self._guard.beyond(sending, items, chunk.controls_of())
            if kept:
                chunk.keep_back([sending[index] for index in kept], self._policy, reason)
                sending = [row for index, row in enumerate(sending) if index not in kept]
                items = [item for index, item in enumerate(items) if index not in kept]
            if items:
                await chunk.send(sending, items, self._sender, self._policy, self._clock.now)

    async def _bases(self, wanted: Collection[tuple[str, int]], own: dict[tuple[str, int], bytes]) -> dict[str, bytes]:
        bases = {key[0]: own[key] for key in wanted if key in own}
        missing = {key for key in wanted if key not in own}
        if missing:
            found = await self._call(self._store.versions, missing)
            bases.update({entity_id: row.state for (entity_id, _), row in found.items()})
        return bases

    # --- lanes

    async def _work_lanes(self) -> bool:
        if self._breaker.resting(self._clock.monotonic()):
            return False
        limit = self._settings.chunk_size if self._breaker.closed else PROBE
        due = await self._due(limit)
        if not due:
            return False
        lanes = await self._call(self._store.lanes, self._name, {delivery.entity_id for delivery in due})
        cursor = self._cursor
        latest = self._settings.mode == "latest"
        work = LaneWork(self._name, cursor.epoch, cursor.position, lanes, latest=latest)
        await self._refresh_contracts()
        chosen, marked = work.choose(self._contracts.newest)
        rows = await self._call(self._store.rows, [delivery.seq for delivery in chosen])
        held = await self._call(self._store.controls, self._name, set(lanes))
        ready, held_back = await self._seal_lanes(work, chosen, rows, held)
        ready = await self._let_go(work, ready, rows, held, held_back)
        # Only now: what cannot be sealed, because a key is lost, was not sent and must not be taken for it.
        marked.updated = [delivery for delivery in marked.updated if delivery.seq not in held_back]
        await self._settle(marked, ())
        sent_at = timestamp(self._clock.now())
        alone = {index for index, (delivery, _) in enumerate(ready) if delivery.strikes}
        outcomes = await self._sender.resend([(item, delivery.ambiguous) for delivery, item in ready], alone)
        taken = [
            rows[delivery.seq] for (delivery, _), o in zip(ready, outcomes, strict=True) if isinstance(o, Delivered | Duplicate)
        ]
        if taken:
            self._policy.note_answer()
            self._policy.delivered(len(taken))
        settled_at = timestamp(self._clock.now())
        for (delivery, item), outcome in zip(ready, outcomes, strict=True):
            row = rows[delivery.seq]
            if isinstance(outcome, Delivered | Duplicate):
                control = settled(row, item.event, outcome, delivery.revision, held.get(row.entity_id), settled_at)
                work.delivered(delivery, control)
            else:
                work.failed(self._policy.decide(delivery, outcome, sent_at))
        await self._settle(work.settlement(self._must_stop), taken)
        return True

    async def _due(self, limit: int) -> list[OpenDelivery]:
        now = self._clock.now()
        due = await self._due_by(now, limit)
        if due:
            return due
        soonest = await self._next_due()
        if soonest is None or soonest <= now + self._settings.backoff_limit_seconds:
            return due
        # It is due so late because the target asked for it, or because the clock was ahead and was set back since.
        waiting = await self._due_by(inf, limit)
        return [row for row in waiting if row.reason != ASKED_TO_WAIT or (row.last_attempt_at or "") > timestamp(now)]

    async def _due_by(self, moment: float, limit: int) -> list[OpenDelivery]:
        held = self._replays.held
        due = await self._call(self._store.due, self._name, moment, limit + len(held))
        return [delivery for delivery in due if delivery.entity_id not in held][:limit]

    async def _next_due(self) -> float | None:
        if not self._replays.held:
            return await self._call(self._store.next_due, self._name)
        return next((delivery.due_at for delivery in await self._due_by(inf, 1)), None)

    async def _seal_lanes(
        self, work: LaneWork, chosen: list[OpenDelivery], rows: dict[int, LogRow], held_by: dict[str, Control]
    ) -> tuple[list[tuple[OpenDelivery, Item]], set[int]]:
        """Return what is to be sent, and the positions of what no event could be made of."""
        wanted = []
        for delivery in chosen:
            held = held_by.get(delivery.entity_id)
            if held is not None and wants_base(self._contracts.revision(delivery.revision), held):
                wanted.append((delivery.entity_id, held.version))
        bases = await self._bases(wanted, {}) if wanted else {}
        ready: list[tuple[OpenDelivery, Item]] = []
        held_back: set[int] = set()
        for delivery in chosen:
            row, held = rows[delivery.seq], held_by.get(delivery.entity_id)
            if held is not None and row.version <= held.version:
                work.superseded(delivery)
                continue
            try:
                sealed = seal(self._contracts.revision(delivery.revision), row, held, bases.get(row.entity_id))
            except EvaluationError as error:
                work.failed(self._policy.hold_back(delivery, no_result(error)))
                held_back.add(delivery.seq)
                continue
            if isinstance(sealed, SealedEvent):
                ready.append((delivery, Item(sealed, held.remote_id if held else None, delivery.attempts + 1)))
            else:
                changed = held is not None and held.presence != sealed
                work.filtered(delivery, held._replace(presence=sealed) if held is not None and changed else None)
        return ready, held_back

    async def _let_go(
        self,
        work: LaneWork,
        ready: list[tuple[OpenDelivery, Item]],
        rows: dict[int, LogRow],
        held_by: dict[str, Control],
        held_back: set[int],
    ) -> list[tuple[OpenDelivery, Item]]:
        """Return what the guards let go, and note the rest as not sent."""
        kept, reason = await self._guard.beyond([rows[one.seq] for one, _ in ready], [item for _, item in ready], held_by)
        # The log may hold what mends them: in `latest` a newer version then goes in their stead.
        stop = not kept or await self._call(self._store.position) <= self._cursor.position
        for index in kept:
            delivery = ready[index][0]
            work.failed(self._policy.keep_back(delivery, reason, stop=stop))
            held_back.add(delivery.seq)
        return [one for index, one in enumerate(ready) if index not in kept] if kept else ready

    # --- settling

    async def _settle(self, settlement: Settlement, taken: Collection[LogRow]) -> None:
        if settlement.position_to == settlement.position_from and not (
            settlement.controls or settlement.updated or settlement.closed or settlement.stop
        ):
            return
        await self._call(self._store.settle, settlement)
        codes = settlement.codes + bytes([closing.code for closing in settlement.closed])
        delivered, filtered, superseded = codes.count(b"D"), codes.count(b"F"), codes.count(b"S")
        self._cursor = self._cursor._replace(
            position=settlement.position_to,
            reach=max(self._cursor.reach, settlement.reach),
            delivered=self._cursor.delivered + delivered,
            filtered=self._cursor.filtered + filtered,
            superseded=self._cursor.superseded + superseded,
        )
        dead = sum(delivery.state == "dead" for delivery in settlement.opened + settlement.updated)
        self._observer.ended(delivered=delivered, filtered=filtered, superseded=superseded, dead=dead)
        self._guard.ended(taken)
        now = self._clock.now()
        for committed_at in {row.committed_at: None for row in taken}:
            self._observer.latency(now - seconds(committed_at))
        if self._progress is not None:
            self._progress(self._cursor)

    async def _report_status(self) -> None:
        """Report how far the target is, now and then, and notice a stop by a person."""
        now = self._clock.monotonic()
        if now - self._reported_at < STATUS_SECONDS:
            return
        self._reported_at = now
        if (loss := self._sender.loss) is not None:
            await self._call(self._store.note_loss, self._name, self._cursor.epoch, loss, self._clock.now())
            self._sender.loss = None
        stopped = (await self._stored_cursor()).stopped
        counts = await self._call(self._store.counts, self._name)
        stale = (await self._call(self._store.owed, self._name)).entities
        self._observer.status(counts, balanced=balances(counts), stopped=stopped is not None, stale=stale)
        self._cursor = self._cursor._replace(stopped=stopped)
        self._refuse_if_stopped()
        await self._refuse_endless_outage(now, counts.pending)

    async def _refuse_endless_outage(self, now: float, pending: int) -> None:
        """Stop a target that has taken nothing for too long of what waits for it."""
        failing_seconds = self._breaker.failing_seconds(now)
        if failing_seconds and not pending and not await self._replays.any_open():
            self._breaker.nothing_waits()
        elif failing_seconds > self._settings.outage_limit_seconds:
            limit = f"`delivery: {{outage_limit_seconds: {self._settings.outage_limit_seconds:g}}}`"
            raise TargetRefusedError(
                f"it has taken nothing for longer than {limit} allows; `goldwire status` shows the last answer"
            )

    async def _refuse_if_taken_over(self) -> None:
        """Make sure, after lanes were read and before anything is sent, that they belong to this relay's cursor.

        A rewind in between withdraws open deliveries; without them the relay would send a newer version of their entity.
        """
        if (await self._stored_cursor()).epoch != self._cursor.epoch:
            raise FencedError(f"target {self._name}: it was rewound or taken over; nothing of this chunk was sent")

    async def _stored_cursor(self) -> Cursor:
        cursor = await self._call(self._store.cursor, self._name)
        assert cursor is not None, "a target that was acquired has a cursor"
        return cursor

    def _refuse_if_stopped(self) -> None:
        if self._cursor.stopped is not None:
            raise stopped_error(self._name, self._cursor.stopped)


def stopped_error(target: str, reason: str) -> TargetStoppedError:
    """Return the error about a target that a person or the cap on dead letters has stopped."""
    return TargetStoppedError(f"target {stopped_text(target, reason)}")
