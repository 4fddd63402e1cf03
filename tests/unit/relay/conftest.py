"""A relay on a real store and a scripted target, under virtual time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import msgspec
import pytest

from goldwire.canonical import canonical
from goldwire.changelog.replays import Replay, Selection
from goldwire.changelog.rows import Revision
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.clock import timestamp
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec
from goldwire.mastering.model import Attribute, EntityType, Model
from goldwire.mastering.workspace import Change
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.placement.reservation import AnyPlacement, PlacementGuard
from goldwire.relay.relay import Relay
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import DELIVERED, Item, Outcome
from goldwire_lab.virtual_time import VirtualClock, VirtualLoop

MODEL = Model({"Customer": EntityType({"city": Attribute(), "name": Attribute()})})
Answer = Callable[[Item], Outcome]


class ScriptedTarget:
    """Takes everything, unless a test gave it another answer; keeps what it was sent, in order."""

    batch_limit: ClassVar[int] = 100

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.items: list[Item] = []
        self.bodies: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.answer: Answer = lambda _: DELIVERED
        self.delay_seconds = 0.0
        self.in_flight = 0
        self.most_in_flight = 0
        self.closed = 0

    async def open(self) -> None:
        pass

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.batches.append(len(items))
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        self.in_flight -= 1
        for item in items:
            self.sent.append((item.event.entity_id, item.event.version))
            self.items.append(item)
            self.bodies.append(msgspec.json.decode(item.event.body))
        return [self.answer(item) for item in items]

    async def close(self) -> None:
        self.closed += 1


@cache
def empty_store() -> bytes:
    """The file of a store in which nothing happened: worlds begin with a copy, since making one takes longer than a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        SqliteStore(path, durable=False).close()
        return path.read_bytes()


class World:
    """One store, one target, and a relay whenever a test wants one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(empty_store())
        self.store = SqliteStore(path, durable=False)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.target = ScriptedTarget()
        self.versions: dict[str, int] = {}
        self.relay: Relay | None = None
        self.call: StoreCall | None = None
        self.recorder = Recorder()
        self.placement: PlacementGuard = AnyPlacement()
        self.contract(ContractSpec(golden=False))

    def contract(self, spec: ContractSpec) -> Revision:
        return self.store.apply_revision("t", canonical(msgspec.to_builtins(spec)), self.clock.now())

    def commit(self, *changes: tuple[str, dict[str, Any] | None]) -> None:
        """Commit (entity, attributes) in one batch; None deletes."""
        with self.store.ingest(self.clock.now()) as workspace:
            for entity_id, attributes in changes:
                version = self.versions[entity_id] = self.versions.get(entity_id, 0) + 1
                kind = "live" if attributes is not None else "deleted"
                state = golden_state(attributes or {})
                workspace.commit_changes([Change(entity_id, "Customer", version, kind, state, "", "run-1", b"{}")])

    def replay(self, replay_id: str = "r1", *, rate: float | None = None, **selection: Any) -> None:
        """Ask for a replay of all that the target was sent so far, or of what is selected."""
        position = next(cursor.position for cursor in self.store.cursors() if cursor.target == "t")
        chosen = Selection(**{"after": 0, "upto": position, **selection})
        self.store.add_replay(Replay(replay_id, "t", chosen, "ann", timestamp(self.clock.now()), rate=rate))

    def replayed(self, replay_id: str = "r1") -> Replay:
        return next(one for one in self.store.replays("t") if one.id == replay_id)

    def run(self, *, until_caught_up: bool = True, start: str = "beginning", **settings: Any) -> None:
        self.loop.run_until_complete(self.running(until_caught_up=until_caught_up, start=start, **settings))

    def run_other(self, name: str, **settings: Any) -> None:
        """Run the relay of another target on the same store; what it sends arrives at the same one."""
        self.loop.run_until_complete(self.running(name=name, **settings))

    async def running(
        self, *, name: str = "t", until_caught_up: bool = True, start: str = "beginning", **settings: Any
    ) -> None:
        self.relay = Relay(
            name,
            self.store,
            self.target,
            ContractRevisions(name, partial(compiled, target=name)),
            DeliverySettings(**{"mode": "every", **settings}),
            clock=self.clock,
            random=Random(7),
            observer=RecordingObserver(name, self.recorder),
            start=start,
            call=self.call,
            placement=self.placement,
        )
        await self.relay.run(until_caught_up=until_caught_up)

    def erase(self, entity_id: str) -> None:
        version = self.versions[entity_id] = self.versions[entity_id] + 1
        with self.store.ingest(self.clock.now()) as workspace:
            workspace.commit_changes([Change(entity_id, "Customer", version, "erased", golden_state({}), "", "run-1", b"{}")])

    def balanced(self) -> bool:
        counts = self.store.counts("t")
        return counts == self.store.recount("t") and counts.committed == sum(counts[1:])


def compiled(revision: Revision, target: str = "t") -> CompiledContract:
    spec = msgspec.json.decode(revision.document, type=ContractSpec)
    return compile_contract("c", spec, MODEL, target, (), {}, revision.revision)


def golden_state(attributes: dict[str, Any]) -> bytes:
    entry = {"confidence": 1, "lastSeen": "2026-01-01T00:00:00.000000Z", "provenance": "crm"}
    return canonical(
        {
            "approval": "approved",
            "attributes": {name: {**entry, "value": value} for name, value in attributes.items()},
            "confidence": 1,
            "edges": [],
            "externalIds": [],
            "status": "golden",
        }
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "log.db")
    asyncio.set_event_loop(made.loop)
    yield made
    made.store.close()
    made.loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """What makes worlds, for a test that needs many."""
    return World


@pytest.fixture(scope="session")
def compile_revision() -> Callable[[Revision], CompiledContract]:
    """How the worlds compile a contract."""
    return compiled
