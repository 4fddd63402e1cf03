"""Masters a batch: facts and decisions become the new versions of the golden records that they change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast

from msgspec import Struct, field

from goldwire.capture.fact import Decision, ExternalId, Fact, RejectedRow
from goldwire.mastering.arrival import Arrival
from goldwire.mastering.assembler import Assembler
from goldwire.mastering.commit import commit
from goldwire.mastering.decisions import Decisions, RefusedDecisionError, digest
from goldwire.mastering.identity import Identity, SharedKey
from goldwire.mastering.keys import makers_of
from goldwire.mastering.model import Model
from goldwire.mastering.model_check import check_model
from goldwire.mastering.record import Record
from goldwire.mastering.unit_of_work import UnitOfWork
from goldwire.mastering.validation import NO_END, Admission
from goldwire.mastering.workspace import Workspace

SHOWN_KEYS = 5
"""How many shared match keys a result names."""


class IngestResult(Struct):
    """What a batch did."""

    facts: int = 0
    """Facts taken."""
    decisions: int = 0
    """Decisions carried out."""
    versions: int = 0
    """New versions committed, tombstones included."""
    unchanged: int = 0
    """Facts among those taken whose entity got no new version."""
    repeated: int = 0
    """Decisions that had been carried out before and were left alone."""
    merges: int = 0
    """Entities that were merged into another one."""
    unmerges: int = 0
    """Decisions that split an entity."""
    joined: int = 0
    """New records that joined the entity of another one."""
    shared: list[SharedKey] = field(default_factory=list)
    """The match keys that most records share, among those that a record gained; most first."""
    moves: int = 0
    """Records that an upstream hub moved to another entity."""
    rejected: list[RejectedRow] = field(default_factory=list)
    """Facts and decisions that were not taken."""


def most_shared(keys: Iterable[SharedKey]) -> list[SharedKey]:
    """Return the keys that most records share, most first; of two counts of one key the greater."""
    found: dict[tuple[str, str, str], SharedKey] = {}
    for each in keys:
        name = (each.entity_type, each.rule, each.key)
        if name not in found or found[name].records < each.records:
            found[name] = each
    return sorted(found.values(), key=lambda each: (-each.records, each.rule, each.key))[:SHOWN_KEYS]


class Mastering:
    """Masters facts under one model. It holds no state between batches; the store does.

    Args:
        model: entity types, their match rules and survivorship.

    Raises:
        ConfigError: the model contradicts itself; the text names the location.
    """

    def __init__(self, model: Model) -> None:
        check_model(model)
        self.model = model
        self._makers = makers_of(model)
        self._assemblers = {name: Assembler(entity_type) for name, entity_type in model.types.items()}

    def apply(
        self, entries: Sequence[Fact | Decision], workspace: Workspace, correlation_id: str, latest: str = NO_END
    ) -> IngestResult:
        """Master a batch, within one transaction of the store.

        Several changes of one entity in a batch commit one version: the net effect. The order of facts does not matter; a
        decision is about what stands when its turn comes.

        Args:
            entries: facts and decisions, in order.
            workspace: the transaction; what becomes of it is the caller's.
            correlation_id: of the request or run; travels with each version.
            latest: recorded time; a fact or decision from after it is not taken, since nothing true could follow it.
        """
        result = IngestResult()
        unit = UnitOfWork(workspace)
        for is_fact, run in groupby(entries, key=lambda entry: type(entry) is Fact):
            if is_fact:
                self._take(unit, cast("Iterator[Fact]", run), result, latest)
            else:
                self._decide(unit, cast("list[Decision]", list(run)), result, latest)
        changed = commit(unit, self._assemblers, correlation_id)
        result.versions = len(changed)
        result.merges, result.unmerges, result.moves = unit.merges, unit.unmerges, unit.moves
        result.unchanged = sum(record.facts for record in unit.records.values() if record.entity_id not in changed)
        return result

    def _take(self, unit: UnitOfWork, run: Iterator[Fact], result: IngestResult, latest: str) -> None:
        """Fold a run of facts into their records and find the entities of these."""
        admission = Admission(self.model, unit, result.rejected, latest)
        by_ref: dict[ExternalId, list[Fact]] = {}
        for fact in run:
            if admission.known(fact):
                by_ref.setdefault(ExternalId(fact.system, fact.external_id), []).append(fact)
        unit.load_records(by_ref)
        admission.load_hub_ids(fact for facts in by_ref.values() for fact in facts)
        arrivals: list[Arrival] = []
        for ref in sorted(by_ref):
            fitting = [fact for fact in by_ref[ref] if admission.fits(fact, ref)]
            if fitting:
                arrivals.append(self._fold(unit, ref, fitting))
                result.facts += len(fitting)
        # The newest word of the hub may be an earlier one than those of this batch, and name another id than they do.
        unit.load_entities(arrival.hub_id for arrival in arrivals if arrival.hub_id)
        replaced = self._rekey(arrivals)
        identity = Identity(unit, self._makers)
        identity.resolve(arrivals)
        result.joined += identity.joined
        result.shared = most_shared([*result.shared, *identity.shared(SHOWN_KEYS)])
        for arrival in arrivals:
            if arrival.record.changed:
                unit.touch(unit.entities[arrival.record.entity_id])
        unit.save()
        unit.workspace.replace_keys(replaced)

    def _fold(self, unit: UnitOfWork, ref: ExternalId, facts: Sequence[Fact]) -> Arrival:
        """Take the facts about one record in."""
        record = unit.records.get(ref)
        if record is None:
            record = unit.records[ref] = Record(ref, facts[0].entity_type)
        key_attributes = self._makers[record.entity_type].attributes
        named = False
        for fact in facts:
            record.fold(fact, key_attributes)
            named = named or fact.entity_id is not None
        return Arrival(record, (), record.hub[2] if named else "")

    def _rekey(self, arrivals: Sequence[Arrival]) -> list[tuple[ExternalId, list[bytes]]]:
        """Note for each record which match keys it gained; return the new keys of those whose keys changed."""
        replaced: list[tuple[ExternalId, list[bytes]]] = []
        for arrival in arrivals:
            record = arrival.record
            if record.claims_before is None:
                continue
            maker = self._makers[record.entity_type]
            keys = maker.keys(record.claims, record.ref.system)
            before = maker.keys(record.claims_before, record.ref.system) if record.claims_before else [None] * len(keys)
            record.claims_before = None
            if keys != before:
                arrival.gained = [key if key != old else None for key, old in zip(keys, before, strict=True)]
                replaced.append((record.ref, [key for key in keys if key is not None]))
        return replaced

    def _decide(self, unit: UnitOfWork, decided: Sequence[Decision], result: IngestResult, latest: str) -> None:
        admission = Admission(self.model, unit, result.rejected, latest)
        decided = [decision for decision in decided if admission.in_time(decision, decision.decided_at, "decidedAt")]
        decisions = Decisions(unit, self.model)
        decisions.load(decided)
        digests = [digest(decision) for decision in decided]
        done = unit.workspace.carried_out(digests)
        for decision, key in zip(decided, digests, strict=True):
            # A merge that comes again after its unmerge would undo it, so one decision is carried out once.
            if key in done:
                result.repeated += 1
                continue
            try:
                decisions.decide(decision)
                done.add(key)
                result.decisions += 1
            except RefusedDecisionError as refused:
                result.rejected.append(RejectedRow(decision.origin, refused.field, refused.reason))
        unit.workspace.save_carried_out(done.intersection(digests))
        unit.save()
