"""Where the events of a target can be received, and in what form: what an AsyncAPI document says of it.

A kind whose events others receive returns a `Channel` from plain settings that hold no secret: see `target_kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from goldwire.redaction import shows


@shows("hosts", "protocol", "address")
class Channel(Struct, frozen=True, kw_only=True):
    """One channel and its servers. In a text `{name}` stands for what is known only once the settings are resolved."""

    hosts: tuple[str, ...]
    """Host and port of each server."""
    protocol: str
    """As AsyncAPI names it, e.g. `kafka-secure`."""
    address: str | None
    """The topic, queue or hub; None where it is part of a secret."""
    security: tuple[dict[str, Any], ...] = ()
    """Security schemes of AsyncAPI, of which one has to be met."""
    notes: tuple[str, ...] = ()
    """Sentences for people about what AsyncAPI has no field for."""
    envelope: Literal["event", "structured", "binary"] = "event"
    """The event itself, or how CloudEvents carry it."""
    content_type: str = "application/json"
    array_max: int | None = None
    """The most events in one message, where a message is an array of them."""
    names: Mapping[str, str] = field(default_factory=dict)
    """By its name in the wire format, the name of each header beside the event."""
    further_headers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """By name, the schema of each header that the wire format does not have; all are there in each message."""
    prefix: str = ""
    """Of the headers of CloudEvents in binary mode."""
    source: str = ""
    """Of CloudEvents."""
    data_schema: str | None = None
    """Of CloudEvents."""
    empty_after_delete: bool = False
    """A message without a payload follows an EntityDeleted."""
    channel_bindings: Mapping[str, Any] = field(default_factory=dict)
    operation_bindings: Mapping[str, Any] = field(default_factory=dict)
    message_bindings: Mapping[str, Any] = field(default_factory=dict)


ChannelMaker = Callable[[str, Mapping[str, Any]], Channel]
"""Returns the channel of a target, given its name and its settings as plain values; secrets are hidden."""
