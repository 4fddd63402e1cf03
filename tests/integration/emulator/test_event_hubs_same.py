"""What must hold on the emulator and in Azure alike: run against a real hub where GOLDWIRE_TEST_EVENTHUB names one.

Nothing is deleted there; every run has keys of its own and reads only what came since it began.
"""

import os
import threading
import uuid

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import AuthenticationError, ConnectError, EventHubError

from goldwire_emulator.broker.partition_hash import partition_of

PATIENCE_SECONDS = 120
REAL = os.environ.get("GOLDWIRE_TEST_EVENTHUB", "")


class Place:
    """A hub somewhere, as it was when the test began."""

    def __init__(self, string):
        self.string = string
        self.mark = uuid.uuid4().hex
        with self.consumer() as client:
            self.partitions = client.get_partition_ids()
            self.begin = {name: client.get_partition_properties(name)["last_enqueued_offset"] for name in self.partitions}

    def consumer(self, **settings):
        return EventHubConsumerClient.from_connection_string(self.string, "$Default", **settings)

    def producer(self, **settings):
        return EventHubProducerClient.from_connection_string(self.string, **settings)

    def of_this_run(self, count, **settings):
        """Receive the events of this run until there are enough."""
        found, enough, errors = [], threading.Event(), []

        def on_event_batch(context, events):
            found.extend(
                (context.partition_id, event) for event in events if event.properties.get(b"mark") == self.mark.encode()
            )
            if len(found) >= count:
                enough.set()

        client = self.consumer()
        given = {"starting_position": self.begin, "max_wait_time": 0.2, "on_error": lambda _, error: errors.append(error)}
        worker = threading.Thread(target=client.receive_batch, kwargs={"on_event_batch": on_event_batch, **given, **settings})
        worker.start()
        reached = enough.wait(PATIENCE_SECONDS)
        client.close()
        worker.join(PATIENCE_SECONDS)
        assert reached, (len(found), errors)
        return found

    def event(self, text):
        event = EventData(text)
        event.properties = {"mark": self.mark}
        return event


@pytest.fixture(
    params=[
        "emulator",
        pytest.param(
            "azure",
            marks=[pytest.mark.optional, pytest.mark.skipif(not REAL, reason="GOLDWIRE_TEST_EVENTHUB names no real hub")],
        ),
    ]
)
def namespace(request):
    if request.param == "azure":
        return Place(REAL)
    return Place(request.getfixturevalue("peer").connection_string("orders"))


def test_a_key_goes_where_our_hash_says_in_the_order_sent(namespace):
    keys = [f"{namespace.mark}:{name}" for name in ("a", "bb", "ccc", "entity:7f2a", "é", "x" * 100)]
    with namespace.producer() as producer:
        for key in keys:
            for number in range(3):
                batch = producer.create_batch(partition_key=key)
                batch.add(namespace.event(f"{number}"))
                producer.send_batch(batch)
    found = namespace.of_this_run(3 * len(keys))
    for key in keys:
        of_key = [(partition, event) for partition, event in found if event.partition_key == key.encode()]
        assert [event.body_as_str() for _, event in of_key] == ["0", "1", "2"]
        assert {partition for partition, _ in of_key} == {namespace.partitions[partition_of(key, len(namespace.partitions))]}


def test_a_batch_has_adjacent_sequence_numbers_and_rising_offsets(namespace):
    with namespace.producer() as producer:
        batch = producer.create_batch(partition_id=namespace.partitions[0])
        for number in range(50):
            batch.add(namespace.event(f"{number}"))
        producer.send_batch(batch)
    found = [event for _, event in namespace.of_this_run(50, partition_id=namespace.partitions[0])]
    assert [event.body_as_str() for event in found] == [f"{number}" for number in range(50)]
    first = found[0].sequence_number
    assert [event.sequence_number for event in found] == list(range(first, first + 50))
    times = [event.enqueued_time for event in found]
    assert times == sorted(times)


def test_a_key_that_is_wrong_is_refused(namespace):
    fields = dict(part.split("=", 1) for part in namespace.string.split(";"))
    wrong = ";".join(f"{name}={'d3Jvbmc=' if name == 'SharedAccessKey' else value}" for name, value in fields.items())
    with EventHubProducerClient.from_connection_string(wrong, retry_total=0) as producer, pytest.raises(AuthenticationError):
        producer.send_event(EventData("x"))


def test_what_is_not_there_is_refused(namespace):
    with namespace.producer(retry_total=0) as producer, pytest.raises(EventHubError):
        producer.send_event(EventData("x"), partition_id="4711")
    with namespace.consumer(retry_total=0) as consumer, pytest.raises(ConnectError):
        consumer.get_partition_properties("4711")


def test_a_link_tells_how_large_a_batch_may_be(namespace):
    with namespace.producer() as producer:
        batch = producer.create_batch()
        assert batch.max_size_in_bytes >= 256 * 1024
        with pytest.raises(ValueError, match="size limit"):
            batch.add(EventData(bytes(batch.max_size_in_bytes)))
