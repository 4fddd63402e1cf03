"""What every part of `StoreSuite` stands on: how a store is made, and short words for changes, deliveries and settlements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from goldwire.capture.fact import ExternalId
from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import Control, Counts, OpenDelivery, OpenState, Settlement
from goldwire.mastering.workspace import Change, ChangeKind, StoredRecord

Checkpoint = Callable[[str], None]

NOON = 1_800_000_000.0
"""A moment, POSIX seconds."""


class Crash(BaseException):
    """What a simulated crash raises; no handler of ordinary errors catches it."""


def crash_at(step: str) -> Checkpoint:
    """Return a checkpoint that crashes at one step."""

    def checkpoint(reached: str) -> None:
        if reached == step:
            raise Crash(step)

    return checkpoint


class StoreSetting(ABC):
    """How the suite gets its stores. A store's suite overrides the two methods."""

    @abstractmethod
    def make_store(self, path: Path, checkpoint: Checkpoint | None = None) -> Store:
        """Open the store at `path`, and create it first where there is none; a second call opens the same one again.

        Args:
            path: a path that is unique to the test; an engine without files takes it as a name.
            checkpoint: called at named steps of each write transaction.
        """

    @abstractmethod
    def tamper(self, path: Path, statement: str) -> None:
        """Run a SQL statement on the tables of `goldwire.changelog.schema`, behind the store's back."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where the test's store lives."""
        return tmp_path / "goldwire.db"

    @pytest.fixture
    def store(self, path: Path) -> Iterator[Store]:
        """An empty store."""
        opened = self.make_store(path)
        yield opened
        opened.close()


def ref(number: int | str, system: str = "crm") -> ExternalId:
    """Return an external id."""
    return ExternalId(system, str(number))


def record(number: int | str, entity_id: str, body: bytes = b"{}", system: str = "crm") -> StoredRecord:
    """Return a record of an entity."""
    return StoredRecord(ref(number, system), "Customer", entity_id, body)


def change(entity_id: str, version: int, **other: Any) -> Change:
    """Return a change with a state that names it."""
    kind: ChangeKind = other.pop("kind", "live")
    state = f'{{"of":"{entity_id}","version":{version}}}'.encode()
    fields: dict[str, Any] = {
        "entity_type": "Customer",
        "changed": "name",
        "correlation_id": "run-1",
        "steward": b"{}",
        "state": state,
        **other,
    }
    return Change(entity_id=entity_id, version=version, kind=kind, **fields)


def commit(store: Store, *changes: tuple[str, int], now: float = NOON) -> None:
    """Commit versions in one transaction, each given as (entity id, version)."""
    with store.ingest(now) as workspace:
        committed = workspace.commit_changes([change(entity_id, version) for entity_id, version in changes])
    assert committed == len(changes)


def control(entity_id: str, version: int, seq: int, **other: Any) -> Control:
    """Return a control row."""
    row = Control(entity_id, version, seq, "in", b"h" * 32, None, None, 1, None, "2026-11-23T10:00:00.000000Z", "delivered")
    return row._replace(**other)


def opened(seq: int, entity_id: str, state: OpenState = "retrying", **other: Any) -> OpenDelivery:
    """Return an open delivery, due at once."""
    row = OpenDelivery(seq, entity_id, "Customer", 1, state, 1, 1, False, None, None, NOON, "refused", 1)  # noqa: FBT003 - the tuple's own order
    return row._replace(**other)


def acquired(
    store: Store, target: str = "t", start: Literal["snapshot", "beginning", "now"] = "beginning", bound: int | None = None
) -> int:
    """Acquire a target and declare all there is (or `bound`); return the epoch."""
    epoch = store.acquire(target, start).epoch
    store.declare(target, epoch, store.position() if bound is None else bound, "every")
    return epoch


def settle(store: Store, begin: int, codes: bytes, epoch: int = 1, target: str = "t", **other: Any) -> None:
    """Settle a stretch that begins after `begin`."""
    store.settle(Settlement(target, epoch, begin, begin + len(codes), codes, **other))


def balanced(store: Store, target: str = "t") -> Counts:
    """Return the ledger, having checked that it balances and that the rows alone say the same."""
    counts = store.counts(target)
    assert counts.committed == sum(counts[1:]), f"the ledger does not balance: {counts}"
    recounted = store.recount(target)
    assert recounted == counts
    return counts


def lane_states(store: Store, entity_id: str, target: str = "t") -> Mapping[int, OpenState]:
    """Return the states of an entity's lane by position."""
    return {row.seq: row.state for row in store.lanes(target, [entity_id]).get(entity_id, [])}
