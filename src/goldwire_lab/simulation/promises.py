"""The promises, checked after a seed has run: nothing lost, targets equal to the golden state, ledgers balanced, log whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from goldwire.changelog.rows import Control, LogRow, Mode, Revision, Start
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import StoreCorruptError
from goldwire.relay.ledger import ledger
from goldwire.targets.base import Target
from goldwire.targets.memory.target import MemoryTarget
from goldwire.targets.sql import SqlTarget
from goldwire_lab.simulation.answers import Answers
from goldwire_lab.simulation.course import Course
from goldwire_lab.simulation.losses import Losses
from goldwire_lab.simulation.numbering_target import NumberingTarget
from goldwire_lab.simulation.plain_events import changed_event, decide
from goldwire_lab.simulation.plain_masks import plain
from goldwire_lab.simulation.replays import Replaying
from goldwire_lab.simulation.resyncs import Resyncing
from goldwire_lab.simulation.terms import Terms
from goldwire_lab.simulation.witness import Held, Witness, after
from goldwire_lab.simulation.workload import Batch
from goldwire_lab.virtual_time import VirtualLoop
from goldwire_lab.workspace import MemoryWorkspace

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
    losses: Losses
    """What the store has lost."""
    answers: dict[str, Answers]
    modes: dict[str, Mode | None]
    """The mode of each target; None: it changed."""
    starts: dict[str, Start]
    discarded: set[tuple[str, int]]
    """Of each target the positions that a person discarded, and perhaps redrove when something newer had gone."""

    loop: VirtualLoop
    replaying: Replaying
    resyncing: Resyncing


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
            scenario.answers[cursor.target].check(store)
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
        rising = all(earlier < later for earlier, later in pairwise(versions))
        # To go above what a target holds, a store that has lost something leaves versions out.
        if not rising or (versions != list(range(1, head.version + 1)) and not scenario.losses.happened):
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
    cursor, inner = store.cursor(name), scenario.inner[name]
    assert cursor is not None, "it was among the cursors"
    revisions = Revisions(store.revisions(name))
    rows: Rows = {}
    if isinstance(inner, SqlTarget):
        rows = {row[inner.settings.entity_column]: row for row in scenario.loop.run_until_complete(inner.rows())}
    blocked = store.lanes(name, {head.entity_id for head in heads})
    controls = store.controls(name, {head.entity_id for head in heads})
    given_up = {letter.entity_id for target, letter in store.dead_letters() if target == name}
    for entity_id, lane in blocked.items():
        if lane[0].state != "dead":
            scenario.findings.append(f"{name}: {entity_id} waits for ever: the first of its lane is {lane[0].state}")
    is_resynced = scenario.resyncing.is_done(store, name)
    ended = [head for head in heads if head.entity_id not in blocked and head.entity_id not in given_up]
    for newest in ended:
        control = controls.get(newest.entity_id)
        head = newest if newest.concerns(name) else _newest_for(store, name, newest)
        if scenario.losses.happened and _is_unknown(revisions, head, control):
            continue
        if control is None and head.seq <= cursor.start:
            if scenario.witnesses[name].record(head.entity_id) is not None:
                scenario.findings.append(f"{name}: {head.entity_id} is held, although it changed before the target began")
            continue
        if is_resynced:
            _check_resynced(scenario, name, revisions, head)
        _check_record(scenario, name, revisions, head, control, rows)
    if isinstance(inner, NumberingTarget) and inner.wrong:
        scenario.findings.append(f"{name}: {inner.wrong[0]} was sent with a remote id that the target never gave it")
    _check_each_version(scenario, store, name, revisions, {*blocked, *given_up}, cursor.start)


def _is_unknown(revisions: Revisions, head: LogRow, control: Control | None) -> bool:
    """Say whether a target may hold what a store that lost something cannot know of, or cannot mend by a resync."""
    return control is None or control.presence != "in" or shown_of(revisions.newest, head) == "unknown"


def _check_record(
    scenario: Ran, name: str, revisions: Revisions, head: LogRow, control: Control | None, rows: Rows
) -> None:  # fmt: skip
    """The target holds of one entity what its contract shows of the newest version."""
    acceptable = _acceptable(revisions, head, control)
    if "unknown" in acceptable:
        return
    shown = [one for one in acceptable if one != "unknown"]
    held = wanted = scenario.witnesses[name].record(head.entity_id)
    if not _is_among(held, shown, by_value=revisions.by_value):
        wanted = shown[0] if shown else None
        scenario.findings.append(f"{name}: {head.entity_id} at version {head.version} is not what the target holds")
    if not _holds(scenario.inner[name], rows, head.entity_id, wanted):
        scenario.findings.append(
            f"{name}: {head.entity_id} lives at the target, or was lost or changed there, against the golden record"
        )


def _newest_for(store: SqliteStore, name: str, head: LogRow) -> LogRow:
    return [row for row in store.history(head.entity_id) if row.concerns(name)][-1]


def _check_resynced(scenario: Ran, name: str, revisions: Revisions, head: LogRow) -> None:
    """After a resync a target holds what its newest contract shows, and of what that does not select only what may stay."""
    newest = revisions.newest
    held, shown = scenario.witnesses[name].record(head.entity_id), shown_of(newest, head)
    if isinstance(shown, Held):
        if not _is_among(held, [shown], by_value=revisions.by_value):
            scenario.findings.append(
                f"{name}: {head.entity_id} is not what its newest contract shows, although it was resynced"
            )
    elif held is not None and shown is None:
        scenario.findings.append(f"{name}: {head.entity_id} is held, although its newest contract does not select it")


def _check_each_version(
    scenario: Ran, store: SqliteStore, name: str, revisions: Revisions, excepted: set[str], start: int
) -> None:
    """In `mode: every` each version arrives that every contract shows whole, since the target began."""
    if scenario.modes[name] != "every" or scenario.losses.happened or scenario.starts[name] == "snapshot":
        return
    witness = scenario.witnesses[name]
    for row in store.read(start, store.position(), 1_000_000):
        if row.entity_id in excepted or (name, row.seq) in scenario.discarded or not row.concerns(name):
            continue
        sealing = [terms for _, terms in revisions.from_position(row.seq)]
        whole = all(terms.spec.payload == "full" and isinstance(shown_of(terms, row), Held) for terms in sealing)
        if whole and not witness.has_seen(row.entity_id, row.version):
            scenario.findings.append(f"{name}: version {row.version} of {row.entity_id} never came, in mode: every")


class Revisions:
    """The contracts of one target, as the store keeps them, read without the product.

    Args:
        kept: in their order.
    """

    def __init__(self, kept: Sequence[Revision]) -> None:
        self._kept = kept
        self._terms = {one.revision: Terms.of(one) for one in kept}
        self.newest = self._terms[kept[-1].revision]
        self.by_value = any(one.spec.payload == "delta" for one in self._terms.values())
        """The target may have received deltas, so that it knows of each value what was known when that became another one."""

    def of(self, number: int) -> Terms:
        """Return the contract of a revision."""
        return self._terms[number]

    def from_position(self, seq: int) -> list[tuple[int, Terms]]:
        """Return the revision that holds at a position, and those after it, which seal what could not be sent at once."""
        oldest = max((one.revision for one in self._kept if one.effective_after < seq), default=1)
        return [(number, terms) for number, terms in self._terms.items() if number >= oldest]


def shown_of(terms: Terms, head: LogRow) -> Held | Literal["unknown"] | None:
    """Return what a subscriber holds once it was sent all of a record; None: nothing; `unknown`: it hears nothing of it."""
    if head.kind != "live":
        return None if "EntityDeleted" in terms.spec.kinds else "unknown"
    decision = decide(terms, head)
    if decision == "undecided" or "EntityChanged" not in terms.spec.kinds:
        return "unknown"
    if decision == "hidden":
        return None if terms.spec.deselect else "unknown"
    return after(None, changed_event(terms, head, None, None).members)


def _is_among(held: Held | None, acceptable: Sequence[Held | None], *, by_value: bool) -> bool:
    """Say whether a target holds one of these records.

    Args:
        held: what it holds.
        acceptable: what it may hold.
        by_value: it has received deltas.
    """
    if not by_value:
        return held in acceptable
    return _values(held) in [_values(one) for one in acceptable]


def _values(held: Held | None) -> Held | None:
    if held is None:
        return None
    return Held({name: entry["value"] for name, entry in held.attributes.items()}, held.edges, held.external_ids)


def _acceptable(revisions: Revisions, head: LogRow, held: Control | None) -> list[Held | Literal["unknown"] | None]:
    """Return what a target may rightly hold of a golden record.

    The revision of the head's position seals it, or a later one where it could not be sent at once; never an older one.
    """
    sealing = revisions.from_position(head.seq)
    oldest = sealing[0][0]
    if held is not None and held.version == head.version:
        return [shown_of(revisions.of(max(held.revision, oldest)), head)]
    # It was not sent: because it shows nothing new, or because a revision does not show it.
    later = [shown for _, terms in sealing if not isinstance(shown := shown_of(terms, head), Held)]
    unchanged = [shown_of(revisions.of(held.revision), head)] if held is not None and held.revision >= oldest else []
    return [*later, *unchanged]


def _holds(inner: Target, rows: Rows, entity_id: str, wanted: Held | None) -> bool:
    """Say whether the real target holds a record as it should, or does not hold it as it should not."""
    if isinstance(inner, MemoryTarget):
        last = inner.events.get(entity_id)
        return (last is not None and not last.deleted) == (wanted is not None)
    assert isinstance(inner, SqlTarget), "there are two kinds"
    row, columns = rows.get(entity_id), inner.settings.columns
    assert columns is not None, "the simulation draws one table"
    if row is None or wanted is None:
        return row is None and wanted is None
    return all(
        row[column] == as_text(wanted.attributes.get(attribute, {}).get("value")) for column, attribute in columns.items()
    )


def as_text(value: Any) -> str | None:
    """Return a value as a column of text holds it."""
    return value if value is None or isinstance(value, str) else plain(value)
