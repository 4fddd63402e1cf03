"""The broker's dead letters, listed and redriven through the real SDK against the emulator."""

import asyncio
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError, GoldwireError
from goldwire.target.base import Delivered, Item
from goldwire.target.service_bus import ServiceBusSettings, ServiceBusTarget
from goldwire.target.service_bus_dead_letters import BrokerDeadLetters
from goldwire.testing.azure.amqp.endpoint import Right
from goldwire.testing.azure.amqp.sas import Policy
from goldwire.testing.azure.broker.config import BrokerConfig
from goldwire.testing.azure.broker.entities import QueueSettings, SubscriptionSettings, TopicSettings
from goldwire.testing.azure.emulator import ROOT, Emulator
from goldwire.testing.events import sealed

CONFIG = BrokerConfig(
    queues=(
        QueueSettings(name="plain", duplicate_window_ms=600_000),
        QueueSettings(name="golden", requires_session=True, duplicate_window_ms=600_000),
    ),
    topics=(TopicSettings(name="changes", subscriptions=(SubscriptionSettings(name="all"),)),),
)
SEND_ONLY = Policy("send", "c2VuZA==", frozenset({Right.SEND}))


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

    async def take(self, count, *, reason=None, session=None, topic=False, dead=False):
        """Receive so many; give them up with a reason, or digest them."""
        found = []
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead else None
        async with ServiceBusClient.from_connection_string(self.emulator.connection_string()) as client:
            receiver = (
                client.get_subscription_receiver("changes", "all", sub_queue=sub_queue)
                if topic
                else client.get_queue_receiver("golden" if session else "plain", session_id=session, sub_queue=sub_queue)
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
                await sender.send_messages(letters._again(message))
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
                await sender.send_messages(letters._again(message))
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


def test_a_topic_needs_a_subscription_and_a_queue_has_none(tmp_path):
    bus = Bus(tmp_path)
    with pytest.raises(GoldwireError, match="name a subscription"):
        BrokerDeadLetters("bus", ServiceBusSettings(topic="changes", namespace="x"), None)
    with pytest.raises(GoldwireError, match="a queue"):
        BrokerDeadLetters("bus", ServiceBusSettings(queue="plain", namespace="x"), "all")
    assert bus.emulator is not None
