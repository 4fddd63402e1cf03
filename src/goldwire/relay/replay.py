"""Carries out replays inside a relay's loop: a turn sends some events, then live traffic goes on.

From the moment an entity is begun until it is done its live deliveries wait (`held`), so nothing live ever goes between two
events of its past. What is begun is in the record before it is sent. So the record always says which entities a crash can have
left half done; they are begun again, from the first event, before anything live of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from random import Random
from typing import Protocol

from msgspec.structs import replace

from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.replays import Replays
from goldwire.changelog.replays import FAILURES_NAMED_MAX, Replay, ReplayFailure, ReplayState, Tally
from goldwire.clock import Clock, timestamp
from goldwire.relay.connection import StoreCall
from goldwire.relay.observer import Observer
from goldwire.relay.pace import Breaker, DeadLetterCap, Throttle
from goldwire.relay.replay_source import Choice, Gathered, Repeat, ReplaySource
from goldwire.relay.retry_policy import RetryPolicy, first_attempt
from goldwire.relay.sender import Sender
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome

LOOK_SECONDS = 1.0
"""How often a relay looks whether a replay was asked for."""

TURN_SECONDS = 1.0
"""After so long a turn begins no further wave: a slow target with a long past to repeat would keep live changes waiting."""

SLICE = 20
"""How many entities are made ready at once."""

BEGUN_MAX = 500
"""The most entities held back at once: where one after another fails for a passing reason, the replay begins no more."""


class ReplayRecords(Log, Replays, Protocol):
    """The records of replays, and the log, in which an erasure may end what a replay has begun."""


class ReplayWork:
    """The replays of one target, one after another.

    Args:
        target: its name.
        store, call: where the records are, and how it is reached.
        source: makes the events.
        sender: the target's way out, with its pace and its breaker.
        settings: pace and limits, the same as for live traffic.
        policy: that of the live traffic; it knows whether the target takes anything at all.
        clock, random: time and jitter.
        observer: where it is reported.
    """

    def __init__(
        self, target: str, store: ReplayRecords, call: StoreCall, source: ReplaySource, sender: Sender,
        settings: DeliverySettings, breaker: Breaker, policy: RetryPolicy, *, clock: Clock, random: Random, observer: Observer,
    ) -> None:  # fmt: skip
        self._target = target
        self._store = store
        self._call = call
        self._source = source
        self._sender = sender
        self._settings = settings
        self._breaker = breaker
        self._live = policy
        self._clock = clock
        self._random = random
        self._observer = observer
        self._looked_at = -inf
        self._newest = 0
        self._looked_upto = 0
        self._epoch = 0
        self._replay: Replay | None = None
        self._going: dict[str, Repeat] = {}
        self._policy = policy
        self._throttle = Throttle(None)
        self._choose: Choice | None = None

    @property
    def held(self) -> Collection[str]:
        """Entities whose live deliveries must wait."""
        return self._going.keys()

    def due_seconds(self) -> float:
        """How long until there may be something to do, as far as that is known; infinite when it is not."""
        if self._replay is None:
            return inf
        now = self._clock.monotonic()
        soonest = min((repeat.due for repeat in self._going.values()), default=inf)
        return self._throttle.wait_seconds(now) or max(soonest - now, 0.0)

    async def any_open(self) -> bool:
        """Return whether a replay is open: a run that ends when all is done must not end yet."""
        if self._replay is not None:
            return True
        self._looked_at = -inf
        return await self._call(self._store.open_replay, self._target) is not None

    async def turn(self, epoch: int, *, clear: bool) -> bool:
        """Do some of the open replay; return False when nothing was done.

        Args:
            epoch: the relay's own; a record is saved only under the newest.
            clear: nothing above the cursor may have been sent by a relay that crashed. Before that no entity is begun: an
                event of it may have arrived that its past must not follow.

        Raises:
            FencedError: another process took the target over.
            ConfigError: the target found a setting wrong.
        """
        self._epoch = epoch
        if not await self._take_up():
            return False
        now = self._clock.monotonic()
        limit = int(min(self._throttle.allowance(now), self._limit()))
        if limit < 1:
            return False
        ready = self._ready(now)
        began = False
        if not ready and clear and len(self._going) < BEGUN_MAX:
            began = await self._begin(limit)
            ready = self._ready(now)
        if ready:
            await self._send(ready, limit)
        return bool(ready) or began

    # --- the record

    async def _take_up(self) -> bool:
        """Read the open replay, if there is one, and whether it is still open."""
        now = self._clock.monotonic()
        if self._replay is None and now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        found = await self._call(self._store.open_replay, self._target)
        if self._replay is not None and (found is None or found.id != self._replay.id):
            self._drop()  # cancelled by a person
        if found is None:
            return False
        newest = await self._source.refresh()
        position = await self._call(self._store.position)
        if self._replay is None:
            started_at = found.started_at or timestamp(self._clock.now())
            self._replay = replace(found, started_at=started_at, position=max(found.position, found.selection.after))
            cap = DeadLetterCap(self._settings)
            self._policy = RetryPolicy(self._settings, cap, self._clock, self._random, self._live.liveness)
            self._throttle = Throttle(found.rate)
            self._choose = Choice.of(found.selection)
            self._observer.event("replay taken up", replay=found.id, position=self._replay.position)
            self._observer.replaying(open_now=True)
            self._take(await self._gather(found.begun, begun=True))
        elif newest != self._newest or await self._any_erased(position):
            await self._renew()
        self._newest, self._looked_upto = newest, position
        return True

    async def _any_erased(self, position: int) -> bool:
        """Say whether an entity that is begun was erased since the last turn: nothing older of it may leave any more."""
        if not self._going or position == self._looked_upto:
            return False
        return bool(await self._call(self._store.erased_since, tuple(self._going), self._looked_upto))

    async def _renew(self) -> None:
        """Prepare again what is begun, since less of it may leave now; what was sent already stays sent."""
        fresh = {repeat.entity_id: repeat for repeat in (await self._gather(tuple(self._going), begun=True)).repeats}
        for old in list(self._going.values()):
            next_version = old.sent[old.index].row.version
            left = (
                [one for one in fresh[old.entity_id].sent if one.row.version >= next_version] if old.entity_id in fresh else []
            )
            old.withheld += len(old.sent) - old.index - len(left)
            old.sent, old.index = left, 0
            if not left:
                self._end(old)

    async def _save(self, state: ReplayState = "open", reason: str = "") -> None:
        """Save the record; a replay that a person cancelled meanwhile is dropped, and sends nothing more."""
        assert self._replay is not None, "there is a replay"
        ended_at = None if state == "open" else timestamp(self._clock.now())
        replay = replace(self._replay, state=state, reason=reason, begun=tuple(self._going), ended_at=ended_at)
        if await self._call(self._store.save_replay, replay, self._epoch):
            self._replay = replay
            if state == "open":
                return
            self._observer.event("replay ended", replay=replay.id, state=state)
        self._drop()

    def _drop(self) -> None:
        """Drop the replay: its entities' live deliveries go on at once."""
        self._replay = None
        self._going.clear()
        self._looked_at = -inf
        self._observer.replaying(open_now=False)

    def _count(self, **more: int) -> None:
        assert self._replay is not None, "there is a replay"
        tally = self._replay.tally
        changed: Tally = replace(tally, **{name: getattr(tally, name) + by for name, by in more.items()})
        self._replay = replace(self._replay, tally=changed)

    def _fail(self, failure: ReplayFailure) -> None:
        assert self._replay is not None, "there is a replay"
        if len(self._replay.failures) < FAILURES_NAMED_MAX:
            self._replay = replace(self._replay, failures=(*self._replay.failures, failure))

    # --- beginning

    def _limit(self) -> int:
        return self._settings.chunk_size if self._breaker.closed else min(self._settings.chunk_size, self._settings.batch_size)

    def _ready(self, now: float) -> list[Repeat]:
        return [repeat for repeat in self._going.values() if repeat.due <= now]

    def _hold(self, repeats: Sequence[Repeat]) -> None:
        self._going.update((repeat.entity_id, repeat) for repeat in repeats)

    async def _gather(self, entity_ids: Collection[str], *, begun: bool = False) -> Gathered:
        assert self._replay is not None, "there is a replay"
        if not entity_ids:
            return Gathered()
        return await self._source.gather(self._replay.selection, self._choose, entity_ids, begun=begun)

    async def _begin(self, limit: int) -> bool:
        """Make the next entities ready, and write down that they are begun before any is sent; False if nothing moved."""
        assert self._replay is not None, "there is a replay"
        before = self._replay
        wanted = self._replay.waiting
        self._replay = replace(self._replay, waiting=())
        self._take(await self._gather(wanted))
        selection = self._replay.selection
        while self._replay.position < selection.upto and self._events_begun() < limit and len(self._going) < BEGUN_MAX:
            page = await self._source.page(selection, self._replay.position, min(SLICE, limit))
            self._take(await self._gather(page.entity_ids))
            self._replay = replace(self._replay, position=page.upto)
            if not page.entity_ids:
                break  # a long stretch without any; live traffic comes first
        ended = not (self._going or self._replay.waiting) and self._replay.position >= selection.upto
        if ended:
            await self._save("done")
        elif self._replay != before:
            await self._save()
        else:
            return False
        return True

    def _take(self, gathered: Gathered) -> None:
        assert self._replay is not None, "there is a replay"
        self._hold(gathered.repeats)
        self._replay = replace(self._replay, waiting=(*self._replay.waiting, *gathered.waiting))
        for failure in gathered.blocked:
            self._fail(failure)
        self._count(
            withheld=gathered.withheld, unconfirmed=gathered.unconfirmed, blocked=len(gathered.blocked),
            undecided=gathered.undecided,
        )  # fmt: skip
        self._observer.replayed("withheld", gathered.withheld)

    def _events_begun(self) -> int:
        return sum(len(repeat.sent) - repeat.index for repeat in self._going.values())

    # --- sending

    async def _send(self, ready: list[Repeat], limit: int) -> None:
        """Send at most `limit` events, an entity's next one only when the one before was taken."""
        assert self._replay is not None, "there is a replay"
        replay_id, left = self._replay.id, limit
        until = self._clock.monotonic() + TURN_SECONDS
        while ready and left > 0:
            wave, ready = ready[:left], ready[left:]
            items = [_item(repeat, replay_id) for repeat in wave]
            sent_at = timestamp(self._clock.now())
            outcomes = await self._sender.send(items)
            left -= len(wave)
            self._throttle.spend(sum(outcome is not None for outcome in outcomes))
            ready += self._settle(wave, items, outcomes, sent_at)
            if None in outcomes or self._clock.monotonic() >= until:
                break  # the breaker or a stop keeps the rest back; or it is the turn of live traffic
        if self._policy.stop is not None:
            self._going.clear()
            await self._save("failed", self._policy.stop)
        else:
            await self._save()

    def _settle(
        self, wave: Sequence[Repeat], items: Sequence[Item], outcomes: Sequence[Outcome | None], sent_at: str
    ) -> list[Repeat]:
        """Note what became of a wave; return those that have a next event to send at once."""
        taken = [outcome for outcome in outcomes if isinstance(outcome, Delivered | Duplicate)]
        if taken:
            self._policy.note_answer()
            self._policy.delivered(len(taken))
            size = sum(len(i.event.body) for i, o in zip(items, outcomes, strict=True) if isinstance(o, Delivered | Duplicate))
            duplicates = sum(isinstance(outcome, Duplicate) for outcome in taken)
            self._count(events=len(taken), duplicates=duplicates, bytes=size)
            self._observer.replayed("taken", len(taken))
        onwards = []
        for repeat, outcome in zip(wave, outcomes, strict=True):
            if outcome is None:
                continue
            if not isinstance(outcome, Delivered | Duplicate):
                self._failed(repeat, outcome, sent_at)
                continue
            repeat.index, repeat.delivery = repeat.index + 1, None
            if repeat.index < len(repeat.sent):
                onwards.append(repeat)
            else:
                self._end(repeat)
        return onwards

    def _failed(self, repeat: Repeat, outcome: Outcome, sent_at: str) -> None:
        sent = repeat.sent[repeat.index]
        judged = self._policy.decide(repeat.delivery or first_attempt(sent.row), outcome, sent_at)
        if judged.state != "dead":
            repeat.delivery = judged
            repeat.due = self._clock.monotonic() + max(judged.due_at - self._clock.now(), 0.0)
            return
        skipped = len(repeat.sent) - repeat.index - 1
        self._fail(ReplayFailure(repeat.entity_id, sent.row.version, judged.reason))
        self._count(rejected=1, skipped=skipped)
        self._observer.replayed("rejected", 1)
        self._observer.replayed("skipped", skipped)
        self._end(repeat)

    def _end(self, repeat: Repeat) -> None:
        del self._going[repeat.entity_id]
        self._count(entities=1, withheld=repeat.withheld, newest_only=repeat.newest_only)
        self._observer.replayed("withheld", repeat.withheld)


def _item(repeat: Repeat, replay_id: str) -> Item:
    attempt = repeat.delivery.attempts + 1 if repeat.delivery is not None else 1
    return Item(repeat.sent[repeat.index].event, repeat.remote_id, attempt, replay_id)
