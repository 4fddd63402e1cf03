"""Decides whether an event that was sent once may leave again: by the present contract, on what the event really carries."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from goldwire.contract.compiled import CompiledContract
from goldwire.contract.shape import Shape, State
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.expression.runtime import EvaluationError
from goldwire.redaction import shows
from goldwire.relay.rebuild import Sent

_REMOVED = b'{"op":"removed",'


@shows()
class _RepeatedChanges(Struct):
    attributes: dict[str, Raw] = {}
    edges: list[Raw] = []


@shows()
class _RepeatedContent(Struct):
    """Of an event what a contract shapes."""

    externalIds: list[Raw]  # noqa: N815 - the wire's name
    changes: _RepeatedChanges = msgspec.field(default_factory=_RepeatedChanges)


_content = msgspec.json.Decoder(_RepeatedContent).decode


def still_allowed(sent: Sent, present: CompiledContract) -> bool:
    """Say whether the present contract, given the same version of the record, lets out all that an event carries.

    That is: it selects the record, and shows each attribute with the same bytes (or unmasked), each edge and each external id.

    Args:
        sent: the event, and the change it was made of.
        present: the newest revision of the target's contract.
    """
    if sent.revision == present.revision:
        return True
    event, row = sent.event, sent.row
    carried = _content(event.body)
    shape = present.shapes.get(row.entity_type)
    if event.deleted:
        shape = shape or present.other
        return present.deleted_sent and _ids_shown(carried, shape, shape.decode(row.state))
    try:
        shown = seal(present, row, None, None)
    except EvaluationError:
        return False
    if shape is None or not isinstance(shown, SealedEvent) or shown.deleted:
        return False
    return (
        _attributes_shown(carried, _content(shown.body), shape, present)
        and _edges_shown(carried, shape)
        and _ids_shown(carried, shape, shape.decode(row.state))
    )


def _attributes_shown(carried: _RepeatedContent, shown: _RepeatedContent, shape: Shape, present: CompiledContract) -> bool:
    visible = {one.name for one in shape.visible}
    masks = present.masks[shape.entity_type]
    now = shown.changes.attributes
    for name, entry in carried.changes.attributes.items():
        # The event carries one that the record no longer had as a removal: its name, and no value.
        if name not in visible or (name in masks and name in now and now[name] != entry):
            return False
    return True


def _edges_shown(carried: _RepeatedContent, shape: Shape) -> bool:
    edges = map(bytes, carried.changes.edges)
    plain = [Raw(b"{" + edge.removeprefix(_REMOVED) if edge.startswith(_REMOVED) else edge) for edge in edges]
    return len(shape.edges(plain)) == len(plain)


def _ids_shown(carried: _RepeatedContent, shape: Shape, state: State) -> bool:
    shown = msgspec.json.decode(shape.external_ids(state), type=list[Raw])
    return set(map(bytes, carried.externalIds)) <= set(map(bytes, shown))
