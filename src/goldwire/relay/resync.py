"""Carries out resyncs inside a relay's loop: once the page before was passed, the next entities are judged and appended again.

What is appended is delivered like any change, so live changes go in between, and order, fence, retries, dead letters and the
ledger are those of the log (docs/adr/0044). A page is judged and appended in one transaction with the record, so a crash loses
nothing and repeats nothing. A target that is always behind is resynced too: only the page before has to be passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.ports.revisions import Revisions
from goldwire.changelog.resyncs import SAMPLES_MAX, EffectCounts, Resend, Resync
from goldwire.changelog.rows import Control, Cursor, LogRow, OpenDelivery
from goldwire.clock import Clock, timestamp
from goldwire.errors import ConfigError
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError
from goldwire.relay.connection import Connection, StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.effect import Effect, effect
from goldwire.relay.observer import Observer
from goldwire.targets.base import Item

LOOK_SECONDS = 1.0
"""How often a relay looks whether a resync was asked for."""

PAGE = 500
"""How many entities are judged at once."""

Progress = Callable[[int], None]
"""Called with the number of entities that were judged so far."""

_OF_TURN: dict[int, frozenset[Effect]] = {1: frozenset(("changes", "leaves")), 2: frozenset(("enters",))}


class ResyncStore(Log, Deliveries, Resyncs, Revisions, Protocol):
    """The records of resyncs, the log that they append to, and what the target was sent under which revision."""


class EntityEffect(NamedTuple):
    """An entity and what the newest revision does to it."""

    row: LogRow
    held: Control | None
    effect: Effect


class RevisionEffects:
    """Judges entities under the newest revision of a target's contract.

    Args:
        cursor: the target's; what was committed before its start does not concern it.
        contracts: refreshed; not the relay's object, since what is judged must not count as work of the relay.
        everything: whatever was sent counts as different.
    """

    def __init__(self, cursor: Cursor, contracts: ContractRevisions, *, everything: bool = False) -> None:
        self._cursor = cursor
        self._contracts = contracts
        self._everything = everything
        self._newest = contracts.revision(contracts.newest)
        self._left_to_log = contracts.newest_effective_after

    def of(
        self, rows: Sequence[LogRow], controls: Mapping[str, Control], lanes: Mapping[str, Sequence[OpenDelivery]]
    ) -> Iterator[EntityEffect]:
        """Judge entities by their newest rows.

        Args:
            rows: one of each.
            controls: what the target holds of them.
            lanes: what may still reach it, or has without an answer.
        """
        for row in rows:
            held = controls.get(row.entity_id)
            found = self._effect(row, held)
            lane = lanes.get(row.entity_id)
            if lane and found in {"same", "stays", "enters"} and self._may_hold_older(lane):
                found = "changes"
            yield EntityEffect(row, held, found)

    def _may_hold_older(self, lane: Sequence[OpenDelivery]) -> bool:
        """Whether the target may hold what an older revision has sealed, without a control row saying so.

        A delivery that may have had its effect is repeated as it was. What the newest revision shows has to come after it.
        """
        unclear = any(one.ambiguous and one.revision not in (0, self._newest.revision) for one in lane)
        return unclear and lane[-1].seq <= self._left_to_log

    def _effect(self, row: LogRow, held: Control | None) -> Effect:
        target = self._cursor.target
        if held is None and row.seq <= self._cursor.start:
            return "same"
        if self._everything:
            return effect(None, self._newest, row, held)
        if row.seq > max(self._left_to_log, self._cursor.position) and row.concerns(target):
            return "same"  # the log brings it, under the newest revision
        if held is None:
            return effect(self._newest, self._newest, row, held)
        if held.revision == self._newest.revision and held.presence == "in":
            return "same"
        try:
            before = self._contracts.revision(held.revision)
        except ConfigError:  # it cannot be compiled any more
            before = None
        return effect(before, self._newest, row, held)


class ResyncWork:
    """The resyncs of one target, one after another.

    Args:
        target: its name.
        store, call: where the records and the log are, and how they are reached.
        connection: to the target, which may be asked what it holds.
        contracts: the target's.
        settings_number: that of the settings that the target was made with.
        clock: the time.
        observer: where it is reported.
    """

    def __init__(
        self, target: str, store: ResyncStore, call: StoreCall, connection: Connection, contracts: ContractRevisions, *,
        settings_number: int, clock: Clock, observer: Observer,
    ) -> None:  # fmt: skip
        self._target = target
        self._store = store
        self._call = call
        self._connection = connection
        self._contracts = contracts
        self._settings_number = settings_number
        self._clock = clock
        self._observer = observer
        self._looked_at = -inf
        self._open = False

    async def any_open(self) -> bool:
        """Return whether a resync is open: a run that ends when all is done must not end yet."""
        return await self._find() is not None

    async def turn(self, cursor: Cursor) -> bool:
        """Judge and append one page, where the one before was passed; return False when nothing was done.

        Raises:
            FencedError: another process took the target over.
            ConfigError: a key is not the one that the newest revision was applied with.
        """
        now = self._clock.monotonic()
        if not self._open and now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        resync = await self._find()
        self._open = resync is not None
        if resync is None:
            return False
        await self._refresh()
        # What the revision before still seals goes first, or it would be sent after what is to take its place.
        if cursor.position < max(resync.upto, self._contracts.newest_effective_after):
            return False
        kept = await self._page(resync, cursor)
        self._open = kept is not None and kept.state == "open"
        if kept is not None and kept.state != "open":
            self._observer.event("resync ended", resync=kept.id, state=kept.state, resent=kept.resent)
        return True

    async def _find(self) -> Resync | None:
        found = await self._call(self._store.open_resync, self._target)
        return found if found is not None and found.settings <= self._settings_number else None

    async def _refresh(self) -> None:
        if self._contracts.misses(await self._call(self._store.newest_revision, self._target)):
            self._contracts.refresh(await self._call(self._store.revisions, self._target))

    async def _page(self, resync: Resync, cursor: Cursor) -> Resync | None:
        if resync.entities:
            wanted = [name for name in sorted(resync.entities) if name > resync.after][:PAGE]
            rows = sorted(await self._call(self._store.heads_of, wanted), key=lambda row: row.entity_id)
            after = wanted[-1] if wanted else resync.after
            last = not wanted
        else:
            rows = await self._call(self._store.head_page, resync.after, PAGE)
            after = rows[-1].entity_id if rows else resync.after
            last = not rows
        if last:
            return await self._end_turn(resync, cursor)
        ids = [row.entity_id for row in rows]
        controls = await self._call(self._store.controls, self._target, ids)
        lanes = await self._call(self._store.lanes, self._target, ids)
        effects = RevisionEffects(cursor, self._contracts, everything=resync.scope == "all")
        chosen = [one for one in effects.of(rows, controls, lanes) if one.effect in _OF_TURN[resync.turn]]
        held = await self._held(resync, chosen)
        resent = [Resend(one.row.entity_id, one.row.version, version) for one, version in zip(chosen, held, strict=True)]
        return await self._call(self._store.resend, replace(resync, after=after), resent, cursor.epoch, self._clock.now())

    async def _held(self, resync: Resync, chosen: Sequence[EntityEffect]) -> list[int]:
        """Return above which version each must go: a target may be ahead of a store that was restored."""
        known = [0 if one.held is None else one.held.version for one in chosen]
        if resync.scope != "all" or not self._connection.looks_up or not chosen:
            return known
        contract = self._contracts.revision(self._contracts.newest)
        items: dict[int, Item] = {}
        for index, one in enumerate(chosen):
            with suppress(EvaluationError):
                event = seal(contract, one.row, one.held, None)
                if isinstance(event, SealedEvent):
                    items[index] = Item(event, one.held.remote_id if one.held is not None else None)
        answered = dict(zip(items, await self._connection.held_versions(list(items.values())), strict=True)) if items else {}
        return [max(one, answered.get(index) or 0) for index, one in enumerate(known)]

    async def _end_turn(self, resync: Resync, cursor: Cursor) -> Resync | None:
        now = self._clock.now()
        if resync.turn == 1:
            ended = replace(resync, turn=2, after="")
        else:
            ended = replace(resync, state="done", ended_at=timestamp(now))
        return await self._call(self._store.resend, ended, (), cursor.epoch, now)


class ResyncPlan(Struct):
    """What a resync would come to."""

    counts: dict[Effect, int] = {}
    samples: dict[str, tuple[str, ...]] = {}
    """By effect, some entity ids."""

    def add(self, judged: Iterator[EntityEffect]) -> None:
        """Count entities, and name the first ones of each effect that is worth a look."""
        for one in judged:
            self.counts[one.effect] = self.counts.get(one.effect, 0) + 1
            named = self.samples.get(one.effect, ())
            if one.effect != "same" and len(named) < SAMPLES_MAX:
                self.samples[one.effect] = (*named, one.row.entity_id)

    @property
    def effects(self) -> EffectCounts:
        """The counts as a record keeps them."""
        return EffectCounts(**{str(name): count for name, count in self.counts.items()})


def plan_resync(
    store: ResyncStore, effects: RevisionEffects, target: str, entities: Sequence[str], progress: Progress
) -> ResyncPlan:
    """Judge every entity, or those that are named; nothing is written.

    Args:
        store: the log, and what the target was sent.
        effects: of the revision in question.
        target: its name.
        entities: entity ids; none: all.
        progress: called with the number of entities judged so far.
    """
    plan = ResyncPlan()
    after, done = "", 0
    while True:
        rows = store.heads_of(entities) if entities else store.head_page(after, PAGE)
        ids = [row.entity_id for row in rows]
        plan.add(effects.of(rows, store.controls(target, ids), store.lanes(target, ids)))
        done += len(rows)
        progress(done)
        if entities or len(rows) < PAGE:
            return plan
        after = rows[-1].entity_id
