"""JSON Schemas of an event as a message: one for each kind of event, its headers, and CloudEvents 1.0 around it.

They keep to what draft-07 and 2020-12 have in common, because AsyncAPI 3.0 takes draft-07.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from goldwire.redaction import shows

SCHEMA = dict[str, Any]

_OPTIONAL = frozenset({"classification", "retention-days"})
_OPTIONAL_ATTRIBUTES = frozenset({"correlationid", "classification", "retentiondays"})
"""CloudEvents have no empty attributes; a correlation id may be empty."""

_RENAMED = {"dependentSchemas": "dependencies"}
"""Keywords of 2020-12 that draft-07 knows by another name."""

_TIMESTAMP = {"type": "string", "format": "date-time", "description": "When that version was committed."}
_CLASSIFICATION = {"type": "string", "description": "The tags of what the event really carries, sorted, joined by commas."}
_RETENTION = {"type": "string", "pattern": "^[0-9]+$", "description": "The shortest retention among those tags, in days."}
_TRACE = {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "description": "W3C trace context."}
_KEY = {"type": "string", "maxLength": 128, "description": "Keeps the events of one entity in order."}
_CORRELATION = {"type": "string", "description": "Of the ingest that committed the change."}
_ID = {"type": "string", "description": "Unique for each event of the target, and the same on a resend."}


@shows("name", "entity_type", "event_type")
class EventMessage(Struct, frozen=True):
    """One of the kinds of event that a contract lets out."""

    name: str
    entity_type: str | None
    """None: any."""
    event_type: str
    schema: SCHEMA
    """Of the event, draft-07; it refers to the definitions of the contract."""

    @property
    def subject(self) -> SCHEMA:
        """The schema of the header `subject`."""
        if self.entity_type is None:
            return {"type": "string", "pattern": f"^.+\\.{self.event_type}$"}
        return {"const": f"{self.entity_type}.{self.event_type}"}


def event_messages(schema: SCHEMA, definitions: str) -> list[EventMessage]:
    """Take the schema of a contract's events apart.

    Args:
        schema: as `event_schema` returns it.
        definitions: what stands before the name of a definition of it, e.g. `#/components/schemas/partner.`.
    """
    found = []
    for kind in schema["oneOf"]:
        event_type = kind["properties"]["eventType"]["const"]
        entity_type = kind["properties"]["entityType"].get("const")
        name = event_type if entity_type is None else f"{entity_type}.{event_type}"
        found.append(EventMessage(name, entity_type, event_type, as_draft_07(kind, definitions)))
    return found


def as_draft_07(schema: Any, definitions: str) -> Any:
    """Return a schema of `event_schema`, or a part of one, as draft-07.

    Args:
        schema: 2020-12.
        definitions: what stands before the name of a definition.
    """
    if isinstance(schema, list):
        return [as_draft_07(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {_RENAMED.get(name, name): as_draft_07(value, definitions) for name, value in schema.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = definitions + found["$ref"].removeprefix("#/$defs/")
    return found


def header_schemas(message: EventMessage | None, names: Mapping[str, str], content_type: str) -> SCHEMA:
    """Return the schema of the headers of a message.

    Args:
        message: whose; None: several events in one message.
        names: by its name in the wire format, the name of each header that there is.
        content_type: the value of `contentType`.
    """
    subject = {"type": "string"} if message is None else message.subject
    known = {
        "messageId": _ID,
        "correlationId": _CORRELATION,
        "contentType": {"const": content_type},
        "subject": subject,
        "partitionKey": _KEY,
        "traceparent": _TRACE,
        "classification": _CLASSIFICATION,
        "retention-days": _RETENTION,
    }
    return _object({names[name]: known[name] for name in names}, (names[name] for name in names if name not in _OPTIONAL))


def attribute_schemas(message: EventMessage, source: str, data_schema: str | None, prefix: str = "") -> SCHEMA:
    """Return the schema of the attributes of CloudEvents but for `datacontenttype`.

    Args:
        message: whose.
        source: of the events.
        data_schema: the URI of their schema, where there is one.
        prefix: what stands before each name, in binary mode.
    """
    known = {
        "specversion": {"const": "1.0"},
        "id": _ID,
        "source": {"const": source},
        "type": {"const": f"goldwire.{message.event_type}"},
        "subject": message.subject,
        "time": _TIMESTAMP,
        "partitionkey": _KEY,
        "correlationid": _CORRELATION,
        "traceparent": _TRACE,
        "classification": _CLASSIFICATION,
        "retentiondays": _RETENTION,
        "version": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "The event's `version`."},
        "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "The event's `hash`."},
    }
    if data_schema is not None:
        known["dataschema"] = {"const": data_schema}
    return _object(
        {prefix + name: schema for name, schema in known.items()},
        (prefix + name for name in known if name not in _OPTIONAL_ATTRIBUTES),
    )


def structured_schema(message: EventMessage, source: str, data_schema: str | None, data: SCHEMA) -> SCHEMA:
    """Return the schema of a CloudEvent in structured mode.

    Args:
        message: what it carries.
        source: as of `attribute_schemas`.
        data_schema: the same.
        data: the schema of the event itself, or a reference to it.
    """
    found = attribute_schemas(message, source, data_schema)
    found["properties"] |= {"datacontenttype": {"const": "application/json"}, "data": data}
    found["required"] = sorted([*found["required"], "data", "datacontenttype"])
    return {**found, "additionalProperties": False}


def _object(properties: Mapping[str, SCHEMA], required: Iterable[str]) -> SCHEMA:
    return {"type": "object", "properties": dict(properties), "required": sorted(required)}
