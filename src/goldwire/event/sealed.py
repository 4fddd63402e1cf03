"""A sealed event: the bytes a consumer receives, and what the relay and a target need to know about them."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

SPEC_VERSION: Final = "cluedin-1.0"


class SealedEvent(Struct, gc=False, frozen=True):
    """One event as one target receives it. Sealing the same change again gives the same bytes."""

    entity_type: str
    entity_id: str
    version: int
    deleted: bool
    """EntityDeleted, or else EntityChanged."""
    reason: str | None
    """`deleted`, `merged`, `erased` or `deselected`; only when `deleted`."""
    body: bytes
    """The event as canonical JSON, `hash` included."""
    hash: bytes
    """32 bytes; the wire's `hash` is `sha256:` and their hex."""
    previous_hash: bytes | None
    base_version: int | None
    """The version a delta was made against; None when sent in full."""
    timestamp: str
    correlation_id: str
    classification: str
    """Tags of what the event really carries, sorted, joined by commas."""
    retention_days: int | None
    """The shortest retention among those tags."""

    def __repr__(self) -> str:
        return f"SealedEvent({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What a log may show: which event it is, never its body."""
        shown = ("event_type", "entity_type", "entity_id", "version")
        return [*((name, getattr(self, name)) for name in shown), ("bytes", len(self.body))]

    @property
    def event_type(self) -> Literal["EntityChanged", "EntityDeleted"]:
        """The wire's `eventType`."""
        return "EntityDeleted" if self.deleted else "EntityChanged"

    @property
    def presence(self) -> Literal["in", "gone"]:
        """What the control row holds once this event is settled."""
        return "gone" if self.deleted else "in"
