"""The check that makes a contract safe: nothing classified is visible without a mask or a clearance for its tag."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from goldwire.contract.names import clearance_names
from goldwire.contract.spec import ContractSpec, Mask, mask_name
from goldwire.errors import ContractError
from goldwire.mastering.model import Attribute, EntityType, Model
from goldwire.setting_names import undeclared


class Clearance:
    """What one target is cleared for, under one contract."""

    def __init__(self, contract: str, spec: ContractSpec, model: Model, target: str, cleared: Collection[str]) -> None:
        """Take what the checks need.

        Raises:
            ContractError: the target is cleared for a tag that the model does not declare.
        """
        self._contract = contract
        self._spec = spec
        self._model = model
        self._target = target
        self._cleared = frozenset(cleared)
        for use in undeclared(clearance_names(cleared, model.tags)):
            raise ContractError(f"target {target!r} has clearance for tag {use.name!r}, which is no known tag{use.hint}")

    def mask_of(self, name: str, attribute: Attribute) -> Mask | None:
        """Return the mask of an attribute: its own, or else the one of its tags.

        Raises:
            ContractError: its tags ask for different masks.
        """
        masks = self._spec.masks
        if name in masks:
            return masks[name]
        wanted = {tag: masks[tag] for tag in attribute.tags if tag in masks}
        if len(set(wanted.values())) > 1:
            asked = " and ".join(f"{tag!r} ({mask_name(mask)})" for tag, mask in sorted(wanted.items()))
            raise ContractError(
                f"contract {self._contract!r}: attribute {name!r} has the tags {asked}, whose masks differ; "
                f"name one for it: `masks: {{{name}: …}}`"
            )
        return next(iter(wanted.values()), None)

    def remaining(self, attribute: Attribute, mask: Mask | None) -> tuple[str, ...]:
        """Return the tags that an attribute's value still carries after its mask, sorted."""
        tags = self._model.tags
        return tuple(tag for tag in sorted(set(attribute.tags)) if mask is None or mask_name(mask) not in tags[tag].cleared_by)

    def attribute_faults(self, entity_type: str, name: str, tags: Iterable[str], mask: Mask | None) -> list[str]:
        """Return a sentence for each of these remaining tags that the target has no clearance for."""
        faults: list[str] = []
        for tag in tags:
            if tag in self._cleared:
                continue
            allowed = self._model.tags[tag].cleared_by
            masked = f", and the mask `{mask_name(mask)}` does not clear it" if mask else ""
            hide = f"mask it (`masks: {{{name}: {allowed[0]}}}`; {', '.join(allowed)} would do) or leave it out" if (
                allowed
            ) else "leave it out (no mask clears this tag)"  # fmt: skip
            faults.append(
                f"attribute {name!r} of {entity_type} has tag {tag!r}, for which target {self._target!r} has no "
                f"clearance{masked}: either give the target clearance for {tag!r}, or {hide} of `attributes`"
            )
        return faults

    def relation_faults(self, entity_type: str, name: str, tags: Iterable[str]) -> list[str]:
        """Return a sentence for each tag of a relation that the target has no clearance for."""
        return [
            f"relation {name!r} of {entity_type} has tag {tag!r}, for which target {self._target!r} has no "
            f"clearance: either give the target clearance for {tag!r}, or leave the relation out of `edges`"
            for tag in sorted(set(tags))
            if tag not in self._cleared
        ]

    def where_faults(self, types: Iterable[EntityType], names: Iterable[str]) -> list[str]:
        """Return a sentence for each of these attributes whose value `where` must not decide on (docs/adr/0010)."""
        faults: list[str] = []
        kinds = list(types)
        for name in names:
            if name in self._spec.reveals:
                continue
            tags = {tag for kind in kinds if name in kind.attributes for tag in kind.attributes[name].tags}
            faults.extend(
                f"`where` looks at attribute {name!r} with tag {tag!r}, for which target {self._target!r} has no "
                f"clearance: that a record is sent would reveal something about its value to the target. Either give the "
                f"target clearance for {tag!r}, or leave the attribute out of `where`; to accept it, list it under `reveals`"
                for tag in sorted(tags - self._cleared)
            )
        return faults
