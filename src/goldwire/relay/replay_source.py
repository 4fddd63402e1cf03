"""Where a replay's events come from: entity by entity, made again, proven, and reduced to what may leave and was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, field

from goldwire.changelog.ports.store import RelayStore
from goldwire.changelog.replays import Past, ReplayFailure, Selection
from goldwire.changelog.rows import Control, LogRow, OpenDelivery
from goldwire.contract.compiled import CompiledContract
from goldwire.contract.shape import Shape
from goldwire.expression.program import compile_where
from goldwire.expression.runtime import EvaluationError
from goldwire.relay.connection import StoreCall
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.rebuild import Sent, rebuild, rebuild_newest
from goldwire.relay.replay_guard import still_allowed

DEAD_AND_UNCLEAR = (
    "this version may have arrived, and no older event must go after it; redrive or discard the dead letter at position {seq}, "
    "then replay the entity"
)


class Repeat(Struct, gc=False):
    """What is to be sent again of one entity, and how far that is."""

    entity_id: str
    sent: list[Sent]
    remote_id: str | None
    withheld: int
    """How many older ones may not leave any more."""
    newest_only: bool
    """Of all that was sent only the newest could be proven."""
    index: int = 0
    """How many are done."""
    delivery: OpenDelivery | None = None
    """What is known of failed attempts at the one in hand."""
    due: float = 0.0
    """Monotonic seconds: not before."""


class Gathered(Struct):
    """What some entities come to."""

    repeats: list[Repeat] = field(default_factory=list)
    """Of entities of which something is to be sent."""
    waiting: list[str] = field(default_factory=list)
    """Entities with a delivery that may have arrived, and that is still being retried."""
    blocked: list[ReplayFailure] = field(default_factory=list)
    """Those whose delivery that may have arrived is dead."""
    withheld: int = 0
    """Events that may not leave any more, of entities of which nothing is left to send."""
    unconfirmed: int = 0
    """Entities of which nothing could be proven."""
    undecided: int = 0
    """Versions for which the expression had no result."""


class Page(NamedTuple):
    """Some entities that a replay comes to."""

    entity_ids: Sequence[str]
    upto: int
    """The position up to which all were looked at."""


class Choice:
    """A selection's expression, asked about one version of a record after another."""

    def __init__(self, where: str, attributes: Collection[str]) -> None:
        shape = Shape("", (), (), (), tuple(attributes), {})
        self._where = compile_where(where, attributes)
        self._true_for = self._where.bind(shape.fields)
        self._decode = shape.decode

    @classmethod
    def of(cls, selection: Selection) -> Choice | None:
        """Return that of a selection; None without an expression."""
        return None if selection.where is None else cls(selection.where, selection.where_attributes)

    def any_of(self, rows: Iterable[LogRow]) -> bool:
        """Say whether it is true for one of these versions."""
        return any(self._is_true_for(row) for row in rows)

    def _is_true_for(self, row: LogRow) -> bool:
        try:
            return self._true_for(row, self._decode(row.state))
        except EvaluationError:  # it is counted
            return False

    @property
    def undecided(self) -> int:
        """For how many versions it had no result so far."""
        return self._where.error_count


class ReplaySource:
    """The past of one target.

    Args:
        target: its name.
        store: the log and what became of it.
        call: how the store is reached.
        contracts: the target's; not the relay's object: what is sealed here again must not count as work of the relay.
    """

    def __init__(self, target: str, store: RelayStore, call: StoreCall, contracts: ContractRevisions) -> None:
        self._target = target
        self._store = store
        self._call = call
        self._contracts = contracts

    async def refresh(self) -> int:
        """Read the contracts again; return the newest revision."""
        if self._contracts.misses(await self._call(self._store.newest_revision, self._target)):
            self._contracts.refresh(await self._call(self._store.revisions, self._target))
        return self._contracts.newest

    async def page(self, selection: Selection, position: int, limit: int) -> Page:
        """Return the next entities after a position, at most `limit` unless they were named."""
        if selection.entities:
            return Page(selection.entities, selection.upto)
        found, looked_at = await self._call(self._store.first_rows, position, selection.upto, selection.after, limit)
        return Page([entity_id for _, entity_id in found], looked_at)

    async def gather(
        self, selection: Selection, choose: Choice | None, entity_ids: Collection[str], *, begun: bool = False
    ) -> Gathered:
        """Make ready what is to be sent of these entities.

        Args:
            selection: what was asked for.
            choose: that of it.
            entity_ids: the entities.
            begun: they were chosen and begun before: their lanes have rested since.
        """
        found = Gathered()
        undecided = choose.undecided if choose is not None else 0
        free = entity_ids if begun else await self._free(entity_ids, found)
        pasts: dict[str, Past] = await self._call(self._store.pasts, self._target, free) if free else {}
        present = self._contracts.revision(self._contracts.newest)
        for entity_id in free:
            past = pasts.get(entity_id)
            if past is None or past.control is None:
                continue
            sent = rebuild(past, self._contracts, selection.after)
            newest_only = sent is None
            if sent is None:
                sent = await self._newest(past.control, selection, found)
            elif selection.bounded:
                sent = _within(sent, selection.upto)
            if choose is not None and not begun and not choose.any_of(one.row for one in sent):
                continue
            may_leave = _newest_that_may_leave(sent, past.erased, present)
            withheld = len(sent) - len(may_leave)
            if may_leave:
                found.repeats.append(Repeat(entity_id, may_leave, past.control.remote_id, withheld, newest_only))
            else:
                found.withheld += withheld
        if choose is not None:
            found.undecided = choose.undecided - undecided
        return found

    async def _free(self, entity_ids: Collection[str], found: Gathered) -> list[str]:
        lanes = await self._call(self._store.lanes, self._target, entity_ids)
        free = []
        for entity_id in entity_ids:
            lane = lanes.get(entity_id, [])
            unclear = next((delivery for delivery in lane if delivery.ambiguous), None)
            if unclear is None:
                free.append(entity_id)
            elif lane[0].state == "dead":
                # The dead one holds up the lane, also where a later one may have arrived.
                found.blocked.append(ReplayFailure(entity_id, unclear.version, DEAD_AND_UNCLEAR.format(seq=lane[0].seq)))
            else:
                found.waiting.append(entity_id)
        return free

    async def _newest(self, control: Control, selection: Selection, found: Gathered) -> list[Sent]:
        """Return the newest event alone, where all of the past cannot be proven."""
        if control.seq <= selection.after:
            return []
        wanted = [(control.entity_id, control.version)]
        if control.base_version is not None:
            wanted.append((control.entity_id, control.base_version))
        rows: dict[Any, LogRow] = await self._call(self._store.versions, wanted)
        base = None if control.base_version is None else rows.get((control.entity_id, control.base_version))
        newest = rebuild_newest(control, rows[control.entity_id, control.version], base, self._contracts)
        found.unconfirmed += newest is None
        return [] if newest is None else [newest]


def _within(sent: list[Sent], upto: int) -> list[Sent]:
    """Return the events up to a position, and after them the newest one, so that the last word is the newest."""
    inside = [one for one in sent if one.row.seq <= upto]
    return [*inside, sent[-1]] if inside and inside[-1] is not sent[-1] else inside


def _newest_that_may_leave(sent: list[Sent], erased: int, present: CompiledContract) -> list[Sent]:
    """Return what follows the last event that may not leave: older than an erasure, or more than the contract shows now."""
    for index in range(len(sent) - 1, -1, -1):
        if sent[index].row.version < erased or not still_allowed(sent[index], present):
            return sent[index + 1 :]
    return sent
