"""The contracts of a simulation: what a target may be sent, and with which keys it is masked, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.changelog.rows import Revision
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec, Mask
from goldwire_lab.simulation.workload import ATTRIBUTES, MODEL, SYSTEMS

KEYS = tuple(
    {"hash": b"simulation-hash-key-of-32-bytes-%d" % number, "tokenise": b"simulation-token-key-of-32-bytes%d" % number}
    for number in range(2)
)
"""The keys of the masks; a contract that is applied with other ones masks the same values to other ones."""

CLEARANCE: dict[str, tuple[str, ...]] = {"every": ("pii",)}
"""Tags of which a target may receive clear values; those that are not named: none."""

Holds = Callable[[dict[str, Any]], bool]
"""Of the values of a record, by name."""

WHERES: dict[str, Holds] = {
    'has(a.city) && a.city != "Oslo"': lambda values: values.get("city", "Oslo") not in ("Oslo", None),
    "has(a.limit) && a.limit > 5": lambda values: (values.get("limit") or 0) > 5,
}
"""Expressions, each with what it means, said without CEL."""


class Terms(Struct, frozen=True):
    """What one revision keeps."""

    spec: ContractSpec
    keys: int = 0
    """Which of `KEYS`."""

    @property
    def document(self) -> bytes:
        """The same as a revision keeps it."""
        return canonical(msgspec.to_builtins(self))

    @classmethod
    def of(cls, revision: Revision) -> Terms:
        """Return what a revision keeps."""
        return msgspec.json.decode(revision.document, type=cls)

    def compile(self, target: str, revision: int) -> CompiledContract:
        """Return the contract, ready to seal with."""
        return compile_contract(target, self.spec, MODEL, target, CLEARANCE.get(target, ()), KEYS[self.keys], revision)


def draw_terms(target: str, random: Random) -> Terms:
    """Return a contract that a target may have: each target keeps its character, the rest is drawn."""
    if target == "every":
        return Terms(ContractSpec(golden=False, approval="any", edges="all", external_ids="all", deselect=True))
    attributes = tuple(name for name in ATTRIBUTES if random.random() < 0.8) or ("city",)
    masks: tuple[Mask, ...] = ("hash", "tokenise", "redact", "partial")
    masked = {"pii": random.choice(masks)} if {"name", "email"} & set(attributes) else {}
    if random.random() < 0.2:
        masked["note"] = random.choice(masks)
    spec = ContractSpec(
        golden=random.random() < 0.5,
        approval=random.choice(("any", ("approved",))),
        where=random.choice((None, None, None, None, *WHERES)),
        reveals=("city", "limit"),
        attributes=attributes,
        masks=masked,
        edges=random.choice(("all", "all", "none")),
        external_ids=random.choice(("all", "all", SYSTEMS[:2], "none")),
        payload=random.choice(("delta", "full")) if target == "latest" else "full",
        deselect=random.random() < 0.7,
    )
    return Terms(spec, random.choice((0, 0, 1)))
