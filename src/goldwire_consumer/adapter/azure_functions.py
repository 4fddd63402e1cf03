"""Turns what an Azure Function is triggered with into messages for a consumer.

The Functions host keeps the checkpoint and settles the messages: when the function returns, they count as done; when it raises,
they come again, if the function has a retry policy (Event Hubs) or deliveries left (Service Bus).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goldwire_consumer.message import Message, wire_headers

if TYPE_CHECKING:
    from azure.functions import EventHubEvent, ServiceBusMessage


def event_hub_messages(events: Sequence[EventHubEvent]) -> list[Message]:
    """Return the events of one invocation, in order; the host gives events of one partition only.

    Args:
        events: of a trigger with cardinality `many`.
    """
    metadata = events[0].metadata if events else None
    system = _array(metadata, "SystemPropertiesArray", len(events))
    application = _array(metadata, "PropertiesArray", len(events))
    return [
        Message(
            body=event.get_body(),
            headers=wire_headers(application[index], system[index]),
            source=f"sequence number {event.sequence_number}",
        )
        for index, event in enumerate(events)
    ]


def service_bus_message(received: ServiceBusMessage) -> Message:
    """Return the message of one invocation.

    Args:
        received: of a trigger with cardinality `one`.
    """
    names = {
        "messageId": received.message_id,
        "correlationId": received.correlation_id,
        "contentType": received.content_type,
        "subject": received.subject,
    }
    return Message(
        body=received.get_body(),
        headers=wire_headers(received.application_properties, names),
        source=f"sequence number {received.sequence_number}",
    )


def _array(metadata: Mapping[str, Any] | None, name: str, count: int) -> list[Mapping[str, Any]]:
    """One entry for each event from the metadata that all of them share; empty ones where the host gave none."""
    found = (metadata or {}).get(name)
    if isinstance(found, str):
        found = json.loads(found)
    if not isinstance(found, list) or len(found) != count:
        return [{}] * count
    return [entry if isinstance(entry, Mapping) else {} for entry in found]
