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

from goldwire.changelog.rows import Revision
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.contract.compiled import CompiledContract
from goldwire.errors import FencedError, InputError, TargetStoppedError
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.placement.reservation import AnyPlacement
from goldwire.relay.relay import Relay
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Item, Outcome, Target
from goldwire.targets.memory.target import MemorySettings, MemoryTarget
from goldwire.targets.sql import SqlSettings, SqlTarget
from goldwire_lab.simulation.course import Course
from goldwire_lab.simulation.faults import Faults, Link, Process, SimulatedCrash
from goldwire_lab.simulation.leaks import Leaks
from goldwire_lab.simulation.promises import SQL_ATTRIBUTES, check_everything, check_ledgers
from goldwire_lab.simulation.replays import Replaying
from goldwire_lab.simulation.resyncs import Resyncing
from goldwire_lab.simulation.terms import Terms, draw_terms
from goldwire_lab.simulation.witness import Witness
from goldwire_lab.simulation.workload import Hub, Remodel, Workload
from goldwire_lab.virtual_time import VirtualClock, VirtualLoop

TARGETS = ("every", "latest", "snapshot")
LIVES = 6
"""How often the process is started before the calm; each life ends in a crash, a stop, or by catching up."""


SQL_SHARE = 0.25
"""For which share of seeds one target is a table."""

INTERRUPTED = 0.02
"""How likely the operator acts before one call of the store."""

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

    def __init__(self, seed: int, template: Path, folder: Path) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.path = folder / f"seed-{seed}.db"
        shutil.copyfile(template, self.path)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.process = Process(self.random, 0.0, self.loop.time)
        self.findings: list[str] = []
        self.witnesses = {name: Witness(name, self.findings.append) for name in TARGETS}
        self.leaks = {name: Leaks(name, self.findings.append) for name in TARGETS}
        self.inner = {name: self._inner(name) for name in TARGETS}
        self.settings = {name: self._settings(name) for name in TARGETS}
        workload = Workload(self.random, Hub(seed))
        self.batches = [workload.batch() for _ in range(self.random.randint(3, 14))]
        self.ingested = 0
        self.committed: list[int] = []
        self.compiled: dict[tuple[str, int], CompiledContract] = {}
        self.ingesting = True
        self.life: asyncio.Task[None]
        self.known = {"every", "latest"}
        self.course = Course()
        self.replaying = Replaying(self.random)
        self.resyncing = Resyncing(seed)
        self.observers = {name: Quiet(name, Recorder()) for name in TARGETS}

    def _settings(self, name: str) -> DeliverySettings:
        random = self.random
        return DeliverySettings(
            mode="every" if name == "every" else "latest",
            batch_size=random.choice((1, 2, 5, 100)),
            concurrency=random.choice((1, 1, 2, 8)),
            chunk_size=random.choice((1, 3, 10, 1000)),
            timeout_seconds=10.0,
            max_attempts=random.choice((1, 3, 8)),
            backoff_seconds=0.5,
            backoff_limit_seconds=20.0,
            breaker_failures=random.choice((1, 2, 5)),
            dead_letter_minimum=random.choice((2, 20)),
            rate_limit_per_second=random.choice((None, None, 50.0)),
        )

    def _inner(self, name: str) -> Target:
        """The real target behind the faults: in memory, because that is fast, and for some seeds a real table."""
        if name == "snapshot" and self.random.random() < SQL_SHARE:
            settings = SqlSettings(
                url=f"sqlite:///{self.path}.target",
                table="customer",
                columns={name: name for name in SQL_ATTRIBUTES},
                delete=self.random.choice(("soft", "physical")),
                create_table=True,
            )
            return SqlTarget(name, settings, self.clock)
        return MemoryTarget(name, MemorySettings(), self.clock)

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
            self.known = set(TARGETS)
            leave_dead = self.random.random() < 0.2
            self._settle_resyncs()
            for _ in range(4):
                self._live(calm=True)
                if leave_dead or not self._redrive_all():
                    break
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
            process.alive = process.alive and calm
            self._bury(task)
            store.close()
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
            await asyncio.sleep(self.random.choice((0.0, 0.5, 30.0)))
            self._operate(store)
        self.ingesting = False

    async def _relay(self, store: SqliteStore, name: str, faults: Faults, process: Process, *, calm: bool) -> None:
        while True:
            leaks = self.leaks[name]
            link = Link(self.inner[name], faults, self.random, process, self.witnesses[name].arrived, leaks.leaving)
            contracts = ContractRevisions(name, partial(self.compile, name))
            relay = Relay(
                name, store, link, contracts, self.settings[name], placement=AnyPlacement(),
                clock=self.clock, random=self.random, observer=self.observers[name],
                start="beginning" if name == "every" else "snapshot",
                call=Interrupted(partial(self._interrupt, store, calm=calm), partial(leaks.turn, store)),
            )  # fmt: skip
            try:
                await relay.run(until_caught_up=True)
            except TargetStoppedError:
                store.stop(name, None)
            except FencedError:
                process.step("relay:fenced")
            else:
                if not self.ingesting or (not calm and self.random.random() < 0.02):
                    return
            await asyncio.sleep(1.0)

    # --- operators

    def _operate(self, store: SqliteStore) -> None:
        """Do now and then what a person does while everything runs."""
        random = self.random
        for target, delivery in store.dead_letters():
            if random.random() < 0.2:
                store.redrive(target, [delivery.seq], self.clock.now())
            elif random.random() < 0.2 and not delivery.ambiguous and delivery.state == "dead":
                store.discard(target, [delivery.seq], self.clock.now())
        if random.random() < 0.15:
            name = random.choice(TARGETS)
            if name in self.known:
                self._apply_contract(store, name, draw_terms(name, random))
                self.resyncing.contract_applied(store, name, self.clock.now())
        if random.random() < 0.1:
            self._rewind(store)
        self.replaying.operate(store, self.clock.now())
        self.resyncing.operate(store, self.clock.now())

    def _interrupt(self, store: SqliteStore, *, calm: bool) -> None:
        if self.process.silent_seconds() > SILENCE_SECONDS:
            self.life.cancel()  # at its next wait: to poll on until its time is over takes minutes and finds no more
        if not calm and self.random.random() < INTERRUPTED:
            self._operate(store)

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
