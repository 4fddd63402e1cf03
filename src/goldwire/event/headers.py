"""The headers that travel beside an event, see wire.md. They are made from the event alone, so a resend carries the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from goldwire.event.sealed import SealedEvent

ID_CHARACTERS_MAX = 128
"""The longest message id or session id that Service Bus takes, and the longest partition key of Event Hubs."""

KeyPart = Literal["entityId", "entityType"]

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def message_id(event: SealedEvent, replay_id: str | None = None, *, suffix: str | None = None) -> str:
    """Return `{entityType}:{entityId}:{version}`, or a stable hash of it where that is longer than 128 characters.

    Args:
        event: the event.
        replay_id: names a deliberate replay; without it a broker's duplicate detection would swallow the message.
        suffix: distinguishes the target from others that send the same entities to the same destination.
    """
    found = short(f"{event.entity_type}:{event.entity_id}:{event.version}")
    if suffix is not None:
        found = short(f"{found}~t-{suffix}")  # never what a replay or the redrive of a broker's dead letter adds
    return found if replay_id is None else short(f"{found}~{replay_id}")


def partition_key(event: SealedEvent, parts: Sequence[KeyPart] = ("entityId",)) -> str:
    """Return what keeps an entity's events on one partition or in one session, hashed where longer than 128 characters.

    Args:
        event: the event.
        parts: what it is made of, joined by colons.
    """
    return short(":".join(event.entity_id if part == "entityId" else event.entity_type for part in parts))


def short(text: str) -> str:
    """Return a text of at most 128 characters as it is, a longer one as `sha256:` and hex."""
    return text if len(text) <= ID_CHARACTERS_MAX else "sha256:" + sha256(text.encode()).hexdigest()


def traceparent(event: SealedEvent, id_: str | None = None) -> str:
    """Return the W3C trace context of an event.

    A correlation id that is itself a traceparent gives the trace; any other gives a trace id by hash, so that everything that
    one request committed is one trace. The span is the message: its id is a hash of the message id.

    Args:
        event: the event.
        id_: its message id without a replay, if it is at hand.
    """
    head, tail = _trace_of(event.correlation_id)
    return head + sha256((id_ or message_id(event)).encode()).hexdigest()[:16] + tail


@lru_cache(1_024)
def _trace_of(correlation_id: str) -> tuple[str, str]:
    """Return the text before and the text after the span id, kept because one request commits many changes."""
    if _TRACEPARENT.fullmatch(correlation_id):
        return correlation_id[:36], correlation_id[-3:]
    return f"00-{sha256(correlation_id.encode()).hexdigest()[:32]}-", "-01"


def headers(
    event: SealedEvent, *, replay_id: str | None = None, key_parts: Sequence[KeyPart] = ("entityId",)
) -> dict[str, str]:
    """Return the headers of an event by their name in wire.md; the result leaves out what an event does not have.

    Args:
        event: the event.
        replay_id: names a deliberate replay.
        key_parts: what the partition key is made of.
    """
    found = {
        "messageId": message_id(event, replay_id),
        "correlationId": event.correlation_id,
        "contentType": "application/json",
        "subject": f"{event.entity_type}.{event.event_type}",
        "partitionKey": partition_key(event, key_parts),
        "traceparent": traceparent(event),
    }
    if event.classification:
        found["classification"] = event.classification
    if event.retention_days is not None:
        found["retention-days"] = str(event.retention_days)
    return found
