"""What is sent again for a dead letter of Service Bus."""

from __future__ import annotations

import azure.servicebus
import pytest
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus._pyamqp.message import Header, Message, Properties

from goldwire.targets.azure.service_bus.redrive import sent_again


@pytest.mark.parametrize(("said", "again"), [(b"Customer:a:1", "Customer:a:1~d7"), ("m", "m~d7"), (None, "~d7")])
def test_its_id_tells_which_dead_letter_it_was_also_where_it_had_none(said: object, again: str) -> None:
    made = sent_again(azure.servicebus, dead_letter(said))
    assert made is not None
    assert made.message_id == again


def dead_letter(message_id: object) -> ServiceBusReceivedMessage:
    """As the SDK gives it, number 7."""
    raw = Message(
        data=[b"body"],
        header=Header(delivery_count=1),
        properties=Properties(message_id=message_id),
        message_annotations={b"x-opt-sequence-number": 7},
    )
    return ServiceBusReceivedMessage(raw, receiver=None)
