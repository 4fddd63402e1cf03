"""What a simulation masters: a few people and sites in three systems, drawn from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from goldwire.canonical import canonical
from goldwire.capture.fact import Decision, DecisionKind, Edge, ExternalId, Fact
from goldwire.clock import timestamp
from goldwire.mastering.model import Attribute, Choice, EntityType, Golden, MatchRule, Model, Relation, Tag
from goldwire_lab.virtual_time import EPOCH

KINDS: tuple[DecisionKind, ...] = ("approve", "withdraw", "override", "release", "merge", "unmerge", "delete")
SYSTEMS = ("crm", "billing", "shop")
ERASED = 0.02
"""How likely an entry asks for an erasure."""

REMODELLED = 0.06
"""How likely the rules of mastering change instead of a batch."""

HUB_SHARE = 0.3
"""For which share of seeds an upstream hub stands in front."""

HUB_NAMES = 0.4
"""How likely it says which golden record a fact is about."""

HUB_IDS = ("hub:1", "hub:2", "hub:3")

NOTHING_SAID = 0.2
"""How likely an e-mail address says nothing, where a hub stands in front."""

_NOTHING = (b'"n/a"', b'"test@x.org"', b'"-"')

_EMAIL, _LOOSE = MatchRule(name="email", equal=("email",)), MatchRule(name="name and city", equal=("name", "city"))

_TAGS = {
    "pii": Tag(retention_days=30),
    "credit": Tag(retention_days=7, cleared_by=("redact", "hash", "tokenise")),
    "inner": Tag(cleared_by=()),
}


def _model(systems: tuple[str, ...], city: tuple[Choice, ...], match: tuple[MatchRule, ...]) -> Model:
    customer = EntityType(
        attributes={
            "name": Attribute(tags=("pii",), survivorship=("source_priority", "most_recent"), systems=systems),
            "email": Attribute(tags=("pii",)),
            "city": Attribute(survivorship=city),
            "limit": Attribute(survivorship=("most_frequent", "most_recent")),
            "score": Attribute(tags=("credit", "pii")),
            "note": Attribute(),
        },
        relations={"knows": Relation(), "owes": Relation(tags=("credit",)), "uses": Relation()},
        match=match,
        golden=Golden(required=("name",)),
    )
    site = EntityType(
        attributes={"label": Attribute(), "street": Attribute(tags=("pii",)), "note": Attribute(tags=("inner",))},
        relations={"near": Relation()},
        match=(MatchRule(name="label", equal=("label",)),),
        golden=Golden(required=("label",)),
        approval="pending",
    )
    return Model(types={"Customer": customer, "Site": site}, tags=_TAGS)


MODELS = (
    _model(SYSTEMS, ("highest_confidence", "longest"), (_EMAIL,)),
    _model(SYSTEMS[::-1], ("most_recent",), (_EMAIL, _LOOSE)),
)
"""The rules of mastering, and other ones for the same attributes: contracts are the same under both."""

MODEL = MODELS[0]

VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    "Customer": {
        "name": ("Ann", "Bob", "Cem", "Dee", "Eleonora", None),
        "email": ("a@x.org", "bo@x.org", "c@x.org", "d@x.org", "e@x.org", None),
        "city": ("Rome", "Oslo", "Kyiv", "Lima", None),
        "limit": (0, 10, 2.5, 1000),
        "score": (-7, 512, 0.25, True),
        "note": ("hash", "é\u2028", "", {"a": [1, None]}),
    },
    "Site": {
        "label": ("Depot", "Mill", "Quay", None),
        "street": ("Elm St 1", 'Oak "Row" 2', None),
        "note": ("gate 7", ["x", False], None),
    },
}
"""By entity type and attribute, what facts say of it."""

_RELATIONS = {"Customer": ("knows", "knows", "owes", "uses"), "Site": ("near",)}
_SITE = "site-"
"""How the id of a record of a site begins."""


def type_of(record: ExternalId) -> str:
    """Return the entity type of a record: the source keeps both kinds apart."""
    return "Site" if record.id.startswith(_SITE) else "Customer"


class Erasure(Struct, frozen=True):
    """A person asks to be forgotten."""

    record: ExternalId
    """One of the records of the person."""


Entry = Fact | Decision | Erasure


class Remodel(Struct, frozen=True):
    """Match rules and survivorship change, and everything is mastered again."""

    model: int
    """Which of `MODELS`."""
    entities: int
    """In each transaction."""


Batch = Sequence[Entry] | Remodel


class Hub:
    """A hub in front of some seeds: it gives records the ids of golden records, and corrects itself.

    It draws by itself, so that all else of a seed is the same with and without it.

    Args:
        seed: of the simulation.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"upstream hub {seed}")
        self.speaks = self._random.random() < HUB_SHARE

    def sent(self, fact: Fact) -> Fact:
        """Return a fact as it comes by way of the hub; where the hub speaks, some values say nothing, too."""
        if not self.speaks or fact.entity_type != "Customer":
            return fact
        random = self._random
        if "email" in fact.attributes and random.random() < NOTHING_SAID:
            fact = replace(fact, attributes={**fact.attributes, "email": random.choice(_NOTHING)})
        return replace(fact, entity_id=random.choice(HUB_IDS)) if random.random() < HUB_NAMES else fact


class Workload:
    """An endless stream of facts and decisions about a handful of records.

    Args:
        random: what is drawn with.
        hub: what stands in front of it.
    """

    def __init__(self, random: Random, hub: Hub) -> None:
        self._random = random
        self._hub = hub
        self._records = [ExternalId(system, f"{index}") for system in SYSTEMS for index in range(random.randint(1, 4))]
        sites = random.choice((0, 0, 1, 2))
        self._records += [ExternalId(system, f"{_SITE}{index}") for system in SYSTEMS[:2] for index in range(sites)]
        self._time = EPOCH - 1_000.0
        self._model = 0

    def batch(self) -> Batch:
        """Return the next few entries, at times not in order; or other rules, now and then."""
        # What shares a key with two customers of a hub goes to the one that is mastered again first, so batches would show.
        if self._random.random() < REMODELLED and not self._hub.speaks:
            self._model = 1 - self._model
            return Remodel(self._model, self._random.choice((1, 2, 100)))
        return [self._entry() for _ in range(self._random.randint(1, 6))]

    def _entry(self) -> Entry:
        random = self._random
        self._time += random.choice((0.0, 1.0, 5.0))
        at = timestamp(self._time - random.choice((0.0, 0.0, 0.0, 20.0)))
        record = random.choice(self._records)
        if random.random() < ERASED:
            return Erasure(record)
        if random.random() < 0.8:
            return self._hub.sent(self._fact(record, at))
        kind = random.choice(KINDS)
        other = random.choice(self._of_type(type_of(record)))
        named = kind in ("override", "release")
        values = VALUES[type_of(record)]
        attribute = random.choice(tuple(values)) if named else None
        value = canonical(random.choice(values[attribute])) if attribute and kind == "override" else None
        return Decision(
            kind,
            at,
            record=record,
            into_record=other if kind == "merge" else None,
            attribute=attribute,
            value=value,
            origin="simulation",
        )

    def _of_type(self, entity_type: str) -> list[ExternalId]:
        return [record for record in self._records if type_of(record) == entity_type]

    def _fact(self, record: ExternalId, at: str) -> Fact:
        random, entity_type = self._random, type_of(record)
        if random.random() < 0.08:
            return Fact(record.system, record.id, entity_type, {}, at, deleted=True, origin="simulation")
        values = VALUES[entity_type]
        names = [name for name in values if random.random() < 0.5]
        return Fact(
            record.system,
            record.id,
            entity_type,
            {name: canonical(random.choice(values[name])) for name in names},
            at,
            confidence=random.choice((0.5, 0.9, 1.0)),
            edges=(self._edge(entity_type),) if random.random() < 0.2 else (),
            origin="simulation",
        )

    def _edge(self, entity_type: str) -> Edge:
        random = self._random
        relation = random.choice(_RELATIONS[entity_type])
        to = self._of_type("Site" if relation in ("uses", "near") else "Customer") or self._records
        return Edge(relation, to_external=random.choice(to), removed=random.random() < 0.3)
