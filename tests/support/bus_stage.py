"""Queues and a topic for tests of the `service_bus` target: its target and what the SDK reads from them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient

from goldwire.clock import SystemClock
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import QueueSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.emulator import Emulator
from support.emulator_stage import SEND_ONLY

SESSIONS = "golden"
PLAIN = "plain"
TOPIC = "changes"
CONFIG = BrokerConfig(
    queues=(
        QueueSettings(name=SESSIONS, requires_session=True, duplicate_window_ms=600_000),
        QueueSettings(name=PLAIN, duplicate_window_ms=600_000),
    ),
    topics=(TopicSettings(name=TOPIC, subscriptions=(SubscriptionSettings(name="all", requires_session=True),)),),
)


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """Return a message's body in one piece."""
    return b"".join(message.body)


async def peek_all(emulator: Emulator, queue: str = PLAIN) -> list[ServiceBusReceivedMessage]:
    """Everything a queue without sessions holds, in order, read with the SDK and left there."""
    found: list[ServiceBusReceivedMessage] = []
    async with (
        ServiceBusClient.from_connection_string(emulator.connection_string()) as client,
        client.get_queue_receiver(queue) as receiver,
    ):
        number = 1
        while some := await receiver.peek_messages(max_message_count=100, sequence_number=number):
            found += some
            number = (some[-1].sequence_number or 0) + 1
    return found


async def take_all(emulator: Emulator, sessions: int, *, topic: bool = False) -> dict[str, list[ServiceBusReceivedMessage]]:
    """Everything that so many sessions hold, in order for each, received and completed with the SDK."""
    found: dict[str, list[ServiceBusReceivedMessage]] = defaultdict(list)
    held = emulator.broker.service_bus.queue(f"{TOPIC}/subscriptions/all" if topic else SESSIONS)
    async with ServiceBusClient.from_connection_string(emulator.connection_string()) as client:
        while len(found) < sessions:
            receiver = (
                client.get_subscription_receiver(TOPIC, "all", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30)
                if topic
                else client.get_queue_receiver(SESSIONS, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=30)
            )
            async with receiver:
                session = receiver.session.session_id
                while held.peek(0, 1, session):
                    for message in await receiver.receive_messages(max_message_count=500, max_wait_time=30):
                        found[session].append(message)
                        await receiver.complete_message(message)
    return found


def bus_target(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> ServiceBusTarget:
    """Return a target, of the queue with sessions if nothing else is said, not yet open."""
    destination = {} if "topic" in settings else {"queue": SESSIONS}
    more = {"connect_timeout_seconds": 20.0, "timeout_seconds": 20.0}
    text = emulator.connection_string(policy=policy)
    return ServiceBusTarget(
        "bus", ServiceBusSettings(**{**destination, **more, "connection_string": text, **settings}), SystemClock()
    )
