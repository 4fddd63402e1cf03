"""Every form of an AMQP body, and every section, crosses the emulator as it was sent."""

import pytest
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType, AmqpMessageHeader, AmqpMessageProperties

PATIENCE_SECONDS = 60


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ({"data_body": [b"one", b"two"]}, AmqpMessageBodyType.DATA, [b"one", b"two"]),
        ({"value_body": {"a": 1, "b": [None, True]}}, AmqpMessageBodyType.VALUE, {b"a": 1, b"b": [None, True]}),
        ({"sequence_body": [[1, "x"], [2]]}, AmqpMessageBodyType.SEQUENCE, [[1, b"x"], [2]]),
    ],
)
def test_an_annotated_message_keeps_its_body_and_its_sections(bus, body, kind, expected):
    sent = AmqpAnnotatedMessage(
        **body,
        header=AmqpMessageHeader(priority=7, durable=True),
        properties=AmqpMessageProperties(message_id="m", user_id=b"u", content_encoding="gzip", group_sequence=3),
        annotations={"x-mine": "kept"},
        application_properties={"p": "v"},
        footer={"f": "kept"},
    )
    with bus.client() as client, client.get_queue_sender("plain") as sender, client.get_queue_receiver("plain") as receiver:
        sender.send_messages(sent)
        (got,) = receiver.receive_messages(1, PATIENCE_SECONDS)
        receiver.dead_letter_message(got, reason="bad")  # which edits the application properties
        with client.get_queue_receiver("plain", sub_queue="deadletter") as dead_letters:
            (dead,) = dead_letters.receive_messages(1, PATIENCE_SECONDS)
    for each in (got.raw_amqp_message, dead.raw_amqp_message):
        assert each.body_type == kind
        assert (list(each.body) if kind != AmqpMessageBodyType.VALUE else each.body) == expected
        assert (each.header.priority, each.header.durable) == (7, True)
        assert (each.properties.message_id, each.properties.user_id) == (b"m", b"u")
        assert (each.properties.content_encoding, each.properties.group_sequence) == (b"gzip", 3)
        assert each.annotations[b"x-mine"] == b"kept"
        assert each.application_properties[b"p"] == b"v"
        assert each.footer == {b"f": b"kept"}
    assert dead.application_properties[b"DeadLetterReason"] == b"bad"
