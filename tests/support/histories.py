"""Histories of customers as one target receives them: sealed by Goldwire, chained, with the table they must lead to.

For tests of what receives: a subscriber's code, an adapter, a broker. The table is made from the golden states, never from
the events.
"""

from __future__ import annotations

import random
from typing import Any, Literal, NamedTuple

from goldwire.changelog.rows import Control
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.model import Attribute, EntityType, Model, Relation
from goldwire.mastering.workspace import ChangeKind
from support.states import control_after, golden_state, log_row

_CITIES = ("Ulm", "Bonn", "Kiel", "Łódź", "東京")
_HIDDEN = "elsewhere"
"""A city that the contract does not select."""

Attributes = dict[str, Any]


class History(NamedTuple):
    """What one target is sent."""

    events: list[SealedEvent]
    """In the order of sending: entities mixed, each in order."""
    table: dict[str, Attributes]
    """By entity id, the values of those that are there at the end."""


def customers_contract(payload: Literal["delta", "full"] = "delta") -> CompiledContract:
    """Return the contract of the histories: every attribute in clear, those of one city withdrawn."""
    names = ("name", "city", "credit", "tags")
    model = Model({"Customer": EntityType({name: Attribute() for name in names}, relations={"employs": Relation()})})
    spec = ContractSpec(golden=False, deselect=True, payload=payload, where=f'a.city != "{_HIDDEN}"')
    return compile_contract("customers", spec, model, "subscriber", (), {}, 1)


def customers(seed: int, entities: int, changes: int, *, payload: Literal["delta", "full"] = "delta") -> History:
    """Return a history: changes of attributes and edges, deletions of every kind, withdrawals and returns.

    Args:
        seed: the same one gives the same bytes.
        entities: how many, each with at least one event.
        changes: committed in all; some of them are no event.
        payload: as the contract says.
    """
    chance = random.Random(seed)
    made = [_Customer(f"goldwire:entity:{seed}-{index}", chance) for index in range(entities)]
    contract = customers_contract(payload)
    order = made + [chance.choice(made) for _ in range(max(0, changes - entities))]
    events = [event for one in order if (event := one.change(contract)) is not None]
    return History(events, {one.entity_id: one.seen for one in made if one.seen is not None})


class _Customer:
    """One entity while it is being made up."""

    def __init__(self, entity_id: str, chance: random.Random) -> None:
        self.entity_id = entity_id
        self.seen: Attributes | None = None
        """The attributes that the target must hold by now; None where it must hold no such record."""
        self._chance = chance
        self._attributes: Attributes = {}
        self._edges: list[Attributes] = []
        self._version = 0
        self._held: Control | None = None
        self._base: dict[int, bytes] = {}

    def change(self, contract: CompiledContract) -> SealedEvent | None:
        """Commit one change, and return its event if there is one."""
        self._version += 1
        kind: ChangeKind = "live"
        if self._version > 1 and self._chance.random() < 0.15:
            kind = self._chance.choice(("deleted", "merged", "erased"))
        else:
            self._mutate()
        state = golden_state(self._attributes, edges=self._edges, external_ids=[("crm", self.entity_id)])
        survivor = "goldwire:entity:survivor" if kind == "merged" else None
        row = log_row(state, version=self._version, kind=kind, entity_id=self.entity_id, merged_into=survivor)
        base = None if self._held is None else self._base.get(self._held.version)
        event = seal(contract, row, self._held, base)
        self._base[self._version] = state
        if not isinstance(event, SealedEvent):
            return None
        self._held = control_after(event)
        self.seen = None if event.deleted else dict(self._attributes)
        return event

    def _mutate(self) -> None:
        hidden = self._version > 1 and self._chance.random() < 0.1
        self._attributes["city"] = _HIDDEN if hidden else self._chance.choice(_CITIES)
        self._attributes["name"] = self._chance.choice(("Ada", "Ørsted & Søn", "Zoë", 'O"Neil'))
        if self._chance.random() < 0.5:
            self._attributes["credit"] = self._chance.choice((0, 1.5, 1e16, 1e21, 5e-324, 2**53 - 1, -0.25))
        else:
            self._attributes.pop("credit", None)
        if self._chance.random() < 0.3:
            self._attributes["tags"] = [{"n": self._version}, None, True]
        if self._chance.random() < 0.3:
            self._edges = [{"rel": "employs", "to": {"entityId": f"p{self._chance.randrange(3)}"}}]
