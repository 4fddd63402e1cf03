"""The JSON Schema of `goldwire.yaml`, for editors and for checks elsewhere: it knows each target kind's settings."""

from __future__ import annotations

from typing import Any

import msgspec

from goldwire.config.model import Config, TargetConfig
from goldwire.config.settings_documentation import settings_of
from goldwire.targets import registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = r"\$\{(env|file):[^}]+\}"


def config_schema() -> dict[str, Any]:
    """Return the schema as plain JSON, equal for equal code."""
    kinds = {kind: registry.settings_type(kind) for kind in sorted(registry.kinds())}
    types: list[Any] = [Config, *kinds.values()]
    (root, *settings), parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    structs = _structs_by_name(types)
    for name, part in parts.items():
        if name in structs:
            _describe(part, structs[name])
    target = parts[TargetConfig.__name__]
    target["properties"]["kind"]["enum"] = list(kinds)
    target["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {
                "properties": {"settings": schema},
                **({"required": ["settings"]} if parts[schema["$ref"].rpartition("/")[2]].get("required") else {}),
            },
        }
        for kind, schema in zip(kinds, settings, strict=True)
    ]
    document = {
        "$schema": DIALECT,
        "$id": "urn:goldwire:schema:configuration",
        "title": "goldwire.yaml",
        **root,
        "$defs": dict(sorted(parts.items())),
    }
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain


def _describe(part: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Add what the docstrings below fields say, and that secrets are references."""
    for setting in settings_of(struct):
        schema = part["properties"][setting.name]
        if setting.description and "description" not in schema:
            schema["description"] = setting.description
        if setting.secret:
            schema.setdefault("pattern" if schema.get("type") == "string" else "x-reference", _REFERENCE)


def _structs_by_name(roots: list[Any]) -> dict[str, type[msgspec.Struct]]:
    from goldwire.config.settings_documentation import structs_in  # noqa: PLC0415 - used here only

    found: dict[str, type[msgspec.Struct]] = {}
    waiting = list(roots)
    while waiting:
        struct = waiting.pop()
        if struct.__name__ not in found:
            found[struct.__name__] = struct
            for info in msgspec.structs.fields(struct):
                waiting.extend(structs_in(info.type))
    return found
