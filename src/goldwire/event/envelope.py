"""The event as a reader sees it: a checked struct of all members except those that a contract shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Hash = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class _Content(Struct, frozen=True):
    """A struct that holds content of a record and does not show it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class AttributeChange(_Content, frozen=True):
    """One attribute of `changes`."""

    value: Any
    provenance: str
    confidence: Annotated[float, Meta(ge=0, le=1)]
    lastSeen: str  # noqa: N815 - the wire's name


class EdgeChange(_Content, frozen=True):
    """One edge of `changes`."""

    rel: str
    to: dict[str, Any]
    op: Literal["added", "removed"] = "added"


class Changes(_Content, frozen=True):
    """What an EntityChanged carries."""

    attributes: dict[str, AttributeChange]
    edges: list[EdgeChange] = []


class EventExternalId(_Content, frozen=True):
    """How one system knows the entity."""

    system: str
    id: str


class Header(Struct, frozen=True):
    """The members of an event that order and chain need; cheap to decode."""

    entityId: str  # noqa: N815 - the wire's names, here and below
    version: Annotated[int, Meta(ge=1)]
    hash: Hash
    previousHash: Hash | None  # noqa: N815
    eventType: Literal["EntityChanged", "EntityDeleted"]  # noqa: N815
    specVersion: Literal["cluedin-1.0"]  # noqa: N815


class Event(Header, frozen=True, kw_only=True):
    """A whole event."""

    entityType: str  # noqa: N815
    timestamp: str
    externalIds: list[EventExternalId]  # noqa: N815
    payload: Literal["delta", "full"]
    changes: Changes | UnsetType = UNSET
    reason: Literal["deleted", "merged", "erased", "deselected"] | UnsetType = UNSET
    mergedInto: str | UnsetType = UNSET  # noqa: N815


read_header = msgspec.json.Decoder(Header).decode
"""Bytes to `Header`; raises msgspec.DecodeError (or its ValidationError)."""

read_event = msgspec.json.Decoder(Event).decode
"""Bytes to `Event`; raises msgspec.DecodeError (or its ValidationError)."""

members = msgspec.json.Decoder(dict[str, Raw]).decode
"""Decodes bytes to the members of an event as they are written."""
