"""A Service Bus message as the broker sees it: what it routes and times by; the encoded message itself stays sealed."""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from uuid import UUID

import msgspec

SYSTEM_PROPERTIES = {
    "contenttype": "content_type",
    "correlationid": "correlation_id",
    "label": "label",
    "messageid": "message_id",
    "partitionkey": "partition_key",
    "replyto": "reply_to",
    "replytosessionid": "reply_to_session_id",
    "sessionid": "session_id",
    "subject": "label",
    "to": "to",
}
"""The system properties that rules may name (`sys.MessageId`), in lower case, and what they are called here."""


class MessageState(IntEnum):
    """Where a message is in its life; the numbers are those of the annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class Edits(msgspec.Struct, frozen=True):
    """What was changed on a message since it was sent: by rule actions, by receivers, by dead-lettering.

    Attributes:
        system: new values by the names of `SYSTEM_PROPERTIES`; None: removed.
        application: new values of application properties.
        removed: application properties that are gone.
    """

    system: dict[str, Any] = {}
    application: dict[str, Any] = {}
    removed: tuple[str, ...] = ()

    def then(self, later: Edits) -> Edits:
        """Both, one after the other."""
        application = {name: value for name, value in self.application.items() if name not in later.removed}
        removed = {*self.removed, *later.removed} - set(later.application)
        return Edits({**self.system, **later.system}, {**application, **later.application}, tuple(sorted(removed)))

    def __bool__(self) -> bool:
        return bool(self.system or self.application or self.removed)


class NewMessage(msgspec.Struct, frozen=True):
    """A message on its way in.

    Attributes:
        payload: the encoded AMQP message exactly as it was sent.
        system: its system properties, by the names of `SYSTEM_PROPERTIES`; absent ones are left out.
        application: its application properties; values that rules can compare (text, numbers, booleans).
        time_to_live_ms: how long it wants to live; None: as long as the entity lets it.
        due_at_ms: not before this time; None: now.
        edits: what was changed on its way through other entities; `system` and `application` already show it.
        dead_letter_source: the entity that dead-lettered it before it was forwarded.
        origin_sequence: its sequence number in the first entity it came to.
    """

    payload: bytes
    system: dict[str, Any] = {}
    application: dict[str, Any] = {}
    time_to_live_ms: int | None = None
    due_at_ms: int | None = None
    edits: Edits = Edits()
    dead_letter_source: str | None = None
    origin_sequence: int | None = None

    @property
    def message_id(self) -> str | None:
        """Its id, as text."""
        value = self.system.get("message_id")
        return None if value is None else str(value)

    @property
    def session_id(self) -> str | None:
        """The session it belongs to."""
        value = self.system.get("session_id")
        return None if value is None else str(value)

    def edited(self, edits: Edits) -> NewMessage:
        """The same message with something changed."""
        if not edits:
            return self
        system = {name: value for name, value in {**self.system, **edits.system}.items() if value is not None}
        kept = {name: value for name, value in self.application.items() if name not in edits.removed}
        return msgspec.structs.replace(
            self, system=system, application={**kept, **edits.application}, edits=self.edits.then(edits)
        )


class StoredMessage(msgspec.Struct, frozen=True):
    """A message on its way out.

    Attributes:
        sequence_number: its number in its entity.
        origin_sequence_number: its number in the entity it was first sent to, such as the topic.
        state: active, deferred or scheduled.
        session_id: where the entity has sessions.
        enqueued_at_ms: when it was accepted, or when it fell due.
        due_at_ms: of a scheduled message.
        expires_at_ms: when its life ends; None: never.
        time_to_live_ms: the life that it has here; None: without end.
        delivery_count: how many deliveries ended without success.
        lock_token: names the lock; None if it was only looked at, or is deleted by receiving it.
        locked_until_ms: when the lock ends.
        dead_letter_source: the entity that dead-lettered it, if it was forwarded since.
        payload: as it was sent.
        edits: what was changed since.
    """

    sequence_number: int
    origin_sequence_number: int
    state: MessageState
    session_id: str | None
    enqueued_at_ms: int
    due_at_ms: int | None
    expires_at_ms: int | None
    time_to_live_ms: int | None
    delivery_count: int
    lock_token: UUID | None
    locked_until_ms: int | None
    dead_letter_source: str | None
    payload: bytes
    edits: Edits
