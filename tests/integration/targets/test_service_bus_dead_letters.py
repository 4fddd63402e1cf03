"""The broker's dead letters, listed and redriven through the real SDK against the emulator."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import azure.servicebus
import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError, GoldwireError
from goldwire.targets.azure.service_bus.dead_letters import BrokerDeadLetters
from goldwire.targets.azure.service_bus.redrive import sent_again
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.targets.base import Delivered, Item
from goldwire.testing.events import sealed
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import QueueSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.emulator import ROOT, Emulator
from support.emulator_stage import SEND_ONLY

CONFIG = BrokerConfig(
    queues=(
        QueueSettings(name="plain", duplicate_window_ms=600_000),
        QueueSettings(name="golden", requires_session=True, duplicate_window_ms=600_000),
        QueueSettings(name="undetected"),
    ),
    topics=(TopicSettings(name="changes", subscriptions=(SubscriptionSettings(name="all"),)),),
)


class Bus:
    """An emulator, and what a subscriber does to it."""

    def __init__(self, folder: Path) -> None:
        self.emulator = Emulator(CONFIG, folder, policies=(ROOT, SEND_ONLY))

    def settings(self, **entity):
        return ServiceBusSettings(connection_string=self.emulator.connection_string(), connect_timeout_seconds=30.0, **entity)

    async def send(self, events, **entity):
        target = ServiceBusTarget("bus", self.settings(**entity), SystemClock())
        await target.open()
        try:
            assert await target.send([Item(event) for event in events]) == [Delivered()] * len(events)
        finally:
            await target.close()

    async def give_up(self, queue, messages):
        """Put messages of any kind into a queue's dead-letter queue."""
        client = ServiceBusClient.from_connection_string(self.emulator.connection_string())
        async with client, client.get_queue_sender(queue) as sender:
            await sender.send_messages(messages)
        await self.take(len(messages), reason="down", queue=queue)

    async def held(self, queue):
        """Return what a queue holds."""
        client = ServiceBusClient.from_connection_string(self.emulator.connection_string())
        async with client, client.get_queue_receiver(queue) as receiver:
            return await receiver.peek_messages(max_message_count=250)

    async def take(self, count, *, reason=None, session=None, topic=False, dead=False, queue="plain"):
        """Receive so many; give them up with a reason, or digest them."""
        found = []
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead else None
        async with ServiceBusClient.from_connection_string(self.emulator.connection_string()) as client:
            receiver = (
                client.get_subscription_receiver("changes", "all", sub_queue=sub_queue)
                if topic
                else client.get_queue_receiver("golden" if session else queue, session_id=session, sub_queue=sub_queue)
            )
            async with receiver:
                while len(found) < count:
                    for message in await receiver.receive_messages(max_message_count=count, max_wait_time=30):
                        found.append(message)
                        if reason is None:
                            await receiver.complete_message(message)
                        else:
                            await receiver.dead_letter_message(message, reason=reason, error_description="holds a value")
        return found


def on_a_bus(work, folder):
    async def run():
        bus = Bus(folder)
        await bus.emulator.start()
        try:
            return await work(bus)
        finally:
            await bus.emulator.stop()

    return asyncio.run(run())


def body_of(message):
    return b"".join(message.body)


def test_what_a_subscriber_gave_up_is_listed_and_comes_back_as_it_was(tmp_path):
    events = [sealed("a", 1, {"name": "Zoë"}, classification="pii"), sealed("b", 1), sealed("a", 2)]

    async def work(bus):
        await bus.send(events, queue="plain", sessions=False)
        given_up = await bus.take(3, reason="cannot parse")
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        listed = await letters.look(100)
        assert [one.message_id for one in listed] == ["Customer:a:1", "Customer:b:1", "Customer:a:2"]
        assert {one.reason for one in listed} == {"cannot parse"}
        assert "holds a value" not in repr(listed)
        assert len(await letters.look(2)) == 2
        done = await letters.redrive([listed[0].sequence_number, listed[2].sequence_number, 999_999])
        assert (done.sent, done.left, done.missing) == (2, 1, [999_999])
        again = await bus.take(2)
        assert [body_of(message) for message in again] == [events[0].body, events[2].body]
        ids = [f"{one.message_id}~d{one.sequence_number}" for one in (listed[0], listed[2])]
        assert [message.message_id for message in again] == ids
        assert again[0].application_properties == {
            name: value for name, value in given_up[0].application_properties.items() if b"DeadLetter" not in name
        }
        assert (again[0].subject, again[0].correlation_id) == (given_up[0].subject, given_up[0].correlation_id)
        assert [one.message_id for one in await letters.look(100)] == ["Customer:b:1"]

    on_a_bus(work, tmp_path)


def test_all_that_the_sender_said_is_kept(tmp_path):
    past = datetime.now(UTC) - timedelta(minutes=1)
    said = {
        "message_id": "m", "correlation_id": "c", "content_type": "text/plain", "subject": "s", "partition_key": "p", "to": "t",
        "reply_to": "r", "reply_to_session_id": "rs", "time_to_live": timedelta(hours=1),
    }  # fmt: skip
    properties = {"text": "Zoë", "number": 7, "yes": True, "bytes": bytearray(b"\xff")}
    sent = ServiceBusMessage(b"body", application_properties=properties, scheduled_enqueue_time_utc=past, **said)
    sent.raw_amqp_message.properties.content_encoding = "gzip"
    sent.raw_amqp_message.header.time_to_live = 3_600_500

    async def work(bus):
        await bus.give_up("undetected", [sent, AmqpAnnotatedMessage(data_body=b"no id")])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)
        looked = await letters.look(10)
        numbers, given = [one.sequence_number for one in looked], looked[1].message_id
        assert given, "the broker gives a message without an id one"
        assert (await letters.redrive(None)).sent == 2
        first, second = await bus.take(2, queue="undetected")
        again = {name: getattr(first, name) for name in said}
        expected = {**said, "message_id": f"m~d{numbers[0]}", "time_to_live": timedelta(hours=1, milliseconds=500)}
        assert again == expected
        raw = first.raw_amqp_message.properties
        assert raw.content_encoding == b"gzip"
        assert raw.absolute_expiry_time - raw.creation_time == 3_600_500, "its life begins anew"
        assert first.application_properties == {
            b"text": "Zoë".encode(),
            b"number": 7,
            b"yes": True,
            b"bytes": bytearray(b"\xff"),
        }
        assert first.scheduled_enqueue_time_utc is None, "that time is over"
        assert (second.message_id, second.time_to_live) == (f"{given}~d{numbers[1]}", None)

    on_a_bus(work, tmp_path)


def test_locks_that_are_lost_between_the_two_steps_leave_no_second_copy(tmp_path):
    async def work(bus):
        await bus.give_up("undetected", [ServiceBusMessage(f"{number}") for number in range(5)])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)
        service_bus, loop = bus.emulator.broker.service_bus, asyncio.get_running_loop()
        stop = service_bus.queue("undetected").waiting.add(lambda: loop.call_soon(service_bus.lose_locks))
        done = await letters.redrive(None)
        stop()
        assert (done.sent, done.left, done.unsettled) == (5, 0, [])
        assert sorted(str(message) for message in await bus.held("undetected")) == ["0", "1", "2", "3", "4"]
        assert await letters.look(10) == []

    on_a_bus(work, tmp_path)


@pytest.mark.parametrize("by_number", [False, True])
def test_a_redrive_that_takes_longer_than_a_lock_sends_all_of_them_once(tmp_path, by_number):
    async def work(bus):
        await bus.give_up("undetected", [ServiceBusMessage(f"{number}") for number in range(100)])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)
        service_bus, loop = bus.emulator.broker.service_bus, asyncio.get_running_loop()
        arrived = count(1)

        def lose_now_and_then():
            if next(arrived) % 20 == 0:
                loop.call_soon(service_bus.lose_locks)

        stop = service_bus.queue("undetected").waiting.add(lose_now_and_then)
        numbers = [one.sequence_number for one in await letters.look(200)]
        chosen = set(numbers[1::2]) if by_number else None
        done = await letters.redrive(chosen)
        stop()
        assert next(arrived) > 20, "locks were lost on the way"
        assert (done.sent, done.missing, done.refused, done.unsettled) == (50 if by_number else 100, [], [], [])
        there = Counter(str(message) for message in await bus.held("undetected"))
        assert there == {f"{number}": 1 for number in (range(1, 100, 2) if by_number else range(100))}
        assert len(await letters.look(200)) == (50 if by_number else 0)

    on_a_bus(work, tmp_path)


def test_locks_that_never_last_end_the_redrive_with_the_fix(tmp_path):
    async def work(bus):
        await bus.give_up("undetected", [ServiceBusMessage("a"), ServiceBusMessage("b")])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)

        async def lose():
            while True:
                bus.emulator.broker.service_bus.lose_locks()
                await asyncio.sleep(0)

        losing = asyncio.ensure_future(lose())
        with pytest.raises(GoldwireError, match=r"2 were sent again; .* locks end too soon\. Lengthen LockDuration"):
            await letters.redrive(None)
        losing.cancel()
        assert len(await bus.held("undetected")) == 2, "each was sent once"

    on_a_bus(work, tmp_path)


def test_a_redrive_that_fails_half_way_says_how_many_went(tmp_path):
    async def work(bus):
        await bus.give_up("undetected", [ServiceBusMessage(f"{number}") for number in range(5)])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)
        queue = bus.emulator.broker.service_bus.queue("undetected")
        arrived = []

        def throttle():
            arrived.append(1)
            if len(arrived) == 2:
                bus.emulator.broker.throttle(0.000_1)

        stop = queue.waiting.add(throttle)
        with pytest.raises(GoldwireError, match=r"\d were sent again before; try again") as failed:
            await letters.redrive(None)
        stop()
        bus.emulator.broker.throttle(None)
        rest = (await letters.redrive(None)).sent
        assert f"{5 - rest} were sent" in str(failed.value)
        assert 0 < rest < 5, "what it had received was given back"

    on_a_bus(work, tmp_path)


def test_what_another_reader_holds_is_named(tmp_path):
    async def work(bus):
        await bus.give_up("undetected", [ServiceBusMessage("a"), ServiceBusMessage("b")])
        letters = BrokerDeadLetters("bus", bus.settings(queue="undetected", sessions=False), None)
        numbers = [one.sequence_number for one in await letters.look(10)]
        client = ServiceBusClient.from_connection_string(bus.emulator.connection_string())
        dead = client.get_queue_receiver("undetected", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        async with client, dead:
            [held] = await dead.receive_messages(max_message_count=1, max_wait_time=30)
            done = await letters.redrive(None)
            assert (done.sent, done.left, done.refused) == (1, 1, [held.sequence_number])
            assert held.sequence_number in numbers

    on_a_bus(work, tmp_path)


def test_a_session_keeps_its_order_and_all_go(tmp_path):
    events = [sealed("a", version, {"name": f"{version}"}) for version in range(1, 61)]

    async def work(bus):
        await bus.send(events, queue="golden")
        await bus.take(60, reason="down", session="a")
        letters = BrokerDeadLetters("bus", bus.settings(queue="golden"), None)
        assert (await letters.redrive(None)).sent == 60
        again = await bus.take(60, session="a")
        assert [body_of(message) for message in again] == [event.body for event in events]
        assert await letters.look(10) == []

    on_a_bus(work, tmp_path)


def test_what_a_subscriber_gives_up_again_at_once_is_not_sent_round_and_round(tmp_path):
    async def work(bus):
        await bus.send([sealed("a", 1), sealed("b", 1)], queue="plain", sessions=False)
        await bus.take(2, reason="down")
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        done, _ = await asyncio.gather(letters.redrive(None), bus.take(2, reason="still down"))
        assert done.sent == 2
        assert [one.message_id.count("~d") for one in await letters.look(10)] == [1, 1]
        assert (await letters.redrive(None)).sent == 2, "a person may ask once more"

    on_a_bus(work, tmp_path)


def test_a_redrive_that_was_cut_off_before_its_second_step_leaves_one_copy(tmp_path):
    async def work(bus):
        await bus.send([sealed("a", 1)], queue="plain", sessions=False)
        await bus.take(1, reason="down")
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        async with ServiceBusClient.from_connection_string(bus.emulator.connection_string()) as client:
            dead = client.get_queue_receiver("plain", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
            async with dead, client.get_queue_sender("plain") as sender:
                [message] = await dead.receive_messages(max_wait_time=30)
                await sender.send_messages(sent_again(azure.servicebus, message))
                await dead.abandon_message(message)
        assert (await letters.redrive(None)).sent == 1
        async with (
            ServiceBusClient.from_connection_string(bus.emulator.connection_string()) as client,
            client.get_queue_receiver("plain") as receiver,
        ):
            assert len(await receiver.peek_messages(max_message_count=10)) == 1

    on_a_bus(work, tmp_path)


def test_numbers_that_a_person_names_all_go_also_what_a_redrive_sent_that_was_cut_off(tmp_path):
    async def work(bus):
        await bus.send([sealed("a", 1)], queue="plain", sessions=False)
        [first] = await bus.take(1, reason="down")
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        async with ServiceBusClient.from_connection_string(bus.emulator.connection_string()) as client:
            dead = client.get_queue_receiver("plain", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
            async with dead, client.get_queue_sender("plain") as sender:
                [message] = await dead.receive_messages(max_wait_time=30)
                await sender.send_messages(sent_again(azure.servicebus, message))
                await dead.abandon_message(message)
        [copy] = await bus.take(1, reason="still down")
        assert copy.message_id == f"{first.message_id}~d{first.sequence_number}"
        numbers = [one.sequence_number for one in await letters.look(10)]
        done = await letters.redrive(numbers)
        assert (done.sent, done.left) == (2, 0)
        assert await letters.look(10) == []

    on_a_bus(work, tmp_path)


def test_what_lies_behind_the_last_number_asked_for_is_not_touched(tmp_path):
    async def work(bus):
        await bus.send([sealed(f"e{number}", 1) for number in range(6)], queue="plain", sessions=False)
        await bus.take(6, reason="down")
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        before = await letters.look(10)
        done = await letters.redrive([before[1].sequence_number, before[3].sequence_number])
        assert (done.sent, done.left, done.missing) == (2, 2, [])
        counted = {one.sequence_number: one.delivery_count for one in before}
        more = [one.delivery_count - counted[one.sequence_number] for one in await letters.look(10)]
        assert more == [1, 1, 0, 0], "those in the way were received, and given back"
        done = await letters.redrive([999_998, 999_999])
        assert (done.sent, done.left, done.missing) == (0, 0, [999_998, 999_999])

    on_a_bus(work, tmp_path)


def test_a_number_without_a_plain_body_is_named(tmp_path):
    async def work(bus):
        async with ServiceBusClient.from_connection_string(bus.emulator.connection_string()) as client:
            async with client.get_queue_sender("plain") as sender:
                await sender.send_messages(AmqpAnnotatedMessage(value_body="a value"))
            async with client.get_queue_receiver("plain") as receiver:
                [message] = await receiver.receive_messages(max_wait_time=30)
                await receiver.dead_letter_message(message)
        letters = BrokerDeadLetters("bus", bus.settings(queue="plain", sessions=False), None)
        [one] = await letters.look(10)
        done = await letters.redrive([one.sequence_number])
        assert (done.sent, done.left, done.missing, done.refused) == (0, 1, [], [one.sequence_number])

    on_a_bus(work, tmp_path)


def test_a_subscription_has_its_own(tmp_path):
    async def work(bus):
        await bus.send([sealed("a", 1)], topic="changes", sessions=False)
        await bus.take(1, reason="down", topic=True)
        letters = BrokerDeadLetters("bus", bus.settings(topic="changes", sessions=False), "all")
        assert [one.message_id for one in await letters.look(10)] == ["Customer:a:1"]
        assert (await letters.redrive(None)).sent == 1
        assert body_of((await bus.take(1, topic=True))[0]) == sealed("a", 1).body

    on_a_bus(work, tmp_path)


def test_a_credential_that_may_not_read_is_told_what_it_needs(tmp_path):
    async def work(bus):
        text = bus.emulator.connection_string(policy=SEND_ONLY)
        settings = ServiceBusSettings(queue="plain", sessions=False, connection_string=text)
        with pytest.raises(ConfigError, match="needs Listen"):
            await BrokerDeadLetters("bus", settings, None).look(1)

    on_a_bus(work, tmp_path)


def test_a_subscription_that_is_missing_is_named_and_not_blamed_on_the_credential(tmp_path):
    async def work(bus):
        with pytest.raises(ConfigError, match="the dead letters of nobody of the topic changes: the entity does not") as failed:
            await BrokerDeadLetters("bus", bus.settings(topic="changes", sessions=False), "nobody").look(1)
        assert "Listen" not in str(failed.value)

    on_a_bus(work, tmp_path)


def test_a_topic_needs_a_subscription_and_a_queue_has_none():
    with pytest.raises(ConfigError, match=r"the topic changes.*give --subscription"):
        BrokerDeadLetters("bus", ServiceBusSettings(topic="changes", namespace="x"), None)
    with pytest.raises(ConfigError, match=r"the queue plain.*leave out --subscription"):
        BrokerDeadLetters("bus", ServiceBusSettings(queue="plain", namespace="x"), "all")
