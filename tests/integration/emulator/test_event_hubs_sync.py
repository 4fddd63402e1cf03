"""The real azure-eventhub, synchronous, against the emulator."""

import re
import threading
import uuid

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.amqp import AmqpAnnotatedMessage, AmqpMessageHeader, AmqpMessageProperties
from azure.eventhub.exceptions import AuthenticationError, ConnectError, EventDataSendError, EventHubError

from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.broker.partition_hash import partition_of
from goldwire_emulator.emulator import ROOT

PATIENCE_SECONDS = 60


def producer(peer, hub="orders", *, policy=None, **settings):
    return EventHubProducerClient.from_connection_string(peer.connection_string(hub, policy=policy), **settings)


def consumer(peer, hub="orders", group="$Default", *, policy=None, **settings):
    return EventHubConsumerClient.from_connection_string(peer.connection_string(hub, policy=policy), group, **settings)


class Receiving:
    """A consumer client at work in a thread."""

    def __init__(self, client, **settings):
        self.client, self.found, self.errors = client, [], []
        self.changed = threading.Condition()
        given = {"starting_position": "-1", "max_wait_time": 0.1} | settings
        given |= {"on_event_batch": self._on_events, "on_error": self._on_error}
        self.worker = threading.Thread(target=client.receive_batch, kwargs=given)
        self.worker.start()

    def _on_events(self, context, events):
        with self.changed:
            self.context = context
            self.found += [(context.partition_id, event) for event in events]
            self.changed.notify_all()

    def _on_error(self, _, error):
        with self.changed:
            self.errors.append(error)
            self.changed.notify_all()

    def wait_for(self, count):
        with self.changed:
            reached = self.changed.wait_for(lambda: len(self.found) >= count or self.errors, PATIENCE_SECONDS)
            assert reached, f"{len(self.found)} of {count} came"
            assert not self.errors
            return list(self.found)

    def partitions(self):
        with self.changed:
            return {partition for partition, _ in self.found}

    def wait_for_change(self):
        with self.changed:
            self.changed.wait(1)

    def wait_for_error(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.errors, PATIENCE_SECONDS)
            return self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.worker.join(PATIENCE_SECONDS)
        assert not self.worker.is_alive()


def collect(client, count, **settings):
    """Receive events until there are enough, from the beginning unless the arguments say otherwise."""
    with Receiving(client, **settings) as receiving:
        return receiving.wait_for(count)


def send(peer, texts, hub="single", **where):
    with producer(peer, hub) as sender:
        sender.send_batch([EventData(text) for text in texts], **where)


def texts(found):
    return [event.body_as_str() for _, event in found]


def test_what_one_client_sends_another_receives(peer):
    with producer(peer) as sender:
        batch = sender.create_batch()
        for number in range(10):
            batch.add(EventData(f"event {number}"))
        sender.send_batch(batch)
    found = collect(consumer(peer), 10)
    assert texts(found) == [f"event {number}" for number in range(10)]
    assert [event.sequence_number for _, event in found] == list(range(10))


def test_tls_carries_the_same(start, certificates):
    peer = start(tls=certificates.context)
    settings = {"custom_endpoint_address": peer.emulator.endpoint, "connection_verify": certificates.file}
    with producer(peer, "single", **settings) as sender:
        sender.send_batch([EventData(f"{number}") for number in range(100)])
        assert sender.get_partition_ids() == ["0"]
    assert texts(collect(consumer(peer, "single", **settings), 100)) == [f"{number}" for number in range(100)]


def test_a_key_keeps_to_the_partition_of_the_services_hash_and_stays_on_the_event(peer):
    keys = [f"customer:{number}" for number in range(12)]
    with producer(peer) as sender:
        for key in keys:
            batch = sender.create_batch(partition_key=key)
            batch.add(EventData(f"{key} 1"))
            batch.add(EventData(f"{key} 2"))
            sender.send_batch(batch)
            sender.send_event(EventData(f"{key} 3"), partition_key=key)
    found = collect(consumer(peer), 36)
    for key in keys:
        of_key = [(partition, event) for partition, event in found if event.partition_key == key.encode()]
        assert texts(of_key) == [f"{key} {number}" for number in (1, 2, 3)]
        assert {partition for partition, _ in of_key} == {str(partition_of(key, 4))}


def test_a_batch_for_a_partition_goes_there_with_its_keys_kept(peer):
    with producer(peer) as sender:
        batch = sender.create_batch(partition_id="2")
        for key in ("a", "b"):
            message = AmqpAnnotatedMessage(data_body=key.encode(), annotations={"x-opt-partition-key": key})
            batch.add(message)
        sender.send_batch(batch)
    found = collect(consumer(peer), 2)
    assert [(partition, event.partition_key) for partition, event in found] == [("2", b"a"), ("2", b"b")]


def test_events_without_key_take_turns_over_the_partitions(peer):
    with producer(peer) as sender:
        for number in range(8):
            sender.send_event(EventData(f"{number}"))
    found = collect(consumer(peer), 8)
    assert sorted(partition for partition, _ in found) == sorted("01230123")


def test_all_of_a_message_comes_through(peer):
    identity = uuid.uuid4()
    sent = AmqpAnnotatedMessage(
        data_body=[b"first ", b"second"],
        header=AmqpMessageHeader(durable=True, priority=7),
        properties=AmqpMessageProperties(
            message_id="Customer:1:7", correlation_id="run", content_type="application/json", subject="Customer.EntityChanged"
        ),
        application_properties={
            "text": "é",
            "whole": 2**30,
            "part": 0.5,
            "flag": True,
            "none": None,
            "bytes": b"\0\1",
            "id": identity,
        },
        annotations={"x-opt-own": "mine"},
    )
    with producer(peer, "single") as sender:
        sender.send_event(sent)
    ((_, event),) = collect(consumer(peer, "single"), 1)
    assert b"".join(event.body) == b"first second"
    assert (event.message_id, event.correlation_id, event.content_type) == ("Customer:1:7", "run", "application/json")
    assert event.raw_amqp_message.properties.subject == b"Customer.EntityChanged"
    assert event.raw_amqp_message.header.priority == 7
    assert event.properties == {
        b"text": "é".encode(), b"whole": 2**30, b"part": 0.5, b"flag": True, b"none": None, b"bytes": b"\0\1", b"id": identity,
    }  # fmt: skip
    assert event.raw_amqp_message.annotations[b"x-opt-own"] == b"mine"
    assert isinstance(event.offset, str)
    assert event.enqueued_time.tzinfo is not None


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("by", ["offset", "sequence number", "time"])
def test_a_consumer_begins_where_it_says(peer, by, inclusive):
    with producer(peer, "single") as sender:
        for number in range(5):
            sender.send_event(EventData(f"event {number}"))
            threading.Event().wait(0.002)  # times have milliseconds: that of the last must not be that of the third
    known = collect(consumer(peer, "single"), 5)
    third = known[2][1]
    position = {"offset": third.offset, "sequence number": third.sequence_number, "time": third.enqueued_time}[by]
    found = collect(
        consumer(peer, "single"), 1, partition_id="0", starting_position=position, starting_position_inclusive=inclusive
    )
    # Two events may still have the same time, but not the same number; and the offset rises with the number.
    value_of = {event: event.enqueued_time if by == "time" else event.sequence_number for _, event in known}
    wanted = [
        event.body_as_str()
        for event in value_of
        if value_of[event] > value_of[third] or (inclusive and value_of[event] == value_of[third])
    ]
    assert texts(found)[: len(wanted)] == wanted[: len(found)]
    assert found


def test_a_consumer_at_the_latest_sees_only_what_comes_then(peer):
    send(peer, ["before"])
    with Receiving(consumer(peer, "single"), starting_position="@latest") as receiving:
        with producer(peer, "single") as sender:
            number = 0
            while not receiving.found:  # sent until the receiver is there, whenever that is
                sender.send_event(EventData(f"after {number}"))
                number += 1
        assert "before" not in texts(receiving.wait_for(1))


def test_consumer_groups_read_for_themselves(peer):
    send(peer, ["one"], "orders")
    assert texts(collect(consumer(peer), 1)) == ["one"]
    assert texts(collect(consumer(peer, group="audit"), 1)) == ["one"]


def test_a_group_or_hub_or_partition_that_is_not_there_is_refused(peer):
    with Receiving(consumer(peer, group="nobody", retry_total=0), partition_id="0") as receiving:
        assert "not-found" in str(receiving.wait_for_error())
    with producer(peer, "nothing", retry_total=0) as sender, pytest.raises(EventHubError, match="nothing"):
        sender.send_event(EventData("x"))
    with producer(peer, retry_total=0) as sender, pytest.raises(EventHubError, match="partition"):
        sender.send_event(EventData("x"), partition_id="9")


def test_the_buffered_producer_delivers_all_in_order_by_key(peer):
    done, failed = [], []
    sender = producer(
        peer,
        buffered_mode=True,
        max_wait_time=1,
        on_success=lambda events, partition: done.extend((partition, event) for event in events),
        on_error=lambda _, __, error: failed.append(error),
    )
    with sender:
        for number in range(400):
            sender.send_event(EventData(f"{number}"), partition_key=f"key {number % 10}")
        sender.flush(timeout=PATIENCE_SECONDS)
    assert not failed
    assert len(done) == 400
    found = collect(consumer(peer), 400)
    for key in range(10):
        of_key = [int(event.body_as_str()) for _, event in found if event.partition_key == f"key {key}".encode()]
        assert of_key == list(range(key, 400, 10))


def test_properties_tell_of_the_hub_and_its_partitions(peer):
    send(peer, ["a", "b"], "orders", partition_id="1")
    with consumer(peer) as client:
        hub = client.get_eventhub_properties()
        assert (hub["eventhub_name"], hub["partition_ids"]) == ("orders", ["0", "1", "2", "3"])
        assert hub["created_at"].year > 2000
        full, empty = client.get_partition_properties("1"), client.get_partition_properties("0")
    assert (full["id"], full["beginning_sequence_number"], full["last_enqueued_sequence_number"]) == ("1", 0, 1)
    assert full["is_empty"] is False
    assert full["last_enqueued_time_utc"].year > 2000
    assert (empty["is_empty"], empty["last_enqueued_sequence_number"]) == (True, -1)


def test_properties_of_what_is_not_there_say_so(peer):
    with consumer(peer, "nothing", retry_total=0) as client, pytest.raises(ConnectError, match="nothing"):
        client.get_eventhub_properties()
    with consumer(peer, retry_total=0) as client, pytest.raises(ConnectError, match="partition '9'"):
        client.get_partition_properties("9")


def test_a_higher_epoch_takes_the_partition_and_a_lower_one_is_refused(peer):
    send(peer, ["one"])
    with Receiving(consumer(peer, "single", retry_total=0), partition_id="0", owner_level=1) as first:
        first.wait_for(1)
        with Receiving(consumer(peer, "single"), partition_id="0", owner_level=2) as second:
            second.wait_for(1)
            assert "link:stolen" in str(first.wait_for_error())
            with Receiving(consumer(peer, "single", retry_total=0), partition_id="0", owner_level=1) as third:
                assert "link:stolen" in str(third.wait_for_error())
            with Receiving(consumer(peer, "single", retry_total=0), partition_id="0") as fourth:
                assert "link:stolen" in str(fourth.wait_for_error())


def test_two_clients_share_a_partition_without_epoch(peer):
    send(peer, ["one"])
    with Receiving(consumer(peer, "single"), partition_id="0") as first:
        first.wait_for(1)
        assert texts(collect(consumer(peer, "single"), 1, partition_id="0")) == ["one"]


def test_runtime_metrics_tell_how_far_the_partition_is(peer):
    send(peer, ["a", "b", "c"])
    with Receiving(consumer(peer, "single"), partition_id="0", track_last_enqueued_event_properties=True) as receiving:
        receiving.wait_for(3)
    told = receiving.context.last_enqueued_event_properties
    assert (told["sequence_number"], told["offset"]) == (2, receiving.found[2][1].offset)
    assert told["enqueued_time"] <= told["retrieval_time"]


def test_a_large_event_crosses_in_many_frames_and_too_large_a_one_is_refused(peer):
    body = bytes(range(256)) * 4000
    with producer(peer, "single", retry_total=0) as sender:
        sender.send_event(EventData(body))
        with pytest.raises(EventHubError, match=r"exceeds|size"):
            sender.send_event(EventData(bytes(1_100_000)))
        batch = sender.create_batch()
        assert batch.max_size_in_bytes == 1024 * 1024
        with pytest.raises(ValueError, match="size limit"):
            batch.add(EventData(bytes(1_100_000)))
    ((_, event),) = collect(consumer(peer, "single"), 1)
    assert b"".join(event.body) == body


def test_thousands_of_events_come_through_the_windows_in_order(peer):
    with producer(peer, "single") as sender:
        for start in range(0, 8000, 500):
            sender.send_batch([EventData(f"{number}") for number in range(start, start + 500)])
    found = collect(consumer(peer, "single"), 8000)
    assert texts(found) == [f"{number}" for number in range(8000)]


def test_a_wrong_key_is_refused(peer):
    with producer(peer, policy=Policy(ROOT.name, "wrong"), retry_total=0) as sender, pytest.raises(AuthenticationError):
        sender.send_event(EventData("x"))
    with producer(peer, policy=Policy("nobody", ROOT.key), retry_total=0) as sender, pytest.raises(AuthenticationError):
        sender.send_event(EventData("x"))


@pytest.mark.parametrize(
    ("rights", "path", "may_send"),
    [({Right.SEND}, "", True), ({Right.LISTEN}, "", False), ({Right.SEND}, "single", True), ({Right.SEND}, "other", False)],
)
def test_a_policy_allows_what_its_rights_and_its_entity_say(start, rights, path, may_send):
    policy = Policy("app", "secret", frozenset(rights), path)
    peer = start(policies=(ROOT, policy))
    with producer(peer, "single", policy=policy, retry_total=0) as sender:
        if may_send:
            sender.send_event(EventData("x"))
        else:
            with pytest.raises(EventHubError, match=r"'Send' claim|another entity"):
                sender.send_event(EventData("x"))
    if Right.LISTEN not in rights:
        with Receiving(consumer(peer, "single", policy=policy, retry_total=0), partition_id="0") as receiving:
            assert re.search("'Listen' claim|another entity", str(receiving.wait_for_error()))


def test_throttling_refuses_until_it_is_switched_off(start):
    peer = start(limits=Limits(ingress_per_second=0.001))
    throttle = peer.emulator.broker.event_hubs.hub("single").throttle
    with producer(peer, "single") as sender:
        sender.send_event(EventData("0"))
        with pytest.raises(EventDataSendError, match="server-busy"):  # the SDK leaves it to its user to send again
            sender.send_event(EventData("1"))
        peer.call(setattr, throttle, "per_second", None)
        sender.send_event(EventData("1"))
    assert texts(collect(consumer(peer, "single"), 2)) == ["0", "1"]


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.usefixtures("collected")
def test_clients_come_back_when_connections_are_cut(peer):
    soon = {"retry_backoff_factor": 0.1}
    with Receiving(consumer(peer, "single", **soon), partition_id="0") as receiving, producer(peer, "single", **soon) as sender:
        for number in range(5):
            sender.send_event(EventData(f"{number}"))
            receiving.wait_for(number + 1)
            assert peer.call(peer.emulator.server.drop_connections) > 0
        sender.send_event(EventData("5"))
        while "5" not in texts(receiving.found):  # an event may come twice, when its acknowledgement was cut off
            receiving.wait_for(len(receiving.found) + 1)
    assert sorted(set(texts(receiving.found))) == [f"{number}" for number in range(6)]


def test_two_consumers_of_a_group_share_its_partitions_and_lose_nothing(peer):
    store = InMemoryCheckpointStore()
    settings = {"checkpoint_store": store, "load_balancing_interval": 0.3, "partition_ownership_expiration_interval": 5}
    sent = []

    def send_one(sender):
        sent.append(f"{len(sent)}")
        sender.send_event(EventData(sent[-1]))

    with producer(peer) as sender, Receiving(consumer(peer, **settings)) as first:
        while len(first.partitions()) < 4:
            send_one(sender)
        with Receiving(consumer(peer, **settings)) as second:
            while len(second.partitions()) < 2:  # it takes its share from the first, by epoch
                send_one(sender)
            while set(texts(first.found + second.found)) != set(sent):
                second.wait_for_change()
    assert not [error for error in first.errors if "stolen" not in str(error)]
