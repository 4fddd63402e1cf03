"""What goes through port 443 of a namespace: AMQP over WebSockets, and the management API that `goldwire target check` asks."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import warnings
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.eventhub import EventHubConsumerClient, TransportType
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio.management import ServiceBusAdministrationClient

from goldwire.clock import SystemClock
from goldwire.targets.azure.event_hubs.amqp import rights_of_reading
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.azure.service_bus.target import ServiceBusSettings, ServiceBusTarget
from goldwire.targets.base import Delivered, Finding, Item, Target
from goldwire.testing.events import sealed
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.certificate import CERTIFICATE, server_context
from goldwire_emulator.emulator import ROOT, Emulator
from support.emulator_stage import SEND_ONLY
from support.target_use import opened

CONFIG = BrokerConfig(
    hubs=(HubSettings("golden", 3),),
    queues=(
        QueueSettings(name="crm", requires_session=True, duplicate_window_ms=600_000, max_delivery_count=7),
        QueueSettings(name="plain", duplicate_window_ms=30_000),
    ),
    topics=(
        TopicSettings(
            name="changes",
            subscriptions=(
                SubscriptionSettings(name="all", requires_session=True, lock_ms=45_000),
                SubscriptionSettings(name="loose"),
            ),
        ),
        TopicSettings(name="unheard", duplicate_window_ms=600_000),
    ),
)
QUEUE_ONLY = Policy("crm-manager", "Y3Jt", path="crm")


class Namespace:
    """An emulator with TLS, its HTTPS port, and the certificate to trust."""

    def __init__(self, emulator: Emulator, ca_file: str) -> None:
        assert emulator.https is not None
        self.emulator, self.ca_file = emulator, ca_file
        self.https = f"localhost:{emulator.https.port}"

    def settings(self, policy: Policy = ROOT, *, transport: str = "amqp", **more: Any) -> dict[str, Any]:
        text = f"Endpoint=sb://{self.https}/;SharedAccessKeyName={policy.name};SharedAccessKey={policy.key}"
        address = f"sb://{self.https}" if transport == "websocket" else self.emulator.endpoint
        return {"connection_string": text, "endpoint_address": address, "ca_file": self.ca_file, "transport": transport, **more}

    def administration(self, policy: Policy = ROOT) -> ServiceBusAdministrationClient:
        text = self.settings(policy)["connection_string"]
        return ServiceBusAdministrationClient.from_connection_string(text, connection_verify=self.ca_file, retry_total=0)


def with_namespace(tmp_path: Path, check: Callable[[Namespace], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        policies = (ROOT, SEND_ONLY, QUEUE_ONLY)
        async with Emulator(CONFIG, policies=policies, tls=server_context(tmp_path), https_port=0) as emulator:
            return await check(Namespace(emulator, str(tmp_path / CERTIFICATE)))

    return asyncio.run(run())


async def send_through_cuts(namespace: Namespace, target: Target) -> int:
    """As the relay does: the same event again, and nothing newer before it is taken. Return how often it was cut."""
    cuts = 0
    async with opened(target):
        for version in range(1, 21):
            waiting = [Item(sealed(f"e{n}", version)) for n in range(5)]
            while waiting:
                if version % 5 == 0:
                    cuts += namespace.emulator.server.drop_connections() if len(waiting) == 5 else 0
                outcomes = await target.send(waiting)
                waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
    return cuts


def assert_in_order(bodies: list[bytes]) -> None:
    versions: dict[str, list[int]] = defaultdict(list)
    for body in bodies:
        event = json.loads(body)
        versions[event["entityId"]].append(event["version"])
    assert set(versions) == {f"e{n}" for n in range(5)}
    for found in versions.values():
        assert found == sorted(found)
        assert set(found) == set(range(1, 21))


def read_hub(settings: dict[str, Any]) -> list[bytes]:
    """Everything in the hub, read by the SDK's synchronous client over WebSockets too."""
    bodies: list[bytes] = []
    client = EventHubConsumerClient.from_connection_string(
        settings["connection_string"], "$Default", eventhub_name="golden", transport_type=TransportType.AmqpOverWebsocket,
        custom_endpoint_address=settings["endpoint_address"], connection_verify=settings["ca_file"],
    )  # fmt: skip
    with client:
        ends = {one: client.get_partition_properties(one) for one in client.get_partition_ids()}
        left = {one for one, end in ends.items() if not end["is_empty"]}

        def take(context: Any, events: list[Any]) -> None:
            bodies.extend(b"".join(event.body) for event in events)
            if events[-1].sequence_number == ends[context.partition_id]["last_enqueued_sequence_number"]:
                left.discard(context.partition_id)
                if not left:
                    client.close()

        client.receive_batch(take, starting_position="-1")
    return bodies


def read_queue(settings: dict[str, Any], count: int) -> list[bytes]:
    """So many messages, in order, and what there is beyond that."""
    bodies: list[bytes] = []
    client = ServiceBusClient.from_connection_string(
        settings["connection_string"], transport_type=TransportType.AmqpOverWebsocket,
        custom_endpoint_address=settings["endpoint_address"], connection_verify=settings["ca_file"],
    )  # fmt: skip
    with client, client.get_queue_receiver("plain") as receiver:
        while some := receiver.receive_messages(count, max_wait_time=60 if len(bodies) < count else 1):
            for message in some:
                bodies.append(b"".join(message.body))
                receiver.complete_message(message)
    return bodies


@pytest.fixture
def bears_what_the_sdk_leaves(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Where a connection is cut or cannot be made, the SDKs leave the client session of aiohttp to the garbage collector."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unclosed c", ResourceWarning)
        warnings.filterwarnings("ignore", "unclosed (<s|transport)", ResourceWarning)
        yield
        caplog.get_records("call").clear()  # what the SDKs log holds their errors, and these all else
        gc.collect()


@pytest.mark.usefixtures("bears_what_the_sdk_leaves")
def test_event_hubs_over_websockets_keeps_order_through_cuts(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        settings = namespace.settings(transport="websocket")
        cuts = await send_through_cuts(
            namespace, EventHubsTarget("hub", EventHubsSettings(hub="golden", **settings), SystemClock())
        )
        assert cuts >= 4
        assert_in_order(await asyncio.to_thread(read_hub, settings))

    with_namespace(tmp_path, check)


@pytest.mark.usefixtures("bears_what_the_sdk_leaves")
def test_service_bus_over_websockets_keeps_order_through_cuts(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        settings = namespace.settings(transport="websocket")
        target = ServiceBusTarget("bus", ServiceBusSettings(queue="plain", sessions=False, **settings), SystemClock())
        assert await send_through_cuts(namespace, target) >= 4
        assert_in_order(await asyncio.to_thread(read_queue, settings, 5 * 20))

    with_namespace(tmp_path, check)


def test_the_sdk_reads_every_entity_as_it_is_set_up(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        async with namespace.administration() as client:
            queue = await client.get_queue("crm")
            assert (queue.requires_session, queue.max_delivery_count, queue.enable_partitioning) == (True, 7, False)
            assert queue.duplicate_detection_history_time_window == timedelta(minutes=10)
            assert queue.max_message_size_in_kilobytes == 256
            subscription = await client.get_subscription("changes", "all")
            assert (subscription.requires_session, subscription.lock_duration) == (True, timedelta(seconds=45))
            assert [one.name async for one in client.list_queues()] == ["crm", "plain"]
            assert [one.name async for one in client.list_topics()] == ["changes", "unheard"]
            assert [one.name async for one in client.list_subscriptions("changes")] == ["all", "loose"]
            for missing in (client.get_queue("nowhere"), client.get_topic("nowhere"), client.get_subscription("changes", "x")):
                with pytest.raises(ResourceNotFoundError):
                    await missing

    with_namespace(tmp_path, check)


def test_only_who_may_manage_an_entity_reads_it_and_nobody_changes_it(tmp_path: Path) -> None:
    async def check(namespace: Namespace) -> None:
        async with namespace.administration(SEND_ONLY) as client:
            with pytest.raises(HttpResponseError) as caught:
                await client.get_queue("crm")
            assert caught.value.status_code == 401
        async with namespace.administration(QUEUE_ONLY) as client:
            assert (await client.get_queue("crm")).name == "crm"
            with pytest.raises(HttpResponseError):
                await client.get_queue("plain")
        async with namespace.administration() as client:
            with pytest.raises(HttpResponseError) as caught:
                await client.delete_queue("crm")
            assert caught.value.status_code == 405
            assert (await client.get_queue("crm")).name == "crm"

    with_namespace(tmp_path, check)


def checked(tmp_path: Path, policy: Policy = ROOT, **settings: Any) -> list[Finding]:
    async def check(namespace: Namespace) -> list[Finding]:
        target = ServiceBusTarget("bus", ServiceBusSettings(**namespace.settings(policy, **settings)), SystemClock())
        async with opened(target):
            return list(await target.check())

    found: list[Finding] = with_namespace(tmp_path, check)
    return found


@pytest.mark.parametrize(
    ("settings", "subject", "state", "says"),
    [
        ({"queue": "crm"}, "sessions", "ok", "has sessions, as set"),
        ({"queue": "crm"}, "duplicate detection", "ok", "0:10:00"),
        ({"queue": "crm"}, "entity size limit", "ok", "256 KB"),
        ({"queue": "crm"}, "rights", "note", "may manage"),
        ({"queue": "crm", "sessions": False}, "sessions", "fix", "set sessions: true"),
        ({"queue": "crm", "partitioned": True}, "partitioned", "fix", "not partitioned"),
        ({"queue": "plain"}, "sessions", "fix", "may overtake each other"),
        ({"queue": "plain", "sessions": False}, "duplicate detection", "note", "0:00:30 only"),
        ({"topic": "changes"}, "sessions", "fix", "subscription loose has no sessions"),
        ({"topic": "changes"}, "duplicate detection", "note", "off"),
        ({"topic": "unheard"}, "subscriptions", "fix", "what is sent now is lost"),
    ],
)
def test_a_check_by_the_management_api_compares_the_entity_with_the_settings(
    tmp_path: Path, settings: dict[str, Any], subject: str, state: str, says: str
) -> None:
    texts = [(one.state, one.text) for one in checked(tmp_path, **settings) if one.subject == subject]
    assert any(found == state and says in text for found, text in texts), texts


def test_a_credential_that_may_only_send_passes_the_check_with_less_told(tmp_path: Path) -> None:
    found = {one.subject: one for one in checked(tmp_path, SEND_ONLY, queue="crm")}
    assert found["rights"].state == "ok"
    assert "least privilege" in found["rights"].text
    assert "cannot be seen" in found["duplicate detection"].text
    assert not [one for one in found.values() if one.state == "fix"]


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that is taken, so that no other process gets it, and at which none listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"sb://127.0.0.1:{taken.getsockname()[1]}"


async def not_opening(namespace: Namespace, kind: str, **settings: Any) -> ConnectionError:
    given = {**namespace.settings(transport="websocket"), "connect_timeout_seconds": 5.0, **settings}
    target: Target = EventHubsTarget("hub", EventHubsSettings(hub="golden", **given), SystemClock())
    if kind == "service_bus":
        target = ServiceBusTarget("bus", ServiceBusSettings(queue="plain", sessions=False, **given), SystemClock())
    with pytest.raises(ConnectionError) as caught:
        await target.open()
    await target.close()
    return caught.value


@pytest.mark.usefixtures("bears_what_the_sdk_leaves")
@pytest.mark.parametrize("kind", ["event_hubs", "service_bus"])
def test_a_wrong_address_over_websockets_is_not_blamed_on_the_credential(tmp_path: Path, kind: str, nobody: str) -> None:
    """The SDK (5.15) calls every failure to connect to an `endpoint_address` over WebSockets one of authentication."""

    async def check(namespace: Namespace) -> None:
        closed = str(await not_opening(namespace, kind, endpoint_address=nobody))
        assert closed.endswith(": not reachable (Connection refused)")
        unknown = str(await not_opening(namespace, kind, endpoint_address="sb://nowhere.invalid:443"))
        assert "not reachable (its name has no address; mend namespace or endpoint_address)" in unknown
        another = str(await not_opening(namespace, kind, endpoint_address=f"sb://{namespace.https}/elsewhere"))
        assert "not reachable (what answers is no namespace, HTTP status 401; mend namespace or endpoint_address)" in another

    with_namespace(tmp_path, check)


@pytest.mark.usefixtures("bears_what_the_sdk_leaves")
def test_a_link_that_cannot_be_made_is_not_praised_as_least_privilege(tmp_path: Path, nobody: str) -> None:
    async def check(namespace: Namespace) -> None:
        error = await not_opening(namespace, "event_hubs", endpoint_address=nobody)
        assert rights_of_reading(error.__context__).state == "note"

    with_namespace(tmp_path, check)
