"""A contract made ready to seal with: checked against the model and the target's clearance, its shapes generated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from goldwire.changelog.rows import LogRow
from goldwire.contract.clearance import Clearance
from goldwire.contract.masks import Keys, build_mask
from goldwire.contract.names import contract_names
from goldwire.contract.shape import Shape, State, Visible, VisibleRelation
from goldwire.contract.spec import ContractSpec, Mask
from goldwire.errors import ContractError
from goldwire.expression.program import Where, compile_where
from goldwire.mastering.model import EntityType, Model
from goldwire.mastering.model_check import model_names
from goldwire.setting_names import dotted, undeclared

Selects = Callable[[LogRow, State], bool]
"""Whether a live record, decoded by its type's shape, is selected."""


class CompiledContract:
    """What the sealing of one target's events needs; made by `compile_contract`, never changed afterwards.

    Attributes:
        name: the contract's name.
        target: the target's name.
        revision: the contract revision that these events are sealed with.
        spec: what was compiled.
        shapes: by name of entity type, for the selected types only.
        selects: the same, whether a live record is selected.
        masks: by name of entity type and of attribute, the mask in force; for documents such as a JSON Schema.
        where: the compiled expression, or None; it counts its own failures.
    """

    __slots__ = (
        "changed_sent", "deleted_sent", "delta", "delta_by_value", "deselect", "masks", "name", "other", "revision", "selects",
        "shapes", "spec", "target", "tombstones_only", "where",
    )  # fmt: skip

    def __init__(
        self, name: str, spec: ContractSpec, target: str, revision: int, where: Where | None, *, delta_by_value: bool = True
    ) -> None:
        self.name = name
        self.target = target
        self.revision = revision
        self.spec = spec
        self.where = where
        self.changed_sent = "EntityChanged" in spec.kinds
        self.deleted_sent = "EntityDeleted" in spec.kinds
        self.tombstones_only = self.deleted_sent and not self.changed_sent
        self.delta = spec.payload == "delta"
        self.delta_by_value = delta_by_value
        self.deselect = spec.deselect
        self.shapes: dict[str, Shape] = {}
        self.selects: dict[str, Selects] = {}
        self.masks: dict[str, dict[str, Mask]] = {}
        self.other = Shape("", (), (), _systems(spec), (), {})
        """Reads records of types that this contract does not select (any more): external ids and nothing else."""

    def __repr__(self) -> str:
        return f"CompiledContract({self.name!r}, target={self.target!r}, revision={self.revision})"


def compile_contract(
    name: str,
    spec: ContractSpec,
    model: Model,
    target: str,
    clearance: tuple[str, ...],
    keys: Keys,
    revision: int,
    *,
    delta_by_value: bool = True,
) -> CompiledContract:
    """Check a contract and make it ready to seal with.

    Args:
        name: the contract's name, for messages.
        spec: what its author wrote.
        model: all entity types and tags.
        target: the target that receives what it lets out.
        clearance: tags of which the target may receive clear values.
        keys: secrets for the masks `hash` and `tokenise`, at least 32 bytes each, as far as masks need them; one that is lost
            is missed only when a value is to be masked with it.
        revision: number of this contract revision.
        delta_by_value: a delta names the attributes whose value changed; False for a revision from before that was so, which
            names those of which anything changed.

    Raises:
        ContractError: it names what does not exist, contradicts itself, misses a key, or would let a classified attribute
            reach the target without clearance. The text lists every fault found, with its fixes.
    """
    _check_names(name, spec, model)
    types = _selected_types(name, spec, model)
    _check_kinds(name, spec)
    where = None if spec.where is None else _where(name, spec.where, types)
    if where is not None and where.uses_changed and spec.deselect:
        raise ContractError(
            f"contract {name!r}: `where` looks at `changed`, which is about one version and not about the record, "
            "so the record does not leave the selection with it: switch `deselect` off or leave `changed` out"
        )
    guard = Clearance(name, spec, model, target, clearance)
    compiled = CompiledContract(name, spec, target, revision, where, delta_by_value=delta_by_value)
    faults: list[str] = []
    for type_name, entity_type in types.items():
        shape, masks = _shape(type_name, entity_type, spec, model, guard, keys, where, faults)
        compiled.shapes[type_name] = shape
        compiled.masks[type_name] = masks
        compiled.selects[type_name] = _selects(spec, shape, where)
    if where is not None:
        shown = {one.name for shape in compiled.shapes.values() for one in shape.visible}
        faults.extend(guard.where_faults(types.values(), sorted(where.values | (where.attributes - shown))))
    if faults:
        raise ContractError(f"contract {name!r} does not load:\n" + "\n".join(f"- {fault}" for fault in faults))
    return compiled


def _where(name: str, text: str, types: Mapping[str, EntityType]) -> Where:
    try:
        return compile_where(text, _attribute_names(types.values()))
    except ContractError as error:
        raise ContractError(f"contract {name!r}: {error}") from error


def _systems(spec: ContractSpec) -> tuple[str, ...] | None:
    if spec.external_ids == "all":
        return None
    return () if spec.external_ids == "none" else spec.external_ids


def _attribute_names(types: Iterable[EntityType]) -> frozenset[str]:
    return frozenset(name for entity_type in types for name in entity_type.attributes)


def _selected_types(name: str, spec: ContractSpec, model: Model) -> dict[str, EntityType]:
    if spec.types == "all":
        return dict(model.types)
    if not spec.types:
        raise ContractError(f"contract {name!r}: `types` is empty, so nothing would be sent; name a type or write `all`")
    return {wanted: model.types[wanted] for wanted in spec.types}


def _check_kinds(name: str, spec: ContractSpec) -> None:
    kinds = set(spec.kinds)
    if spec.deselect and kinds != {"EntityChanged", "EntityDeleted"}:
        raise ContractError(
            f"contract {name!r}: `deselect` sends EntityDeleted for what was sent before; "
            "list both kinds under `kinds`, or switch it off"
        )
    if kinds == {"EntityDeleted"} and spec.where is not None:
        raise ContractError(
            f"contract {name!r}: a deleted record has no attributes left for `where`; "
            "remove `where`, or add EntityChanged to `kinds`"
        )


def _check_names(name: str, spec: ContractSpec, model: Model) -> None:
    for use in undeclared(model_names(model)):
        raise ContractError(f"contract {name!r}: {dotted(use.path)}: {use.text}")
    for use in undeclared(contract_names(spec, model)):
        raise ContractError(f"contract {name!r}: `{use.path[0]}` names {use.name!r}, which is no known {use.what}{use.hint}")


def _shape(
    type_name: str,
    entity_type: EntityType,
    spec: ContractSpec,
    model: Model,
    guard: Clearance,
    keys: Keys,
    where: Where | None,
    faults: list[str],
) -> tuple[Shape, dict[str, Mask]]:
    visible = []
    masks: dict[str, Mask] = {}
    for attribute_name, attribute in entity_type.attributes.items():
        if spec.attributes != "all" and attribute_name not in spec.attributes:
            continue
        mask = guard.mask_of(attribute_name, attribute)
        tags = guard.remaining(attribute, mask)
        faults.extend(guard.attribute_faults(type_name, attribute_name, tags, mask))
        function = None
        if mask is not None:
            masks[attribute_name] = mask
            function = build_mask(mask, attribute_name, keys)
        visible.append(Visible(attribute_name, function, tags))
    relations = []
    for relation_name, relation in entity_type.relations.items():
        if spec.edges == "none" or (spec.edges != "all" and relation_name not in spec.edges):
            continue
        faults.extend(guard.relation_faults(type_name, relation_name, relation.tags))
        relations.append(VisibleRelation(relation_name, relation.tags))
    looked_at = sorted(where.attributes.intersection(entity_type.attributes)) if where is not None else ()
    retention = {tag: declared.retention_days for tag, declared in model.tags.items()}
    return Shape(type_name, visible, relations, _systems(spec), looked_at, retention), masks


def _selects(spec: ContractSpec, shape: Shape, where: Where | None) -> Selects:
    statuses = ("golden",) if spec.golden else ("golden", "provisional")
    approvals = ("approved", "pending", "withdrawn") if spec.approval == "any" else spec.approval
    floor = spec.min_confidence
    expression = None if where is None else where.bind(shape.fields)

    def selects(row: LogRow, state: State) -> bool:
        if state.status not in statuses or state.approval not in approvals or state.confidence < floor:
            return False
        return expression is None or expression(row, state)

    return selects
