"""Service Bus entities on an emulator, for the real azure-servicebus."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, TransportType

from goldwire_emulator.broker.config import BrokerConfig, parse_config

CONFIG = """
{"UserConfig": {"Namespaces": [{"Name": "sbemulatorns",
  "Queues": [
    {"Name": "plain", "Properties": {"LockDuration": "PT1M", "MaxDeliveryCount": 3}},
    {"Name": "short", "Properties": {"LockDuration": "PT1S", "MaxDeliveryCount": 10}},
    {"Name": "unique", "Properties": {"RequiresDuplicateDetection": true, "DuplicateDetectionHistoryTimeWindow": "PT5M"}},
    {"Name": "dying", "Properties": {"DefaultMessageTimeToLive": "PT1S", "DeadLetteringOnMessageExpiration": true}},
    {"Name": "chats", "Properties": {"RequiresSession": true, "LockDuration": "PT1M", "MaxDeliveryCount": 3}},
    {"Name": "short-chats", "Properties": {"RequiresSession": true, "LockDuration": "PT4S"}},
    {"Name": "renewed", "Properties": {"LockDuration": "PT6S"}},
    {"Name": "renewed-chats", "Properties": {"RequiresSession": true, "LockDuration": "PT6S"}},
    {"Name": "inbox", "Properties": {"ForwardTo": "plain"}},
    {"Name": "burying", "Properties": {"ForwardDeadLetteredMessagesTo": "graveyard"}},
    {"Name": "graveyard"}
  ],
  "Topics": [{"Name": "changes", "Subscriptions": [
    {"Name": "all"},
    {"Name": "north", "Rules": [{"Name": "r", "Properties": {
      "FilterType": "Sql", "SqlFilter": {"SqlExpression": "region = 'north' AND amount >= 10 AND sys.Label LIKE 'cust%'"},
      "Action": {"SqlExpression": "SET routed = 'yes'; SET sys.ReplyTo = 'billing'; REMOVE amount"}}}]},
    {"Name": "labelled", "Rules": [{"Name": "r", "Properties": {
      "FilterType": "Correlation", "CorrelationFilter": {"Label": "customer", "Properties": {"region": "south"}}}}]},
    {"Name": "in-order", "Properties": {"RequiresSession": true}}
  ]}]
}], "Logging": {"Type": "Console"}}}
"""


class Bus:
    """A running emulator and the clients that a test makes for it; they are closed in the end."""

    def __init__(self, peer: Any, settings: dict[str, Any]) -> None:
        self.peer = peer
        self.settings = settings
        self.made: list[ServiceBusClient] = []

    def client(self, **settings: Any) -> ServiceBusClient:
        given = {"retry_total": 0} | self.settings | settings  # a refusal is to be seen, not tried again
        made = ServiceBusClient.from_connection_string(self.peer.connection_string(), **given)
        self.made.append(made)
        return made

    def send(self, name: str, *messages: str | ServiceBusMessage) -> None:
        """Send to a queue or topic with a client of its own."""
        with self.client() as client, client.get_queue_sender(name) as sender:
            sender.send_messages(
                [each if isinstance(each, ServiceBusMessage) else ServiceBusMessage(each) for each in messages]
            )

    def lose_locks(self) -> None:
        """End every lock, as time does."""
        self.peer.call(self.peer.emulator.broker.service_bus.lose_locks)

    def close(self) -> None:
        for client in self.made:
            with closing(client):
                pass


@pytest.fixture(scope="session")
def entities() -> BrokerConfig:
    return parse_config(CONFIG)


OVER_TLS_TOO = {"test_aio", "test_topics_sync"}
"""What lies below the entities is the same for all of them; these two go through it all, asynchronously and not."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bus" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in OVER_TLS_TOO and "renewed" not in metafunc.function.__name__
        kinds = ["plain", "tls"] if both else ["plain"]  # those that wait for a renewed lock wait long enough as it is
        metafunc.parametrize("bus", kinds, indirect=True)


@pytest.fixture
def bus(request, start: Callable[..., Any], entities: BrokerConfig) -> Iterator[Bus]:
    """The same entities over plain TCP and over TLS."""
    if request.param == "tls":
        certificates = request.getfixturevalue("certificates")
        peer = start(entities, tls=certificates.context)
        address = f"sb://localhost:{peer.emulator.server.port}"
        settings = {"custom_endpoint_address": address, "connection_verify": certificates.file}
        # With an address of its own azure-servicebus takes web sockets unless a setting says otherwise.
        made = Bus(peer, {**settings, "transport_type": TransportType.Amqp})
    else:
        made = Bus(start(entities), {})
    yield made
    made.close()


@pytest.fixture
def soon() -> Callable[[float], datetime]:
    """A time so many seconds from now."""
    return lambda seconds: datetime.now(UTC) + timedelta(seconds=seconds)
