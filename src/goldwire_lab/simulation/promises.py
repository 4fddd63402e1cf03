"""The promises, checked after a seed has run: nothing lost, targets equal to the golden state, ledgers balanced, log whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import msgspec

from goldwire.changelog.rows import Control, LogRow, Revision
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.contract.compiled import CompiledContract
from goldwire.errors import StoreCorruptError
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.ledger import ledger
from goldwire.targets.base import Target
from goldwire.targets.memory.target import MemoryTarget
from goldwire.targets.sql import SqlTarget
from goldwire_lab.simulation.course import Course
from goldwire_lab.simulation.replays import Replaying
from goldwire_lab.simulation.resyncs import Resyncing
from goldwire_lab.simulation.witness import Held, Witness, after
from goldwire_lab.simulation.workload import Batch
from goldwire_lab.virtual_time import VirtualLoop
from goldwire_lab.workspace import MemoryWorkspace

SQL_ATTRIBUTES = ("name", "email", "city")
"""What a table of the simulation has columns for."""

Rows = dict[str, dict[str, Any]]
"""Rows of a table by entity id; empty for a target that is none."""


class Ran(Protocol):
    """What a scenario leaves behind to be checked."""

    path: Path
    """Its store."""
    findings: list[str]
    """Where broken promises are reported."""
    batches: list[Batch]
    committed: list[int]
    """Indexes of batches, in the order in which they were committed."""
    witnesses: dict[str, Witness]
    inner: dict[str, Target]
    """The real targets behind the faults."""

    loop: VirtualLoop
    replaying: Replaying
    resyncing: Resyncing

    def compile(self, name: str, revision: Revision) -> CompiledContract:
        """Compile a target's contract as its revision says."""
        ...


def check_ledgers(scenario: Ran) -> None:
    """Every ledger balances, and a recount from the rows agrees, also right after a crash."""
    store = SqliteStore(scenario.path, durable=False)
    try:
        for cursor in store.cursors():
            try:
                accounts = ledger(store, cursor.target, recount=True)
            except StoreCorruptError as error:
                scenario.findings.append(f"{cursor.target}: {error}")
                continue
            if not accounts.balanced:
                scenario.findings.append(f"{cursor.target}: the ledger does not balance: {accounts}")
    finally:
        store.close()


def check_everything(scenario: Ran) -> None:
    """All that must hold once the faults are over and everything was caught up with."""
    check_ledgers(scenario)
    store = SqliteStore(scenario.path, durable=False)
    try:
        heads = list(store.heads())
        _check_log(scenario, store, heads)
        _check_mastering(scenario, heads)
        for cursor in store.cursors():
            counts = store.counts(cursor.target)
            if counts.pending:
                scenario.findings.append(f"{cursor.target}: {counts.pending} pending although it was caught up with")
            _check_target(scenario, store, cursor.target, heads)
        scenario.replaying.check(store, scenario.witnesses, scenario.findings)
        scenario.resyncing.check(store, scenario.findings)
    finally:
        store.close()


def _check_log(scenario: Ran, store: SqliteStore, heads: list[LogRow]) -> None:
    rows = store.read(0, store.position(), 1_000_000)
    if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
        scenario.findings.append("the log has gaps")
    if any(earlier.committed_at > later.committed_at for earlier, later in pairwise(rows)):
        scenario.findings.append("the log's times go backwards")
    for head in heads:
        versions = [row.version for row in store.history(head.entity_id)]
        if versions != list(range(1, head.version + 1)):
            scenario.findings.append(f"{head.entity_id}: versions {versions} are not 1 to {head.version}")


def _check_mastering(scenario: Ran, heads: list[LogRow]) -> None:
    """Crashes must leave the golden records that a quiet run of the same batches makes; one may have come twice."""
    workspace = MemoryWorkspace()
    course = Course(at_once=True)
    for index in scenario.committed:
        for _ in course.carry_out(scenario.batches[index], lambda: nullcontext(workspace), f"batch-{index}"):
            pass
    expected = {entity.entity_id: (entity.kind, msgspec.json.decode(entity.state)) for entity in workspace.heads.values()}
    found = {head.entity_id: (head.kind, msgspec.json.decode(head.state)) for head in heads}
    for entity_id in sorted(expected.keys() | found.keys()):
        if expected.get(entity_id) != found.get(entity_id):
            scenario.findings.append(f"{entity_id}: the golden record is not what a run without crashes makes")


def _check_target(scenario: Ran, store: SqliteStore, name: str, heads: list[LogRow]) -> None:
    contracts = ContractRevisions(name, lambda revision: scenario.compile(name, revision))
    contracts.refresh(store.revisions(name))
    witness, inner = scenario.witnesses[name], scenario.inner[name]
    rows: Rows = {}
    if isinstance(inner, SqlTarget):
        rows = {row["id"]: row for row in scenario.loop.run_until_complete(inner.rows())}
    blocked = store.lanes(name, {head.entity_id for head in heads})
    controls = store.controls(name, {head.entity_id for head in heads})
    given_up = {letter.entity_id for target, letter in store.dead_letters() if target == name}
    revisions = store.revisions(name)
    by_value = any(contracts.revision(revision.revision).delta for revision in revisions)
    hears_of_leaving = all(contracts.revision(revision.revision).deselect for revision in revisions)
    for entity_id, lane in blocked.items():
        if lane[0].state != "dead":
            scenario.findings.append(f"{name}: {entity_id} waits for ever: the first of its lane is {lane[0].state}")
    is_resynced = scenario.resyncing.is_done(store, name)
    for newest in heads:
        if newest.entity_id in blocked or newest.entity_id in given_up:
            continue
        head = newest if newest.concerns(name) else _newest_for(store, name, newest)
        if is_resynced:
            _check_resynced(scenario, name, contracts.revision(contracts.newest), head, by_value=by_value)
        acceptable = _acceptable(contracts, revisions, head, controls.get(head.entity_id))
        if None in acceptable and head.kind == "live" and not hears_of_leaving:
            continue
        held = wanted = witness.record(head.entity_id)
        if not _is_among(held, acceptable, by_value=by_value):
            wanted = acceptable[0] if acceptable else None
            scenario.findings.append(f"{name}: {head.entity_id} at version {head.version} is not what the target holds")
        if not _holds(inner, rows, head.entity_id, wanted):
            scenario.findings.append(
                f"{name}: {head.entity_id} lives at the target, or was lost or changed there, against the golden record"
            )


def _newest_for(store: SqliteStore, name: str, head: LogRow) -> LogRow:
    return [row for row in store.history(head.entity_id) if row.concerns(name)][-1]


def _check_resynced(scenario: Ran, name: str, newest: CompiledContract, head: LogRow, *, by_value: bool) -> None:
    """After a resync a target holds what its newest contract shows, and of what that does not select only what may stay."""
    shown = seal(newest, head, None, None)
    held = scenario.witnesses[name].record(head.entity_id)
    if isinstance(shown, SealedEvent):
        if not _is_among(held, [after(None, msgspec.json.decode(shown.body))], by_value=by_value):
            scenario.findings.append(
                f"{name}: {head.entity_id} is not what its newest contract shows, although it was resynced"
            )
    elif held is not None and (newest.deselect or head.kind != "live"):
        scenario.findings.append(f"{name}: {head.entity_id} is held, although its newest contract does not select it")


def _is_among(held: Held | None, acceptable: Sequence[Held | None], *, by_value: bool) -> bool:
    """Say whether a target holds one of these records.

    Args:
        held: what it holds.
        acceptable: what it may hold.
        by_value: it has received deltas, so that it knows of each value what was known when that became another one.
    """
    if not by_value:
        return held in acceptable
    return _values(held) in [_values(one) for one in acceptable]


def _values(held: Held | None) -> Held | None:
    if held is None:
        return None
    return Held({name: entry["value"] for name, entry in held.attributes.items()}, held.edges, held.external_ids)


def _acceptable(
    contracts: ContractRevisions, revisions: Sequence[Revision], head: LogRow, held: Control | None
) -> list[Held | None]:
    """Return what a target may rightly hold of a golden record; None for not holding it.

    The revision of the head's position seals it, or a later one where it could not be sent at once; never an older one.
    """
    oldest = contracts.at(head.seq).revision
    if held is not None and held.version == head.version:
        return [_shown(contracts, max(held.revision, oldest), head)]
    # It was not sent: because it shows nothing new, or because a revision does not show it.
    later = [_shown(contracts, revision.revision, head) for revision in revisions if revision.revision >= oldest]
    unchanged = _shown(contracts, held.revision, head) if held is not None and held.revision >= oldest else None
    return [None] * (None in later) + [unchanged] * (unchanged is not None)


def _shown(contracts: ContractRevisions, revision: int, head: LogRow) -> Held | None:
    shown = seal(contracts.revision(revision), head, None, None)
    return after(None, msgspec.json.decode(shown.body)) if isinstance(shown, SealedEvent) else None


def _holds(inner: Target, rows: Rows, entity_id: str, wanted: Held | None) -> bool:
    """Say whether the real target holds a record as it should, or does not hold it as it should not."""
    if isinstance(inner, MemoryTarget):
        last = inner.events.get(entity_id)
        return (last is not None and not last.deleted) == (wanted is not None)
    row = rows.get(entity_id)
    if row is None or wanted is None:
        return row is None and wanted is None
    return all(row[name] == wanted.attributes.get(name, {}).get("value") for name in SQL_ATTRIBUTES)
