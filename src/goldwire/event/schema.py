"""The JSON Schema (2020-12) of the events that one contract lets out: consumers can generate code from it."""

from __future__ import annotations

from typing import Any

from goldwire.contract.compiled import CompiledContract
from goldwire.contract.shape import Shape
from goldwire.contract.spec import Mask, Truncate
from goldwire.event.sealed import SPEC_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_HASH = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_TIMESTAMP = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"}


def event_schema(contract: CompiledContract) -> dict[str, Any]:
    """Return the schema; every event sealed under the contract fits it.

    Args:
        contract: the compiled contract.
    """
    kinds: list[dict[str, Any]] = []
    if contract.changed_sent:
        kinds.extend(_changed(contract, name, shape) for name, shape in contract.shapes.items())
    if contract.deleted_sent:
        kinds.append(_deleted(contract))
    return {
        "$schema": DIALECT,
        "title": f"Events under contract {contract.name}, revision {contract.revision}",
        "type": "object",
        "oneOf": kinds,
        "$defs": {"externalIds": _external_ids(contract), "hash": _HASH, "timestamp": _TIMESTAMP},
    }


def _envelope(entity_type: dict[str, Any], event_type: str) -> dict[str, Any]:
    return {
        "entityId": {"type": "string", "description": "Stable identity of the golden record; opaque."},
        "entityType": entity_type,
        "eventType": {"const": event_type},
        "externalIds": {"$ref": "#/$defs/externalIds"},
        "hash": {"$ref": "#/$defs/hash"},
        "previousHash": {"anyOf": [{"$ref": "#/$defs/hash"}, {"type": "null"}]},
        "specVersion": {"const": SPEC_VERSION},
        "timestamp": {"$ref": "#/$defs/timestamp"},
        "version": {"type": "integer", "minimum": 1},
    }


def _changed(contract: CompiledContract, name: str, shape: Shape) -> dict[str, Any]:
    masks = contract.masks[name]
    attributes = {one.name: _attribute(masks.get(one.name), one.tags, removable=contract.delta) for one in shape.visible}
    properties = _envelope({"const": name}, "EntityChanged")
    properties["payload"] = {"enum": ["delta", "full"]} if contract.delta else {"const": "full"}
    properties["changes"] = {
        "type": "object",
        "properties": {
            "attributes": {"type": "object", "properties": attributes, "additionalProperties": False},
            "edges": _edges(contract, shape),
        },
        "required": ["attributes", "edges"],
        "additionalProperties": False,
    }
    return {
        "title": f"{name} changed",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _deleted(contract: CompiledContract) -> dict[str, Any]:
    # a type that an earlier revision selected may still have to be deleted, so the type is open
    properties = _envelope({"type": "string"}, "EntityDeleted")
    reasons = ["deleted", "merged", "erased"] + (["deselected"] if contract.deselect else [])
    properties["payload"] = {"const": "full"}
    properties["reason"] = {"enum": reasons}
    required = sorted(properties)
    properties["mergedInto"] = {"type": "string", "description": "The surviving entityId."}
    return {
        "title": "Entity deleted",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        "dependentSchemas": {"mergedInto": {"properties": {"reason": {"const": "merged"}}}},
    }


def _external_ids(contract: CompiledContract) -> dict[str, Any]:
    wanted = contract.spec.external_ids
    if wanted == "none":
        return {"type": "array", "maxItems": 0}
    system: dict[str, Any] = {"type": "string"} if wanted == "all" else {"enum": list(wanted)}
    return {"type": "array", "items": _external_id(system)}


def _external_id(system: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "system": system},
        "required": ["id", "system"],
        "additionalProperties": False,
    }


def _edges(contract: CompiledContract, shape: Shape) -> dict[str, Any]:
    if not shape.relations:
        return {"type": "array", "maxItems": 0}
    properties: dict[str, Any] = {
        "rel": {"enum": [one.name for one in shape.relations]},
        "to": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"entityId": {"type": "string"}},
                    "required": ["entityId"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {"externalId": _external_id({"type": "string"})},
                    "required": ["externalId"],
                    "additionalProperties": False,
                },
            ]
        },
    }
    if contract.delta:
        properties["op"] = {"const": "removed"}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": properties,
            "required": ["rel", "to"],
            "additionalProperties": False,
        },
    }


def _attribute(mask: Mask | None, tags: tuple[str, ...], *, removable: bool) -> dict[str, Any]:
    value = _masked_value(mask)
    if removable and value is not True:
        value = {"anyOf": [value, {"type": "null"}]}
    found: dict[str, Any] = {
        "type": "object",
        "properties": {
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "lastSeen": {"$ref": "#/$defs/timestamp"},
            "provenance": {"type": "string", "description": "The system it won from."},
            "value": value,
        },
        "required": ["confidence", "lastSeen", "provenance", "value"],
        "additionalProperties": False,
    }
    if tags:
        found["description"] = f"Classified: {', '.join(tags)}."
    return found


def _masked_value(mask: Mask | None) -> Any:
    if mask is None:
        return True
    if isinstance(mask, Truncate):
        return {"type": "string", "maxLength": mask.truncate}
    if mask == "redact":
        return {"const": "REDACTED"}
    if mask == "hash":
        return {"type": "string", "pattern": "^hmac-sha256:[0-9a-f]{64}$"}
    if mask == "tokenise":
        return {"type": "string", "pattern": "^tok_[A-Za-z0-9_-]+$"}
    return {"type": "string", "pattern": r"\*\*\*"}
