"""One record as one system has described it so far: for each attribute the claim that no other claim beats.

Facts may come in any order and more than once: the greatest claim by (observed at, confidence, rank of the whole fact) stays,
so that a tie goes to one fact and mixes none. What was observed at or before the record's deletion is gone, also when it comes
late. A fact that came without a time is observed after all that is known, so that the later arrival wins though the clock was
set back.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from goldwire.canonical import text
from goldwire.capture.fact import Edge, ExternalId, Fact
from goldwire.clock import just_after, redated
from goldwire.mastering.workspace import StoredRecord
from goldwire.redaction import shows

Claim = tuple[str, float, bytes]
"""When it was observed, with which confidence, and the value's canonical bytes; the greater of the first two wins."""

EdgeClaim = tuple[str, bool, str]
"""When it was observed (see `_stamp`), whether it was removed, and its relation; the greater claim wins."""

HubClaim = tuple[str, float, str]
"""When an upstream hub gave a golden record's id, with which confidence, and the id; the greater claim wins."""

NULL = b"null"
_EMPTY = (NULL, b'""')
_SOLE = "sole "
_MOMENT = len("2026-11-23T10:00:00.000000Z")
NO_HUB: HubClaim = ("", 0.0, "")


@shows("founded", "home")
class _RecordBody(Struct, array_like=True):
    """What the store keeps of a record. Most claims share time and confidence, so these stand once."""

    founded: str
    seen_at: str
    deleted_at: str
    home: str
    confidence: float
    values: dict[str, Raw]
    others: dict[str, tuple[str, float]]
    """Time and confidence of claims that differ from (`seen_at`, `confidence`)."""
    edges: dict[str, EdgeClaim] = {}
    floors: dict[str, str] = {}


@shows("founded", "home")
class _FullBody(_RecordBody, array_like=True):
    """What few records have besides; an older Goldwire passes over it."""

    hub: HubClaim = NO_HUB
    ranks: dict[str, str] = {}


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(_FullBody).decode


class Record:
    """A record while a batch has it open. Times are recorded text, empty where there is none."""

    __slots__ = (
        "changed", "claims", "claims_before", "deleted_at", "edges", "entity_id", "entity_type", "facts", "floors",
        "founded", "home", "hub", "ranks", "ref", "seen_at",
    )  # fmt: skip

    def __init__(self, ref: ExternalId, entity_type: str) -> None:
        self.ref = ref
        self.entity_type = entity_type
        self.entity_id = ""
        """The entity it belongs to; empty until it has one."""
        self.home = ""
        """The first entity it belonged to, where an unmerge brings it back to."""
        self.founded = ""
        """The earliest time that a fact about it was observed."""
        self.seen_at = ""
        self.deleted_at = ""
        self.claims: dict[str, Claim] = {}
        self.edges: dict[str, EdgeClaim] = {}
        """Canonical JSON text of the edge, after `_SOLE` where it replaces others, to the claim about it."""
        self.floors: dict[str, str] = {}
        """Relation to the time before which its edges no longer count."""
        self.hub = NO_HUB
        """The newest word of an upstream hub about which golden record it belongs to."""
        self.ranks: dict[str, str] = {}
        """Attribute to the rank of the fact that its claim comes from, where the claims themselves no longer show it."""
        self.changed = False
        """Whether it must be saved."""
        self.claims_before: dict[str, Claim] | None = None
        """The claims as stored, once an attribute that matters to a match rule has changed."""
        self.facts = 0
        """How many facts of this batch were about it."""

    @property
    def alive(self) -> bool:
        """Its system holds it: something was observed after the last deletion."""
        return self.seen_at > self.deleted_at

    def fold(self, fact: Fact, key_attributes: frozenset[str]) -> None:
        """Take one fact in.

        Args:
            fact: about this record.
            key_attributes: attributes that matter to match rules.
        """
        self.facts += 1
        at = fact.observed_at
        if fact.dated_here and at <= (newest := max(self.seen_at, self.deleted_at)):
            at = just_after(newest)
        if at < self.founded or not self.founded:
            self.founded = at
            self.changed = True
        if fact.entity_id is not None and (hub := (at, fact.confidence, fact.entity_id)) > self.hub:
            self.hub = hub
            self.changed = True
        if fact.deleted:
            if at > self.deleted_at and self.claims_before is None:
                self.claims_before = dict(self.claims)
            self.delete_until(at)
            return
        if at <= self.deleted_at:
            return
        is_newest = at > self.seen_at
        if is_newest:
            self.seen_at = at
            self.changed = True
        self._claim(fact, at, key_attributes, is_newest=is_newest)
        if fact.edges:
            stamp = _stamp(fact, at)
            for edge in fact.edges:
                self._relate(edge, at, stamp)

    def _claim(self, fact: Fact, at: str, key_attributes: frozenset[str], *, is_newest: bool) -> None:
        confidence, claims, attributes = fact.confidence, self.claims, fact.attributes
        if not claims:
            if attributes:
                if self.claims_before is None and not key_attributes.isdisjoint(attributes):
                    self.claims_before = claims
                self.claims = {name: (at, confidence, value) for name, value in attributes.items()}
                self.changed = True
            return
        won = list(attributes) if is_newest else self._won(fact, at)
        if not won:
            return
        if self.claims_before is None and any(
            name in key_attributes and (name not in claims or claims[name][2] != attributes[name]) for name in won
        ):
            self.claims_before = dict(claims)
        if len(won) < len(attributes) or not claims.keys() <= attributes.keys():
            self._keep_ranks(won, fact, at)
        elif self.ranks:
            self.ranks = {}
        for name in won:
            claims[name] = (at, confidence, attributes[name])
        self.changed = True

    def _won(self, fact: Fact, at: str) -> list[str]:
        """Return the attributes of which a fact says more than what is known: later, more confident, or by a higher rank."""
        confidence, claims, attributes = fact.confidence, self.claims, fact.attributes
        if (
            at == self.seen_at
            and not self.ranks
            and {name: (at, confidence, attributes[name]) for name in attributes} == claims
        ):
            return []  # the usual tie: a fact that comes again
        won, ours = [], ""
        for name in attributes:
            held = claims.get(name)
            if held is None or at > held[0]:
                won.append(name)
            elif at == held[0]:
                ours = ours or rank(attributes)
                if confidence > held[1] or (confidence == held[1] and ours > self._rank_of(held, name)):
                    won.append(name)
        return won

    def _rank_of(self, held: Claim, name: str) -> str:
        """Return the rank of the fact that a claim comes from: where none is kept, that fact is still here as a whole."""
        kept = self.ranks.get(name)
        return kept if kept is not None else rank({other: self.claims[other][2] for other in self._whole(held)})

    def _whole(self, held: Claim) -> list[str]:
        """Return the attributes whose claims make up the whole fact that one of them comes from."""
        return [name for name, claim in self.claims.items() if claim[:2] == held[:2] and name not in self.ranks]

    def _keep_ranks(self, won: Sequence[str], fact: Fact, at: str) -> None:
        """Keep the ranks of facts that are about to be here in part only."""
        taken, claims = set(won), self.claims
        kept = {}
        for held in {claims[name][:2]: claims[name] for name in won if name in claims and name not in self.ranks}.values():
            whole = self._whole(held)
            if not taken.issuperset(whole):
                kept.update(dict.fromkeys(whole, rank({name: claims[name][2] for name in whole})))
        self.ranks.update(kept)
        for name in won:
            self.ranks.pop(name, None)
        if len(won) < len(fact.attributes) or any(
            claim[0] == at and claim[1] == fact.confidence and name not in taken and name not in self.ranks
            for name, claim in claims.items()
        ):
            self.ranks.update(dict.fromkeys(won, rank(fact.attributes)))

    def delete_until(self, at: str) -> None:
        """Drop everything observed at or before a time."""
        if at <= self.deleted_at:
            return
        self.deleted_at = at
        self.claims = {name: claim for name, claim in self.claims.items() if claim[0] > at}
        if self.ranks:
            self.ranks = {name: kept for name, kept in self.ranks.items() if name in self.claims}
        self.edges = {key: claim for key, claim in self.edges.items() if claim[0][:_MOMENT] > at}
        self.floors = {rel: floor for rel, floor in self.floors.items() if floor[:_MOMENT] > at}
        self.changed = True

    def redate(self, latest: str) -> bool:
        """Date back what is dated after a time: just after the newest of the other times, in the same order.

        So whatever has a true time counts for more, and what is known stays until something else is said. When it was founded
        does not count: a fact with a true time that the false one beat may have left no other trace.

        Args:
            latest: recorded time; what is later cannot be true.

        Returns:
            Whether anything was.
        """
        times = {self.seen_at, self.deleted_at, self.hub[0], *(floor[:_MOMENT] for floor in self.floors.values())}
        times.update(claim[0] for claim in self.claims.values())
        times.update(claim[0][:_MOMENT] for claim in self.edges.values())
        new = redated(times, latest)
        if not new:
            return False
        if self.founded > latest:
            self.founded = min(new.values())
        self.seen_at = new.get(self.seen_at, self.seen_at)
        self.deleted_at = new.get(self.deleted_at, self.deleted_at)
        self.hub = (new.get(self.hub[0], self.hub[0]), *self.hub[1:])
        self.floors = {rel: _moved(floor, new) for rel, floor in self.floors.items()}
        self.claims = {name: (new.get(claim[0], claim[0]), *claim[1:]) for name, claim in self.claims.items()}
        self.edges = {key: (_moved(claim[0], new), *claim[1:]) for key, claim in self.edges.items()}
        self.changed = True
        return True

    def live_edges(self) -> list[str]:
        """Return the edges that hold, as canonical JSON text."""
        newest: dict[str, EdgeClaim] = {}
        for key, claim in self.edges.items():
            text = key.removeprefix(_SOLE)
            newest[text] = max(newest.get(text, claim), claim)
        return [text for text, (_, removed, _) in newest.items() if not removed]

    def _relate(self, edge: Edge, at: str, stamp: str) -> None:
        rel = edge.rel
        if edge.sole and stamp > self.floors.get(rel, ""):
            self.floors[rel] = stamp
            # Of two whole rows of one time one has its edges; what was said without replacing others stays beside it.
            self.edges = {
                key: claim for key, claim in self.edges.items() if claim[2] != rel or claim[0] >= stamp or claim[0] == at
            }
            self.changed = True
        floor = self.floors.get(rel, "")
        if (edge.to_external is None and edge.to_entity is None) or (stamp < floor if edge.sole else at < floor[:_MOMENT]):
            return
        # Beside what was said without replacing others: that holds where another whole row of the same time wins.
        key = (_SOLE if edge.sole else "") + edge_text(rel, edge.to_external, edge.to_entity)
        claim = (stamp if edge.sole else at, edge.removed, rel)
        held = self.edges.get(key)
        if held is None or claim > held:
            self.edges[key] = claim
            self.changed = True

    def stored(self) -> StoredRecord:
        """Return the record as the store keeps it."""
        confidence = next(iter(self.claims.values()))[1] if self.claims else 1.0
        at = self.seen_at
        # The fuller body is written only where it says something.
        body_type = _FullBody if self.hub[0] or self.ranks else _RecordBody
        body = body_type(
            self.founded,
            self.seen_at,
            self.deleted_at,
            self.home,
            confidence,
            {name: Raw(claim[2]) for name, claim in self.claims.items()},
            {name: claim[:2] for name, claim in self.claims.items() if claim[0] != at or claim[1] != confidence},
            self.edges,
            self.floors,
        )
        if body_type is not _RecordBody:
            body.hub, body.ranks = self.hub, self.ranks  # type: ignore[attr-defined]  # it is the fuller body then
        return StoredRecord(self.ref, self.entity_type, self.entity_id, _ENCODE(body))


def open_record(stored: StoredRecord) -> Record:
    """Return a stored record, open for facts."""
    body = _DECODE(stored.body)
    record = Record(stored.ref, stored.entity_type)
    record.entity_id = stored.entity_id
    record.home = body.home
    record.founded = body.founded
    record.seen_at = body.seen_at
    record.deleted_at = body.deleted_at
    seen_at, confidence = body.seen_at, body.confidence
    claims: dict[str, Claim] = {name: (seen_at, confidence, bytes(raw)) for name, raw in body.values.items()}
    for name, (at, of_claim) in body.others.items():
        claims[name] = (at, of_claim, claims[name][2])
    record.claims = claims
    record.edges = body.edges
    record.floors = body.floors
    record.hub = body.hub
    record.ranks = body.ranks
    return record


def rank(attributes: Mapping[str, bytes]) -> str:
    """Return how a fact stands against others of the same time and confidence; the greatest wins with all that it says.

    One that says more stands higher, since an empty value says nothing. Between equals a digest decides: by chance, but in the
    same way in whatever order they come.
    """
    said = sum(value not in _EMPTY for value in attributes.values())
    return f"{said:03x}{blake2b(ascii(sorted(attributes.items())).encode(), digest_size=6).hexdigest()}"


def _stamp(fact: Fact, at: str) -> str:
    """Return when a fact was observed; where its edges replace others, also how it stands against facts of the same time."""
    if not any(edge.sole for edge in fact.edges):
        return at
    said = "\n".join(sorted(f"{edge.rel}\0{edge.to_external}\0{edge.to_entity}\0{edge.removed}" for edge in fact.edges))
    return f"{at}{fact.confidence:.12f}{rank(fact.attributes)}{blake2b(said.encode(), digest_size=4).hexdigest()}"


def _moved(stamp: str, new: Mapping[str, str]) -> str:
    """Return a stamp at its new time, if it has one."""
    at = stamp[:_MOMENT]
    return new.get(at, at) + stamp[_MOMENT:]


@functools.lru_cache(maxsize=4096)
def edge_text(rel: str, to_external: ExternalId | None, to_entity: str | None) -> str:
    """Return an edge as it stands in the golden state, canonical JSON."""
    if to_external is not None:
        to = b'{"externalId":{"id":%b,"system":%b}}' % (text(to_external.id), text(to_external.system))
    else:
        assert to_entity is not None, "an edge leads somewhere"
        to = b'{"entityId":%b}' % text(to_entity)
    return (b'{"rel":%b,"to":%b}' % (text(rel), to)).decode()
