"""What must hold on the emulator and in Azure alike: run against a real queue where GOLDWIRE_TEST_SERVICEBUS names one.

The string names the queue in EntityPath; it has no sessions and no duplicate detection, and nothing else uses it meanwhile.
What a test sends it receives; its dead letters too.
"""

import os
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageState, ServiceBusSubQueue
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusAuthenticationError,
)

PATIENCE_SECONDS = 60
REAL = os.environ.get("GOLDWIRE_TEST_SERVICEBUS", "")
NOBODY_GOT_IT = 20


class Place:
    """A queue somewhere, and one client."""

    def __init__(self, string):
        self.string = string
        self.queue = dict(part.split("=", 1) for part in string.strip(";").split(";"))["EntityPath"]
        self.mark = uuid.uuid4().hex
        self.soon_seconds = 5 if string == REAL else 1

    def client(self):
        return ServiceBusClient.from_connection_string(self.string, retry_total=0)

    def send(self, client, *texts):
        with client.get_queue_sender(self.queue) as sender:
            sender.send_messages([self.message(text) for text in texts])

    def message(self, text):
        return ServiceBusMessage(text, message_id=f"{self.mark}:{text}", application_properties={"mark": self.mark})

    def receive(self, receiver, *texts):
        """These messages of this run, in their order; what another run left is completed."""
        found = {}
        for _ in range(NOBODY_GOT_IT):
            for each in receiver.receive_messages(len(texts), PATIENCE_SECONDS):
                if (each.application_properties or {}).get(b"mark") == self.mark.encode():
                    found[str(each)] = each
                else:
                    receiver.complete_message(each)
            if set(texts) <= set(found):
                return [found[text] for text in texts]
        raise AssertionError(f"only {sorted(found)} came")


@pytest.fixture(
    params=[
        "emulator",
        pytest.param(
            "azure",
            marks=[pytest.mark.optional, pytest.mark.skipif(not REAL, reason="GOLDWIRE_TEST_SERVICEBUS names no real queue")],
        ),
    ]
)
def namespace(request):
    if request.param == "azure":
        return Place(REAL)
    peer = request.getfixturevalue("start")(request.getfixturevalue("entities"))
    return Place(peer.connection_string("plain"))


def test_every_settlement_does_what_it_says(namespace):
    with namespace.client() as client, client.get_queue_receiver(namespace.queue) as receiver:
        namespace.send(client, "complete", "abandon", "defer", "dead")
        complete, abandon, defer, dead = namespace.receive(receiver, "complete", "abandon", "defer", "dead")
        assert [each.delivery_count for each in (complete, abandon, defer, dead)] == [0, 0, 0, 0]
        assert complete.sequence_number < abandon.sequence_number < defer.sequence_number < dead.sequence_number
        receiver.complete_message(complete)
        receiver.abandon_message(abandon)
        receiver.defer_message(defer)
        receiver.dead_letter_message(dead, reason="bad", error_description="very")
        with pytest.raises(MessageAlreadySettled):
            receiver.complete_message(complete)
        (again,) = namespace.receive(receiver, "abandon")
        assert again.delivery_count == 1
        receiver.complete_message(again)
        (deferred,) = receiver.receive_deferred_messages(defer.sequence_number)
        receiver.complete_message(deferred)
        with pytest.raises(MessageNotFoundError):
            receiver.receive_deferred_messages(defer.sequence_number)
        with client.get_queue_receiver(namespace.queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead_letters:
            (buried,) = namespace.receive(dead_letters, "dead")
            assert (buried.dead_letter_reason, buried.dead_letter_error_description) == ("bad", "very")
            dead_letters.complete_message(buried)


def test_a_lock_is_renewed(namespace):
    with namespace.client() as client:
        namespace.send(client, "a")
        with client.get_queue_receiver(namespace.queue) as receiver:
            (got,) = namespace.receive(receiver, "a")
            before = got.locked_until_utc
            assert receiver.renew_message_lock(got) > before
            receiver.complete_message(got)


def test_a_scheduled_message_can_be_seen_and_cancelled(namespace):
    with (
        namespace.client() as client,
        client.get_queue_sender(namespace.queue) as sender,
        client.get_queue_receiver(namespace.queue) as receiver,
    ):
        soon = datetime.now(UTC) + timedelta(seconds=namespace.soon_seconds)
        later = datetime.now(UTC) + timedelta(hours=1)
        (number,) = sender.schedule_messages(namespace.message("never"), later)
        sender.schedule_messages(namespace.message("soon"), soon)
        (peeked,) = receiver.peek_messages(1, sequence_number=number)
        assert (peeked.sequence_number, peeked.state) == (number, ServiceBusMessageState.SCHEDULED)
        sender.cancel_scheduled_messages(number)
        with pytest.raises(MessageNotFoundError):
            sender.cancel_scheduled_messages(number)
        (got,) = namespace.receive(receiver, "soon")
        assert got.enqueued_time_utc >= soon - timedelta(seconds=1)
        receiver.complete_message(got)


def test_a_message_that_is_too_large_is_refused(namespace):
    with namespace.client() as client, client.get_queue_sender(namespace.queue) as sender:
        limit = sender.create_message_batch().max_size_in_bytes
        with pytest.raises(MessageSizeExceededError):
            sender.send_messages(ServiceBusMessage(bytes(limit + 1000)))


def test_a_key_that_is_wrong_is_refused(namespace):
    fields = dict(part.split("=", 1) for part in namespace.string.strip(";").split(";"))
    wrong = ";".join(f"{name}={'d3Jvbmc=' if name == 'SharedAccessKey' else value}" for name, value in fields.items())
    with (
        ServiceBusClient.from_connection_string(wrong, retry_total=0) as client,
        pytest.raises(ServiceBusAuthenticationError),
    ):
        client.get_queue_sender(namespace.queue).send_messages(ServiceBusMessage("x"))
