"""One seed: random work meets random faults over several lives of the process, then calm, then all promises are checked."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace

from goldwire.changelog.resyncs import FOREIGN
from goldwire.changelog.rows import Mode, Revision
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.contract.compiled import CompiledContract
from goldwire.errors import ContractError, FencedError, InputError, TargetStoppedError
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.placement.reservation import AnyPlacement
from goldwire.relay.relay import Relay
from goldwire.services.guards import resume
from goldwire.targets.base import Item, Outcome, Target
from goldwire.targets.memory.target import MemorySettings, MemoryTarget
from goldwire.targets.sql import SqlSettings, SqlTarget
from goldwire_lab.simulation.course import Course
from goldwire_lab.simulation.drawn_settings import draw_delivery, draw_guards, draw_sql, draw_start
from goldwire_lab.simulation.faults import Faults, Link, Process, SimulatedCrash
from goldwire_lab.simulation.limits import Limits
from goldwire_lab.simulation.losses import Losses, Progress
from goldwire_lab.simulation.machines import FIRST, SECOND, Owners, SecondMachine
from goldwire_lab.simulation.numbering_target import NumberingTarget
from goldwire_lab.simulation.promises import check_everything, check_ledgers
from goldwire_lab.simulation.replays import Replaying
from goldwire_lab.simulation.resyncs import Resyncing
from goldwire_lab.simulation.terms import Terms, draw_terms, draw_unsafe
from goldwire_lab.simulation.watchers import Crossing, Watchers
from goldwire_lab.simulation.workload import Hub, Remodel, Workload
from goldwire_lab.virtual_time import VirtualClock, VirtualLoop

TARGETS = ("every", "latest", "snapshot")
LIVES = 6
"""How often the process is started before the calm; each life ends in a crash, a stop, or by catching up."""


SQL_SHARE = 0.25
"""For which share of seeds one target is a table."""

INTERRUPTED = 0.02
"""How likely the operator acts before one call of the store."""

STOPPED = 0.1
"""How likely an operator who acts stops a relay or its target."""

TAKEN_OVER = 0.1
"""How likely another machine takes over one target in one life."""

T = TypeVar("T")

LIFE_SECONDS = 100_000.0
"""Virtual time after which a life that has not ended never will."""

SILENCE_SECONDS = 5_000.0
"""Virtual time without a send or a write after which a life only waits: no healthy wait is as long."""


class Quiet(RecordingObserver):
    """Reports nothing: the lines of thousands of seeds would hide what matters."""

    def attempt(self, items: Sequence[Item], outcomes: Sequence[Outcome], duration_seconds: float) -> None:
        """Keep silent."""

    def event(self, name: str, **fields: object) -> None:
        """Keep silent."""

    def asked_for_too_long(self, asked_seconds: float, allowed_seconds: float) -> None:
        """Keep silent."""

    def guarded(self, kind: str, count: int) -> None:
        """Keep silent."""

    def diverged(self, count: int) -> None:
        """Keep silent."""


class Interrupted(StoreCall):
    """In production another process may commit between any two calls of the store; here the operator does, now and then."""

    def __init__(self, operate: Callable[[], None], turn: Callable[[], None]) -> None:
        super().__init__()
        self._operate = operate
        self._turn = turn

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """Let the operator act, or not, and then call; a relay that looks for an open replay begins a turn of it."""
        self._operate()
        if function.__name__ == "open_replay":
            self._turn()
        return await super().__call__(function, *args)


class Finding(Exception):  # noqa: N818 - it is what a simulation is for
    """A promise was broken."""


class Scenario:
    """Everything one seed does.

    Args:
        seed: it alone decides what happens.
        template: an empty store, copied for each seed because making one takes longer than the seed.
        folder: where this seed's store lives.
    """

    loses_possible = True
    """Whether what stands behind the targets can go on after a store has lost something."""

    def __init__(self, seed: int, template: Path, folder: Path) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.path = folder / f"seed-{seed}.db"
        shutil.copyfile(template, self.path)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.process = Process(self.random, 0.0, self.loop.time)
        self.findings: list[str] = []
        self.watchers = {name: Watchers(name, self.findings.append) for name in TARGETS}
        self.witnesses = {name: self.watchers[name].witness for name in TARGETS}
        self.answers = {name: self.watchers[name].answers for name in TARGETS}
        self.inner = {name: self._inner(name) for name in TARGETS}
        self.modes: dict[str, Mode | None] = {name: self.random.choice(("every", "latest", None)) for name in TARGETS}
        self.starts = {name: draw_start(name, self.random) for name in TARGETS}
        self.guards = {name: draw_guards(self.random) for name in TARGETS}
        workload = Workload(self.random, Hub(seed))
        self.batches = [workload.batch() for _ in range(self.random.randint(3, 14))]
        self.ingested = 0
        self.committed: list[int] = []
        self.compiled: dict[tuple[str, int], CompiledContract] = {}
        self.ingesting = True
        self.life: asyncio.Task[None]
        self.known = {"every", "latest"}
        self.course = Course()
        self.losses = Losses(seed, self.path, possible=self.loses_possible)
        self.owners = Owners(self.findings.append)
        self.running: dict[str, tuple[Relay, Limits]] = {}
        self.opened: list[SqliteStore] = []
        self.replaying = Replaying(self.random)
        self.resyncing = Resyncing(seed)
        self.discarded: set[tuple[str, int]] = set()
        self.observers = {name: Quiet(name, Recorder()) for name in TARGETS}

    def _inner(self, name: str) -> Target:
        """The real target behind the faults: in memory, because that is fast, and for some seeds a real table."""
        if name == "snapshot" and self.random.random() < SQL_SHARE:
            settings = draw_sql(f"{self.path}.target", self.random)
            if not settings.create_table:
                self._make_table(settings)
            return SqlTarget(name, settings, self.clock)
        if name == "latest":
            return NumberingTarget(name, MemorySettings(), self.clock)
        return MemoryTarget(name, MemorySettings(), self.clock)

    def _make_table(self, settings: SqlSettings) -> None:
        """Let the table be there already, as its owner has made it."""
        made = SqlTarget("made before", replace(settings, create_table=True), self.clock)
        self.loop.run_until_complete(made.open())
        self.loop.run_until_complete(made.close())

    # --- lives

    def run(self) -> None:
        """Run the seed to its end.

        Raises:
            Finding: a promise was broken; the text says which.
        """
        asyncio.set_event_loop(self.loop)
        try:
            for inner in self.inner.values():
                self.loop.run_until_complete(inner.open())
            for _ in range(self.random.randint(1, LIVES)):
                self._live(calm=False)
                self._check_ledgers()
                self._operate_between_lives()
                self._lose(self.losses.between_lives(self._progress()))
            self.known = set(TARGETS)
            leave_dead = self.random.random() < 0.2
            self._settle_resyncs()
            self._live(calm=True)
            for _ in range(3):  # what no contract can decide on dies again each time
                if leave_dead or not self._redrive_all():
                    break
                self._live(calm=True)
            self._check()
        finally:
            for inner in self.inner.values():
                self.loop.run_until_complete(inner.close())
            self.loop.close()
            asyncio.set_event_loop(None)
            for leftover in self.path.parent.glob(f"{self.path.name}*"):
                leftover.unlink()

    def _live(self, *, calm: bool) -> None:
        chance = 0.0 if calm else self.random.choice((0.0, 0.002, 0.01, 0.05))
        process = self.process = Process(self.random, chance, self.loop.time)
        store = SqliteStore(self.path, durable=False, checkpoint=process.step)
        self.opened = [store]
        self.owners.begin()
        self.losses.begin()
        faults = {name: Faults() if calm else Faults.draw(self.random) for name in TARGETS}
        task = self.loop.create_task(self._process(store, process, faults, calm=calm))
        self.life = task
        try:
            self.loop.run_until_complete(asyncio.wait_for(task, LIFE_SECONDS))
        except SimulatedCrash:
            assert not calm, "nothing kills a calm life"  # what a kill leaves behind, the next life must cope with
        except (TimeoutError, asyncio.CancelledError) as ended:
            if isinstance(ended, asyncio.CancelledError) and process.silent_seconds() <= SILENCE_SECONDS:
                raise
            self.findings.append("a life did not end: something waits for ever")
        except BaseExceptionGroup as group:
            crashes, others = group.split(SimulatedCrash)
            if others is not None:
                raise others from None
            assert crashes is not None
        finally:
            killed = not process.alive
            process.alive = process.alive and calm
            self._bury(task)
            left = self.losses.crashed() if killed else None
            for one in self.opened:
                one.close()
        if left is not None:
            progress, file, log = left
            self.losses.put_back(file, log)
            self._lose(progress)
        if not calm and self.random.random() < 0.2:
            # Set back a little; or far ahead, to be set right again some lives later.
            self.clock.skew_seconds = self.random.choice((-1.0, -1.0, 1e7)) * self.random.uniform(0.0, 100.0)
        elif calm:
            self.clock.skew_seconds = 0.0

    def _bury(self, task: asyncio.Task[None]) -> None:
        # A killed process leaves behind only what is on the wire; its own tasks must not run on.
        del task
        mine = [t for t in asyncio.all_tasks(self.loop) if "_apply" not in repr(t.get_coro())]
        for left in mine:
            left.cancel()
        if mine:
            self.loop.run_until_complete(asyncio.gather(*mine, return_exceptions=True))

    async def _process(self, store: SqliteStore, process: Process, faults: dict[str, Faults], *, calm: bool) -> None:
        for name in sorted(self.known):
            self._apply_contract(store, name, draw_terms(name, self.random), only_first=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ingest(store, process))
            for name in TARGETS:
                if name in self.known:
                    group.create_task(self._relay(store, name, faults[name], process, calm=calm))
                    if not calm and self.random.random() < TAKEN_OVER:
                        group.create_task(self._take_over(name, faults[name], process))

    async def _take_over(self, name: str, faults: Faults, process: Process) -> None:
        """Let another machine take the target over from the relay that still runs."""
        await asyncio.sleep(self.random.uniform(0.0, 60.0))
        store = SecondMachine(self.path, durable=False, checkpoint=process.step)
        self.opened.append(store)
        self.owners.take(name, SECOND)
        await self._relay(store, name, faults, process, calm=False, machine=SECOND)

    async def _ingest(self, store: SqliteStore, process: Process) -> None:
        self.ingesting = True
        while self.ingested < len(self.batches):
            batch = self.batches[self.ingested]
            try:
                for _ in self.course.carry_out(batch, lambda: store.ingest(self.clock.now()), f"batch-{self.ingested}"):
                    if isinstance(batch, Remodel):  # the relays go on meanwhile
                        await asyncio.sleep(self.random.choice((0.0, 0.5)))
            except SimulatedCrash:
                if process.killed_at == "ingest:after-commit" and not isinstance(batch, Remodel):
                    self.committed.append(self.ingested)
                raise
            self.committed.append(self.ingested)
            process.step("ingest:noted")
            self.ingested += 1
            self.losses.note(self._progress())
            await asyncio.sleep(self.random.choice((0.0, 0.5, 30.0)))
            self._operate(store)
        self.ingesting = False

    async def _relay(
        self, store: SqliteStore, name: str, faults: Faults, process: Process, *, calm: bool, machine: int = FIRST
    ) -> None:
        while self.owners.has(name, machine):
            leaks = self.watchers[name].leaks
            settings = draw_delivery(self.random, self.modes[name])
            limits = Limits(name, settings, self.replaying.rate, self.loop.time, self.findings.append)
            crossing = Crossing(self.watchers[name], limits, store)
            relay = Relay(
                name, store, Link(self.inner[name], faults, self.random, process, crossing),
                ContractRevisions(name, partial(self.compile, name)), settings, placement=AnyPlacement(),
                clock=self.clock, random=self.random, observer=self.observers[name], guards=self.guards[name],
                start=self.starts[name], progress=partial(self.owners.settled, machine),
                call=Interrupted(partial(self._interrupt, store, calm=calm), partial(leaks.turn, store)),
            )  # fmt: skip
            self.running[name] = (relay, limits)
            self.witnesses[name].relay_begins()
            before = store.cursor(name)
            try:
                await relay.run(until_caught_up=True)
            except TargetStoppedError:
                self._resume(store, name, calm=calm)
            except FencedError:
                process.step("relay:fenced")
            else:
                if limits.stopped:
                    self.findings.extend(crossing.unsettled(name, before))
                elif not self.ingesting or (not calm and self.random.random() < 0.02):
                    return
            finally:
                limits.check()
            await asyncio.sleep(1.0)

    def _resume(self, store: SqliteStore, name: str, *, calm: bool) -> None:
        """Do what the reason asks for, for which a target was stopped; a person may forget it at first."""
        cursor = store.cursor(name)
        reason = (cursor.stopped if cursor is not None else None) or ""
        if reason.startswith(FOREIGN):
            if not self.losses.happened:
                self.findings.append(f"{name} was stopped, and nothing was lost: {reason}")
            if calm or self.random.random() < 0.8:
                self.resyncing.mend(store, name, self.clock.now())
        resume(store, name, self.clock, yes=reason.startswith("guards:") and (calm or self.random.random() < 0.5))

    # --- operators

    def _operate(self, store: SqliteStore) -> None:
        """Do now and then what a person does while everything runs."""
        random = self.random
        for target, delivery in store.dead_letters():
            if random.random() < 0.2:
                store.redrive(target, [delivery.seq], self.clock.now())
            elif random.random() < 0.2 and not delivery.ambiguous and delivery.state == "dead":
                self.discarded.add((target, delivery.seq))
                store.discard(target, [delivery.seq], self.clock.now())
        if random.random() < 0.15:
            name = random.choice(TARGETS)
            if name in self.known:
                self._apply_contract(store, name, draw_terms(name, random))
                self.resyncing.contract_applied(store, name, self.clock.now())
                self._try_unsafe(name)
        if random.random() < 0.1:
            self._rewind(store)
        if random.random() < STOPPED:
            self._stop(store, random.choice(TARGETS))
        self.replaying.operate(store, self.clock.now())
        self.resyncing.operate(store, self.clock.now())

    def _stop(self, store: SqliteStore, name: str) -> None:
        """Stop one relay gracefully, as SIGTERM does; or its target, as a person does."""
        if name not in self.running:
            return
        relay, limits = self.running[name]
        if self.random.random() < 0.8:
            limits.stopped = True
            relay.stop()
        elif store.cursor(name) is not None:
            store.stop(name, "a person wants it")

    def _try_unsafe(self, name: str) -> None:
        """No contract may be compiled that lets out what the target has no clearance for."""
        terms = draw_unsafe(name, self.random)
        if terms is not None:
            with suppress(ContractError):
                terms.compile(name, 1)
                self.findings.append(f"{name}: a contract was accepted that lets out what the target has no clearance for")

    def _progress(self) -> Progress:
        return Progress(tuple(self.committed), self.ingested, self.course.model)

    def _lose(self, progress: Progress | None) -> None:
        """Go on with an older store; the source sends again what that does not have."""
        if progress is None:
            return
        self.committed[:] = progress.committed  # which may be more: a copy may be of later than what a power cut left
        self.ingested = progress.ingested
        self.course.restore(progress.model)
        self.compiled.clear()
        self.replaying.store_lost()
        for watchers in self.watchers.values():
            watchers.store_lost()

    def _interrupt(self, store: SqliteStore, *, calm: bool) -> None:
        if self.process.silent_seconds() > SILENCE_SECONDS:
            self.life.cancel()  # at its next wait: to poll on until its time is over takes minutes and finds no more
        if not calm and self.random.random() < INTERRUPTED:
            self._operate(store)
            self.losses.note(self._progress())

    def _operate_between_lives(self) -> None:
        store = SqliteStore(self.path, durable=False)
        if self.random.random() < 0.3:
            self._rewind(store)
        if self.random.random() < 0.3:
            self.known.add("snapshot")
        store.close()

    def _settle_resyncs(self) -> None:
        store = SqliteStore(self.path, durable=False)
        for cursor in store.cursors():
            self.resyncing.settle(store, cursor.target, self.clock.now())
            if self.losses.happened:
                self.resyncing.mend(store, cursor.target, self.clock.now())
        store.close()

    def _rewind(self, store: SqliteStore) -> None:
        cursors = [cursor for cursor in store.cursors() if cursor.position > cursor.start]
        if cursors:
            cursor = self.random.choice(cursors)
            self.replaying.rewound(cursor.target)  # before it is: a crash may follow its commit
            with suppress(InputError):
                store.rewind(cursor.target, self.random.randint(cursor.start, cursor.position))

    def _redrive_all(self) -> bool:
        store = SqliteStore(self.path, durable=False)
        letters = store.dead_letters()
        for target, delivery in letters:
            store.redrive(target, [delivery.seq], self.clock.now())
        store.close()
        return bool(letters)

    def _apply_contract(self, store: SqliteStore, name: str, terms: Terms, *, only_first: bool = False) -> None:
        if only_first and store.revisions(name):
            return
        store.apply_revision(name, terms.document, self.clock.now())

    def compile(self, name: str, revision: Revision) -> CompiledContract:
        """Compile a target's contract as its revision says."""
        compiled = self.compiled.get((name, revision.revision))
        if compiled is None:
            compiled = Terms.of(revision).compile(name, revision.revision)
            self.compiled[name, revision.revision] = compiled
        return compiled

    # --- promises

    def _check_ledgers(self) -> None:
        check_ledgers(self)
        self._raise_findings()

    def _check(self) -> None:
        check_everything(self)
        self._raise_findings()

    def _raise_findings(self) -> None:
        if self.findings:
            raise Finding("; ".join(dict.fromkeys(self.findings)))
