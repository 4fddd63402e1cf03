"""The shape of one entity type under one contract: reads a golden state, decides, projects and masks it.

One msgspec class is generated for each type and contract, with a field for each attribute the target may see, in canonical
order. Decoding then drops everything else in C, and encoding gives canonical JSON again; values are never decoded unless a
mask or an expression looks at them. An attribute or a relation that the model did not know when the contract was compiled
has no field and cannot get out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import eq
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from goldwire.canonical import key_order, text
from goldwire.contract.masks import MaskFunction
from goldwire.errors import ContractError
from goldwire.redaction import shows

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
"""Turns a generated attributes object back into canonical JSON."""


_CARRIED_MAX = 4096
"""How many combinations of classified attributes are remembered."""


_VALUE = b',"value":'
"""Stands before the value, which is the last member of a golden attribute, and nowhere earlier: in a text its quote would be
escaped."""


@shows("status", "approval")
class State(Struct, gc=False):
    """A golden state as far as a contract reads it; generated classes replace the type of `attributes`."""

    approval: str
    attributes: Any
    confidence: float
    edges: list[Raw]
    externalIds: list[Raw]  # noqa: N815 - the member's name in the state
    status: str


class Visible(NamedTuple):
    """One attribute that a target sees."""

    name: str
    mask: MaskFunction | None
    tags: tuple[str, ...]
    """Tags that its value still carries after the mask, sorted."""


class VisibleRelation(NamedTuple):
    """One relation that a target sees."""

    name: str
    tags: tuple[str, ...]


class Carried(NamedTuple):
    """What classified content an event carries."""

    classification: str
    """Tags, sorted, joined by commas."""
    retention_days: int | None


def attribute_class(names: Sequence[str]) -> tuple[type[Struct], dict[str, str]]:
    """Generate the class that reads these attributes, and return it with the field of each name.

    Raises:
        ContractError: a name has a quote, a backslash or a control character.
    """
    ordered = sorted(names, key=key_order)
    fields = {name: f"f{index}" for index, name in enumerate(ordered)}
    try:
        made = msgspec.defstruct(
            "Attributes",
            [(field, Raw | UnsetType, UNSET) for field in fields.values()],
            rename={field: name for name, field in fields.items()},
            gc=False,
            namespace={"__repr__": lambda _: "Attributes()", "__rich_repr__": lambda _: ()},
        )
    except ValueError as error:
        raise ContractError(
            "an attribute's name has a quote, a backslash or a control character; rename it in the model"
        ) from error
    return made, fields


class Shape:
    """How one entity type looks to one target."""

    def __init__(
        self,
        entity_type: str,
        visible: Sequence[Visible],
        relations: Sequence[VisibleRelation],
        systems: Sequence[str] | None,
        looked_at: Sequence[str],
        retention: Mapping[str, int | None],
    ) -> None:
        """Generate the classes.

        Args:
            entity_type: its name.
            visible: what the target sees.
            relations: the relations the target sees.
            systems: systems whose external ids the target sees; None for all.
            looked_at: names of attributes that the selection reads, visible or not.
            retention: retention in days by tag.
        """
        self.entity_type = entity_type
        self.visible = tuple(sorted(visible, key=lambda one: key_order(one.name)))
        self.relations = tuple(relations)
        names = {one.name for one in visible}
        made, self.fields = attribute_class(sorted(names.union(looked_at)))
        state = msgspec.defstruct("GoldenState", [("attributes", made)], bases=(State,), gc=False)
        self.decode = cast("Callable[[bytes], State]", msgspec.json.Decoder(state).decode)
        self._shown = [self.fields[one.name] for one in self.visible]
        self.conceal = _concealing(
            [field for name, field in self.fields.items() if name not in names],
            {self.fields[one.name]: one.mask for one in self.visible if one.mask},
        )
        """Masks a decoded attributes object itself, and drops what only the selection may look at."""
        self._flags = [(self.fields[one.name], 1 << index) for index, one in enumerate(self.visible) if one.tags]
        self._prefixes = tuple(b'{"rel":%b,"to":' % text(one.name) for one in relations)
        self._suffixes = None if systems is None else tuple(b',"system":%b}' % text(name) for name in systems)
        self._to_entities = tuple(prefix + b'{"entityId":' for prefix in self._prefixes)
        self._to_systems = None if systems is None else tuple(b',"system":%b}}}' % text(name) for name in systems)
        self._edge_flags = [
            (b'{"rel":%b,"to":' % text(one.name), 1 << index)
            for index, one in enumerate(relations, len(self.visible))
            if one.tags
        ]
        self._tags = [one.tags for one in self.visible] + [one.tags for one in relations]
        self._retention = dict(retention)
        self._carried = {0: Carried("", None)}

    def keep_changes(self, attributes: Any, base: Any, *, by_value: bool = True) -> bool:
        """Reduce a decoded attributes object to what looks different from a base, and mask it; both are changed themselves.

        An attribute that the base had and the state has not becomes one whose value is `null`.

        Args:
            attributes: of the state.
            base: those of the state that the target holds.
            by_value: an attribute counts as changed where its value is another, not where only its provenance, confidence or
                time is.

        Returns:
            whether anything is left.
        """
        alike = _same_value if by_value else eq
        for field in self._shown:
            new, old = getattr(attributes, field), getattr(base, field)
            if new == old or alike(new, old):
                setattr(attributes, field, UNSET)
                setattr(base, field, UNSET)
        self.conceal(attributes)
        self.conceal(base)
        left = False
        for field in self._shown:
            new, old = getattr(attributes, field), getattr(base, field)
            if new == old or alike(new, old):
                setattr(attributes, field, UNSET)
                continue
            left = True
            if new is UNSET:
                setattr(attributes, field, _emptied(old))
        return left

    def edges(self, edges: list[Raw]) -> list[bytes]:
        """Return the edges the target sees, as canonical JSON each.

        An edge to an external id of a system that the target does not see is left out: it would show that id. An edge's text
        begins with its relation and ends with its system, and a quote inside a JSON string is escaped, so both are certain.
        """
        if not edges:
            return []
        prefixes, to_entities, to_systems = self._prefixes, self._to_entities, self._to_systems
        shown = [edge for edge in map(bytes, edges) if edge.startswith(prefixes)]
        if to_systems is None:
            return shown
        return [edge for edge in shown if edge.startswith(to_entities) or edge.endswith(to_systems)]

    def external_ids(self, state: State) -> bytes:
        """Return the array of external ids the target sees, as canonical JSON."""
        suffixes = self._suffixes
        if suffixes is None:
            return b"[" + b",".join(state.externalIds) + b"]"
        return b"[" + b",".join([one for one in map(bytes, state.externalIds) if one.endswith(suffixes)]) + b"]"

    def carried(self, attributes: Any, edges: Sequence[bytes]) -> Carried:
        """Return the tags of what is really in these attributes and edges after masking."""
        found = 0
        for field, flag in self._flags:
            if getattr(attributes, field) is not UNSET:
                found |= flag
        if edges:
            for prefix, flag in self._edge_flags:
                if any(edge.startswith(prefix) for edge in edges):
                    found |= flag
        known = self._carried.get(found)
        if known is None:
            if len(self._carried) >= _CARRIED_MAX:
                self._carried.clear()
            known = self._carried[found] = self._add_up(found)
        return known

    def _add_up(self, found: int) -> Carried:
        tags = sorted({tag for index, tags in enumerate(self._tags) if found >> index & 1 for tag in tags})
        limits = [days for tag in tags if (days := self._retention.get(tag)) is not None]
        return Carried(",".join(tags), min(limits) if limits else None)


def _emptied(raw: Raw) -> Raw:
    """Return a golden attribute with `null` in place of its value."""
    head, between, _ = bytes(raw).partition(_VALUE)
    return Raw(head + between + b"null}")


def _concealing(only_looked_at: Sequence[str], masks: Mapping[str, MaskFunction]) -> Callable[[Any], None]:
    """Generate the function that replaces the value of each of these fields by what its mask makes of it.

    A loop over the fields would cost twice as much. The source holds nothing but our own words and the numbered fields: no
    attribute's name gets into it.
    """
    known: dict[str, Any] = {"Raw": Raw, "UNSET": UNSET, "VALUE": _VALUE}
    lines = ["def conceal(attributes):", *[f"    attributes.{field} = UNSET" for field in only_looked_at]]
    for field, mask in masks.items():
        known[f"mask_{field}"] = mask
        lines += [
            f"    raw = attributes.{field}",
            "    if raw is not UNSET:",
            "        head, between, rest = bytes(raw).partition(VALUE)",
            f"        attributes.{field} = Raw(head + between + mask_{field}(rest[:-1]) + b'}}')",
        ]
    exec("\n".join([*lines, "    return None"]), known)  # noqa: S102 - see above
    return cast("Callable[[Any], None]", known["conceal"])


def _same_value(new: Raw | UnsetType, old: Raw | UnsetType) -> bool:
    """Say whether two golden attributes have the same value, whatever else they say of it."""
    if new is UNSET or old is UNSET:
        return new is old
    return bytes(new).partition(_VALUE)[2] == bytes(old).partition(_VALUE)[2]
