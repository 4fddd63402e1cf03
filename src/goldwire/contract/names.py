"""Lists the names that a contract uses and the model declares: entity types, attributes, relations, tags."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from goldwire.contract.spec import ContractSpec
from goldwire.mastering.model import Model
from goldwire.setting_names import NameUse, SettingPath, uses_in_list


def contract_names(spec: ContractSpec, model: Model, path: SettingPath = ()) -> Iterator[NameUse]:
    """Yield the names that a contract uses, as far as a list names them: `all` and `none` name nothing.

    Args:
        spec: the contract.
        model: all entity types and tags.
        path: of the contract.
    """
    types = list(model.types.values())
    if spec.types != "all":
        yield from uses_in_list((*path, "types"), spec.types, "entity type", model.types)
        types = [model.types[name] for name in spec.types if name in model.types]
    attributes = {name for entity_type in types for name in entity_type.attributes}
    if spec.attributes != "all":
        yield from uses_in_list((*path, "attributes"), spec.attributes, "attribute", attributes)
    yield from uses_in_list((*path, "reveals"), spec.reveals, "attribute", attributes)
    if spec.masks:
        maskable = attributes.union(model.tags)
        for name in spec.masks:
            yield NameUse((*path, "masks", name), name, "attribute or tag", maskable)
    if not isinstance(spec.edges, str):
        relations = {name for entity_type in types for name in entity_type.relations}
        yield from uses_in_list((*path, "edges"), spec.edges, "relation", relations)


def clearance_names(clearance: Iterable[str], tags: Collection[str], path: SettingPath = ()) -> Iterator[NameUse]:
    """Yield the names that a target's clearance uses.

    Args:
        clearance: the tags that it names.
        tags: all that are declared.
        path: of the target.
    """
    return uses_in_list((*path, "clearance"), clearance, "tag", tags)
