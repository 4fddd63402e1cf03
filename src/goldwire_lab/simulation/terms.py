"""The contracts of a simulation: what a target may be sent, and with which keys it is masked, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.changelog.rows import LogRow, Revision
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec, EventKind, Mask, Truncate, mask_name
from goldwire_lab.simulation.workload import MODEL, SYSTEMS

KEYS = tuple(
    {"hash": b"simulation-hash-key-of-32-bytes-%d" % number, "tokenise": b"simulation-token-key-of-32-bytes%d" % number}
    for number in range(2)
)
"""The keys of the masks; a contract that is applied with other ones masks the same values to other ones."""

Holds = Callable[[dict[str, Any], LogRow], bool | None]
"""Of a golden state and its row; None: there is no result."""


def _value(state: dict[str, Any], name: str) -> Any:
    return state["attributes"].get(name, {}).get("value")


def _number_above(value: Any, limit: float) -> bool | None:
    return None if isinstance(value, str) else (value or 0) > limit


def _begins(state: dict[str, Any], letter: str) -> bool | None:
    if "note" not in state["attributes"]:
        return False
    note = _value(state, "note")
    return note.startswith(letter) if isinstance(note, str) else None


WHERES: dict[str, Holds] = {
    'has(a.city) && a.city != "Oslo"': lambda state, _: _value(state, "city") not in ("Oslo", None),
    "has(a.limit) && a.limit > 5": lambda state, _: _number_above(_value(state, "limit"), 5),
    'record.confidence >= 0.9 || entity.type == "Site"': lambda state, row: (
        state["confidence"] >= 0.9 or row.entity_type == "Site"
    ),
    '"city" in changed || "label" in changed': lambda _, row: bool({"city", "label"} & set(row.changed.split(","))),
    'a.note.startsWith("h")': lambda state, _: _begins(state, "h"),
}
"""Expressions, each with what it means, said without CEL."""

LOOKED_AT = {
    'has(a.city) && a.city != "Oslo"': ("city",),
    "has(a.limit) && a.limit > 5": ("limit",),
    'a.note.startsWith("h")': ("note",),
}
"""The attributes on whose values they decide."""

MASKS: tuple[Mask, ...] = ("hash", "tokenise", "redact", "partial", Truncate(2))

_TYPES: tuple[Literal["all"] | tuple[str, ...], ...] = (
    "all", "all", "all", ("Customer",), ("Customer",), ("Site", "Customer"), ("Site",),
)  # fmt: skip

_BOTH: tuple[EventKind, ...] = ("EntityChanged", "EntityDeleted")
_KINDS: tuple[tuple[EventKind, ...], ...] = (*[_BOTH] * 10, _BOTH[:1], _BOTH[1:], _BOTH[::-1])

OPEN = ContractSpec(golden=False, approval="any", edges="all", external_ids="all", deselect=True)
"""Shows everything."""


class Terms(Struct, frozen=True):
    """What one revision keeps."""

    spec: ContractSpec
    keys: int = 0
    """Which of `KEYS`."""
    clearance: tuple[str, ...] = ()
    """Tags of which the target may receive clear values."""
    by_value: bool = True
    """Whether a delta names what has another value; False as in revisions from before that was so."""

    @property
    def document(self) -> bytes:
        """The same as a revision keeps it."""
        return canonical(msgspec.to_builtins(self))

    @property
    def types(self) -> Sequence[str]:
        """The entity types that are selected."""
        return tuple(MODEL.types) if self.spec.types == "all" else self.spec.types

    @classmethod
    def of(cls, revision: Revision) -> Terms:
        """Return what a revision keeps."""
        return msgspec.json.decode(revision.document, type=cls)

    def compile(self, target: str, revision: int) -> CompiledContract:
        """Return the contract, ready to seal with."""
        return compile_contract(
            target, self.spec, MODEL, target, self.clearance, KEYS[self.keys], revision, delta_by_value=self.by_value
        )


def draw_terms(target: str, random: Random) -> Terms:
    """Return a contract that a target may have: `every` mostly sees everything, the rest is drawn."""
    if target == "every" and random.random() < 0.7:
        return Terms(OPEN, clearance=tuple(MODEL.tags))
    clearance = tuple(tag for tag in MODEL.tags if random.random() < 0.3)
    types: Literal["all"] | tuple[str, ...] = random.choice(_TYPES)
    masks = _draw_masks(random)
    where = random.choice((None,) * 7 + tuple(WHERES))
    names = sorted({name for one in MODEL.types.values() for name in one.attributes})
    kinds = random.choice(_KINDS) if where is None else _BOTH
    on_changed = where is not None and "changed" in where
    spec = ContractSpec(
        types=types,
        kinds=kinds,
        golden=random.random() < 0.5,
        min_confidence=random.choice((0.0, 0.0, 0.0, 0.6, 0.95)),
        approval=random.choice(("any", "any", ("approved",), ("approved", "pending"), ("pending", "withdrawn"))),
        where=where,
        attributes="all" if random.random() < 0.1 else tuple(name for name in names if random.random() < 0.8) or ("city",),
        masks=masks,
        edges=random.choice(("all", "all", "none", ("knows",), ("knows", "owes"), ("near", "uses"))),
        external_ids=random.choice(("all", "all", SYSTEMS[:2], "none")),
        payload=random.choice(("delta", "full")) if target == "latest" else random.choice(("full", "full", "delta")),
        deselect=random.random() < 0.7 and len(kinds) > 1 and not on_changed,
    )
    drawn = Terms(spec, random.choice((0, 0, 1)), clearance, by_value=random.random() < 0.9)
    return _made_safe(drawn, random)


def draw_unsafe(target: str, random: Random) -> Terms | None:
    """Return a contract that would let out what its target has no clearance for, so that no one may apply it; or None."""
    less = msgspec.structs.replace(draw_terms(target, random), clearance=())
    return less if any(_reasons(less, one, _names(less, one)) for one in less.types) else None


def _names(terms: Terms, entity_type: str) -> list[str]:
    attributes = terms.spec.attributes
    return [name for name in MODEL.types[entity_type].attributes if attributes == "all" or name in attributes]


def _draw_masks(random: Random) -> dict[str, Mask]:
    """Masks of tags, the same for two tags of one attribute, and masks of single attributes."""
    found: dict[str, Mask] = {}
    if random.random() < 0.6:
        found["pii"] = random.choice(MASKS)
    if random.random() < 0.5:
        found["credit"] = found.get("pii", random.choice(MASKS))
    for name in ("email", "note", "score", "label", "city"):
        if random.random() < 0.15:
            found[name] = random.choice(MASKS)
    return found


def _reasons(terms: Terms, entity_type: str, names: Any) -> list[str]:
    """Return the tags that would leave with these attributes and are not cleared."""
    found = []
    for name in names:
        attribute = MODEL.types[entity_type].attributes[name]
        mask = next((terms.spec.masks[one] for one in (name, *attribute.tags) if one in terms.spec.masks), None)
        found += [
            tag
            for tag in attribute.tags
            if tag not in terms.clearance and (mask is None or mask_name(mask) not in MODEL.tags[tag].cleared_by)
        ]
    return found


def _made_safe(terms: Terms, random: Random) -> Terms:
    """Leave out what the target may not see, as the author of a contract has to; the masks stay as they are."""
    spec = terms.spec
    known = {name for one in terms.types for name in MODEL.types[one].attributes}
    bad = {name for one in terms.types for name in _names(terms, one) if _reasons(terms, one, [name])}
    attributes = spec.attributes
    if attributes != "all" or bad:
        kept = known if attributes == "all" else known & set(attributes)
        attributes = tuple(sorted(kept - bad)) or (("city",) if "Customer" in terms.types else ("label",))
    edges = spec.edges
    relations = {name for one in terms.types for name in MODEL.types[one].relations}
    if "credit" not in terms.clearance and edges == "all" and "owes" in relations:
        edges = tuple(sorted(relations - {"owes"}))
    elif isinstance(edges, tuple):
        edges = tuple(name for name in edges if name in relations and (name != "owes" or "credit" in terms.clearance))
    where = spec.where if spec.where is None or known.issuperset(LOOKED_AT.get(spec.where, ())) else None
    tagged = {name for one in terms.types for name, attribute in MODEL.types[one].attributes.items() if attribute.tags}
    reveals = tuple(name for name in LOOKED_AT.get(where or "", ()) if name in tagged or random.random() < 0.5)
    masks = {name: mask for name, mask in spec.masks.items() if name in known or name in MODEL.tags}
    safe = msgspec.structs.replace(
        spec, attributes=attributes, edges=edges or "none", where=where, reveals=reveals, masks=masks
    )  # fmt: skip
    return msgspec.structs.replace(terms, spec=safe)
