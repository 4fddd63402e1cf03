"""How many messages wait in a queue or a subscription, and how many were given up, is asked of the management API."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import TransportType
from azure.servicebus.aio import ServiceBusClient

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.azure.service_bus.subscribers import BusSubscribers
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.targets.base import Item, SubscriberLag
from goldwire.testing.events import sealed
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.certificate import CERTIFICATE, server_context
from goldwire_emulator.emulator import ROOT, Emulator
from support.bus_stage import CONFIG, PLAIN, TOPIC
from support.emulator_stage import SEND_ONLY
from support.target_use import opened

EVENTS = 7
GIVEN_UP = 2


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect what the SDK leaves to the garbage collector while the test still bears it."""
    yield
    gc.collect()


class Namespace:
    """An emulator with TLS, whose HTTPS port has the management API."""

    def __init__(self, emulator: Emulator, ca_file: str) -> None:
        assert emulator.https is not None
        self._address = f"localhost:{emulator.https.port}"
        self._options = {"endpoint_address": emulator.endpoint, "ca_file": ca_file}

    def text(self, policy: Policy) -> str:
        return f"Endpoint=sb://{self._address}/;SharedAccessKeyName={policy.name};SharedAccessKey={policy.key}"

    def target(self, manager: Policy | None = ROOT, **settings: Any) -> ServiceBusTarget:
        asked = BusSubscribers(connection_string=None if manager is None else self.text(manager))
        more: dict[str, Any] = {"connection_string": self.text(SEND_ONLY), "sessions": False, "subscribers": asked}
        return ServiceBusTarget("bus", ServiceBusSettings(**{**self._options, **more, **settings}), SystemClock())

    async def fill(self, **settings: Any) -> None:
        async with opened(self.target(**settings)) as target:
            await target.send([Item(sealed(f"e{number}", 1)) for number in range(EVENTS)])

    async def give_up(self) -> None:
        """Receive messages of the queue, and give some of them up."""
        client = ServiceBusClient.from_connection_string(
            self.text(ROOT), custom_endpoint_address=self._options["endpoint_address"],
            connection_verify=self._options["ca_file"], transport_type=TransportType.Amqp,
        )  # fmt: skip
        async with client, client.get_queue_receiver(PLAIN) as receiver:
            for _ in range(GIVEN_UP):
                [message] = await receiver.receive_messages(max_message_count=1, max_wait_time=30)
                await receiver.dead_letter_message(message, reason="cannot parse")


def with_namespace(tmp_path: Path, check: Callable[[Namespace], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        policies = (ROOT, SEND_ONLY)
        async with Emulator(CONFIG, policies=policies, tls=server_context(tmp_path), https_port=0) as emulator:
            await check(Namespace(emulator, str(tmp_path / CERTIFICATE)))

    asyncio.run(run())


def test_a_queue_says_what_waits_and_what_was_given_up(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        await namespace.fill(queue=PLAIN)
        assert await namespace.target(queue=PLAIN).subscribers() == [SubscriberLag(PLAIN, None, None, None, EVENTS, 0)]
        await namespace.give_up()
        [found] = await namespace.target(queue=PLAIN).subscribers()
        assert (found.waiting, found.dead_letters) == (EVENTS - GIVEN_UP, GIVEN_UP)

    with_namespace(tmp_path, check)


def test_of_a_topic_each_subscription_is_a_subscriber(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        await namespace.fill(topic=TOPIC, sessions=True)
        found = await namespace.target(topic=TOPIC, sessions=True).subscribers()
        assert [(one.subscriber, one.waiting, one.dead_letters) for one in found] == [("all", EVENTS, 0)]

    with_namespace(tmp_path, check)


def test_a_credential_that_may_only_send_and_a_queue_that_is_none_are_named_with_their_fix(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        with pytest.raises(ConfigError, match="does not accept the credential; set `subscribers: "):
            await namespace.target(None, queue=PLAIN).subscribers()
        with pytest.raises(ConfigError, match="queue none: subscribers: it does not exist"):
            await namespace.target(queue="none").subscribers()
        with pytest.raises(ConfigError, match="set `subscribers`"):
            await namespace.target(queue=PLAIN, subscribers=None).subscribers()

    with_namespace(tmp_path, check)
