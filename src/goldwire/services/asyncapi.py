"""An AsyncAPI 3.0 document of the targets whose events others receive: servers, channels, messages, and no secret.

Nothing is resolved: where the configuration holds a reference, the document has a variable of that name.
Facts: https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from goldwire.canonical import canonical
from goldwire.config.reader import Loaded
from goldwire.config.references import References
from goldwire.errors import InputError
from goldwire.event.message_schemas import (
    EventMessage,
    as_draft_07,
    attribute_schemas,
    event_messages,
    header_schemas,
    structured_schema,
)
from goldwire.event.schema import event_schema
from goldwire.event.sealed import SPEC_VERSION
from goldwire.services.contract_documents import preview
from goldwire.targets import registry
from goldwire.targets.channel import Channel

_VARIABLE = re.compile(r"\{(\w+)\}")
_SCHEMAS = "#/components/schemas/"


def asyncapi_document(loaded: Loaded, targets: Sequence[str], *, named: bool) -> dict[str, Any]:
    """Return the document.

    Args:
        loaded: the configuration.
        targets: which of its targets, in this order; those from which no others receive are left out.
        named: the caller has asked for just these, so that none may be left out.

    Raises:
        InputError: of no target do others receive events; the text names their kinds.
        ConfigError: a key of a mask is missing.
        ContractError: a contract would let out what the target must not see.
    """
    document = _Document()
    left_out = []
    for name in targets:
        channel, variables = _channel(loaded, name)
        if channel is None:
            left_out.append(name)
            continue
        document.add(loaded, name, channel, variables)
    if left_out and (named or not document.channels):
        kinds = ", ".join(f"'{name}' is of kind '{loaded.config.targets[name].kind}'" for name in left_out)
        raise InputError(f"{loaded.file}: an AsyncAPI document tells what others receive, and target {kinds}: name another")
    return document.whole()


def _channel(loaded: Loaded, name: str) -> tuple[Channel | None, dict[str, str]]:
    """Return a target's channel, and what each variable in it stands for."""
    config = loaded.config.targets[name]
    variables: dict[str, str] = {}

    def variable(reference: str) -> str:
        kind, _, of = reference.partition(":")
        found = re.sub(r"\W+", "_", of).strip("_").lower() or "value"
        variables[found] = f"The environment variable {of}" if kind == "env" else f"What the file {of} holds"
        return f"{{{found}}}"

    return registry.channel_of(config.kind, name, References.named(config.settings, variable)), variables


class _Document:
    """The document while it is put together."""

    def __init__(self) -> None:
        self.servers: dict[str, Any] = {}
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.schemas: dict[str, Any] = {}
        self._contracts: dict[str, dict[str, Any]] = {}

    def add(self, loaded: Loaded, name: str, channel: Channel, variables: dict[str, str]) -> None:
        """Add a target."""
        config = loaded.config.targets[name]
        events = self._events(loaded, name, config.contract)
        servers = [name] if len(channel.hosts) == 1 else [f"{name}.{number}" for number in range(1, len(channel.hosts) + 1)]
        for server, host in zip(servers, channel.hosts, strict=True):
            self.servers[server] = _server(channel, host, variables)
        messages = _messages(channel, events)
        self.messages.update({f"{name}.{one}": message for one, message in messages.items()})
        self.channels[name] = _with(
            {
                "address": channel.address,
                "title": name,
                "description": " ".join(
                    [f"What target {name}, of kind {config.kind}, receives under contract {config.contract}.", *channel.notes]
                ),
                "servers": [{"$ref": f"#/servers/{server}"} for server in servers],
                "messages": {one: {"$ref": f"#/components/messages/{name}.{one}"} for one in messages},
            },
            parameters=_described(channel.address or "", variables),
            bindings=channel.channel_bindings,
        )
        self.operations[f"send.{name}"] = _with(
            {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in messages],
            },
            bindings=channel.operation_bindings,
        )

    def whole(self) -> dict[str, Any]:
        """Return the document; its version changes with its content, and with nothing else."""
        content = {
            "defaultContentType": "application/json",
            "servers": self.servers,
            "channels": self.channels,
            "operations": self.operations,
            "components": {"messages": self.messages, "schemas": self.schemas},
        }
        digest = hashlib.sha256(canonical(content)).hexdigest()[:12]
        info = {
            "title": "Golden records",
            "version": f"{SPEC_VERSION}+{digest}",
            "description": "The events that Goldwire sends. Delivery is at least once, in order for each entity; a resend is "
            "the same message.",
        }
        return {"asyncapi": "3.0.0", "info": info, **content}

    def _events(self, loaded: Loaded, name: str, contract: str) -> list[EventMessage]:
        """Return the kinds of event of a target, whose schemas are kept once for each contract."""
        schema = event_schema(preview(loaded, name))
        prefix = contract
        if self._contracts.setdefault(prefix, schema) != schema:  # what a target may see differs by its clearance
            prefix = f"{contract}.{name}"
        definitions = f"{_SCHEMAS}{prefix}."
        events = event_messages(schema, definitions)
        for key, definition in schema["$defs"].items():
            self.schemas[f"{prefix}.{key}"] = as_draft_07(definition, definitions)
        self.schemas.update({f"{prefix}.{one.name}": one.schema for one in events})
        return [EventMessage(one.name, one.entity_type, one.event_type, {"$ref": definitions + one.name}) for one in events]


def _server(channel: Channel, host: str, variables: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"host": host, "protocol": channel.protocol}
    return _with(found, security=list(channel.security), variables=_described(host, variables))


def _messages(channel: Channel, events: Sequence[EventMessage]) -> dict[str, Any]:
    """Return the messages of a channel by their names."""
    payloads = {one.name: _payload(channel, one) for one in events}
    if channel.array_max is None:
        found = {one.name: _message(channel, one, payloads[one.name]) for one in events}
    else:
        items = {"anyOf": list(payloads.values())}
        array = {"type": "array", "minItems": 1, "maxItems": channel.array_max, "items": items}
        found = {"Events": _message(channel, None, array)}
    if channel.empty_after_delete:
        empty = {"title": "Nothing", "summary": "Follows an EntityDeleted under the same key.", "payload": {"type": "null"}}
        found["Nothing"] = _with(empty, bindings=channel.message_bindings)
    return found


def _payload(channel: Channel, event: EventMessage) -> dict[str, Any]:
    if channel.envelope == "structured":
        return structured_schema(event, channel.source, channel.data_schema, event.schema)
    return event.schema


def _message(channel: Channel, event: EventMessage | None, payload: dict[str, Any]) -> dict[str, Any]:
    headers = header_schemas(event, channel.names, channel.content_type)
    if channel.envelope == "binary" and event is not None:
        own = attribute_schemas(event, channel.source, channel.data_schema, channel.prefix)
        headers["properties"] |= own["properties"]
        headers["required"] = sorted([*headers["required"], *own["required"]])
    headers["properties"] |= channel.further_headers
    headers["required"] = sorted([*headers["required"], *channel.further_headers])
    name = "Events" if event is None else event.name
    found = {"name": name, "title": name, "contentType": channel.content_type, "headers": headers, "payload": payload}
    correlation = channel.names.get("correlationId")
    where = {} if correlation is None else {"location": f"$message.header#/{correlation}"}
    return _with(found, correlationId=where, bindings=channel.message_bindings)


def _described(text: str, variables: dict[str, str]) -> dict[str, Any]:
    """Return the variables of a text, each with what it stands for."""
    return {one: {"description": variables.get(one, "Known to the target alone")} for one in _VARIABLE.findall(text)}


def _with(found: dict[str, Any], **further: Any) -> dict[str, Any]:
    """Add what is not empty."""
    return found | {name: value for name, value in further.items() if value}
