"""The real azure-eventhub, aio, against the emulator on the same event loop; and TLS."""

import asyncio
import time

import pytest
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from goldwire_emulator.amqp.claims import Claim
from goldwire_emulator.amqp.endpoint import AmqpError, Right
from goldwire_emulator.amqp.sas import Policy, sas_token
from goldwire_emulator.emulator import ROOT, Emulator

PATIENCE_SECONDS = 60


def texts(events):
    return [event.body_as_str() for event in events]


async def collect(client, count, **settings):
    """Receive from the beginning until there is enough."""
    found, enough = [], asyncio.Event()

    async def on_event_batch(_, events):
        found.extend(events)
        if len(found) >= count:
            enough.set()

    errors = []

    async def on_error(_, error):
        errors.append(error)
        enough.set()

    async with client:
        given = {"starting_position": "-1", "max_wait_time": 0.1} | settings
        task = asyncio.create_task(client.receive_batch(on_event_batch, on_error=on_error, **given))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await enough.wait()
    await task
    assert not errors
    return found


async def roundtrip(count, **settings):
    async with EventHubProducerClient.from_connection_string(**settings) as producer:
        batch = await producer.create_batch(partition_key="k")
        for number in range(count):
            batch.add(EventData(f"{number}"))
        await producer.send_batch(batch)
    return await collect(
        EventHubConsumerClient.from_connection_string(consumer_group="$Default", load_balancing_interval=0.1, **settings), count
    )


def test_what_one_client_sends_another_receives(hubs):
    async def run():
        async with Emulator(hubs) as emulator:
            found = await roundtrip(100, conn_str=emulator.connection_string("orders"))
            assert texts(found) == [f"{number}" for number in range(100)]
            assert {event.partition_key for event in found} == {b"k"}

    asyncio.run(run())


def test_tls_carries_the_same(hubs, certificates):
    async def run():
        async with Emulator(hubs, tls=certificates.context) as emulator:
            found = await roundtrip(
                20,
                conn_str=emulator.connection_string("orders"),
                custom_endpoint_address=emulator.endpoint,
                connection_verify=certificates.file,
            )
            assert texts(found) == [f"{number}" for number in range(20)]

    asyncio.run(run())


def test_tls_that_is_not_trusted_is_refused_by_the_client(hubs, certificates):
    async def run():
        async with Emulator(hubs, tls=certificates.context) as emulator:
            string = emulator.connection_string("orders")
            settings = {"custom_endpoint_address": emulator.endpoint, "retry_total": 0}
            async with EventHubProducerClient.from_connection_string(string, **settings) as producer:
                with pytest.raises(EventHubError, match="CERTIFICATE_VERIFY_FAILED"):
                    await producer.send_event(EventData("x"))

    asyncio.run(run())


def test_the_buffered_producer_delivers_all_in_order_by_key(hubs):
    async def run():
        done, failed = [], []

        async def on_success(events, _):
            done.extend(events)

        async def on_error(events, _, error):
            failed.append((events, error))

        async with Emulator(hubs) as emulator:
            string = emulator.connection_string("orders")
            settings = {"buffered_mode": True, "max_wait_time": 1, "on_success": on_success, "on_error": on_error}
            async with EventHubProducerClient.from_connection_string(string, **settings) as producer:
                for number in range(400):
                    await producer.send_event(EventData(f"{number}"), partition_key=f"key {number % 10}")
                await producer.flush(timeout=PATIENCE_SECONDS)
            assert (len(done), failed) == (400, [])
            found = await collect(
                EventHubConsumerClient.from_connection_string(string, "$Default", load_balancing_interval=0.1), 400
            )
            for key in range(10):
                of_key = [int(event.body_as_str()) for event in found if event.partition_key == f"key {key}".encode()]
                assert of_key == list(range(key, 400, 10))

    asyncio.run(run())


def test_a_higher_epoch_steals_the_partition(hubs):
    async def run():
        stolen = asyncio.Event()
        began = asyncio.Event()

        async def on_event(_, __):
            began.set()

        async def on_error(_, error):
            assert "link:stolen" in str(error)
            stolen.set()

        async with Emulator(hubs) as emulator:
            string = emulator.connection_string("single")
            async with EventHubProducerClient.from_connection_string(string) as producer:
                await producer.send_event(EventData("one"))
            first = EventHubConsumerClient.from_connection_string(
                string, "$Default", retry_total=0, load_balancing_interval=0.1
            )
            async with first, asyncio.timeout(PATIENCE_SECONDS):
                settings = {"partition_id": "0", "starting_position": "-1"}
                task = asyncio.create_task(first.receive(on_event, on_error=on_error, owner_level=1, **settings))
                await began.wait()
                second = EventHubConsumerClient.from_connection_string(string, "$Default", load_balancing_interval=0.1)
                assert texts(await collect(second, 1, owner_level=2, **settings)) == ["one"]
                await stolen.wait()
            await task

    asyncio.run(run())


def client_with(token, emulator):
    return EventHubProducerClient(
        f"127.0.0.1:{emulator.server.port}",
        "single",
        credential=AzureSasCredential(token),
        use_tls=False,
        retry_total=0,
    )


@pytest.mark.parametrize(
    ("policy", "audience", "life_seconds", "believed"),
    [
        (ROOT, "sb://127.0.0.1/single", 60, True),
        (ROOT, "sb://127.0.0.1/", 60, True),
        (ROOT, "sb://127.0.0.1/single", -1, False),
        (ROOT, "sb://127.0.0.1/orders", 60, False),
        (Policy(ROOT.name, "another key"), "sb://127.0.0.1/single", 60, False),
    ],
)
def test_a_sas_token_is_believed_if_all_of_it_is_right(hubs, policy, audience, life_seconds, believed):
    async def run():
        async with Emulator(hubs) as emulator:
            token = sas_token(policy, audience, int(time.time()) + life_seconds)
            async with client_with(token, emulator) as producer:
                if believed:
                    await producer.send_event(EventData("x"))
                else:
                    with pytest.raises(AuthenticationError):
                        await producer.send_event(EventData("x"))

    asyncio.run(run())


class Token:
    """A credential as azure-identity's are."""

    def __init__(self, text):
        self.text = text

    async def get_token(self, *_, **__):
        return AccessToken(self.text, int(time.time()) + 3600)

    async def close(self):
        pass


@pytest.mark.parametrize("verifier", [True, False])
def test_an_entra_token_is_believed_only_if_a_verifier_was_given(hubs, verifier):
    def verify(token, _):
        if token != "the right one":
            raise AmqpError("amqp:unauthorized-access", "not the right one")
        return Claim("", frozenset({Right.SEND}), time.time() + 3600)

    async def run():
        async with Emulator(hubs, jwt=verify if verifier else None) as emulator:
            host = f"127.0.0.1:{emulator.server.port}"
            settings = {"use_tls": False, "retry_total": 0}
            for text in ("the right one", "another"):
                async with EventHubProducerClient(host, "single", credential=Token(text), **settings) as producer:
                    if verifier and text == "the right one":
                        await producer.send_event(EventData("x"))
                    else:
                        with pytest.raises(AuthenticationError):
                            await producer.send_event(EventData("x"))

    asyncio.run(run())


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")  # the same, for aio
@pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning")  # and so late
@pytest.mark.usefixtures("collected")
def test_clients_come_back_when_connections_are_cut(hubs):
    async def run():
        found, came = [], asyncio.Event()

        async def on_event(_, event):
            found.append(event.body_as_str())
            came.set()

        async with Emulator(hubs) as emulator:
            string = emulator.connection_string("single")
            soon = {"retry_backoff_factor": 0.1}
            consumer = EventHubConsumerClient.from_connection_string(string, "$Default", load_balancing_interval=0.1, **soon)
            producer = EventHubProducerClient.from_connection_string(string, **soon)
            async with consumer, producer, asyncio.timeout(PATIENCE_SECONDS):
                task = asyncio.create_task(consumer.receive(on_event, partition_id="0", starting_position="-1"))
                for number in range(4):
                    await producer.send_event(EventData(f"{number}"))
                    while f"{number}" not in found:
                        came.clear()
                        await came.wait()
                    assert emulator.server.drop_connections()
            await task
        assert sorted(set(found)) == ["0", "1", "2", "3"]

    asyncio.run(run())


async def is_sent(producer):
    try:
        await producer.send_event(EventData("in time"))
    except EventHubError:
        return False
    return True


async def send_for_ever(producer):
    while True:
        await producer.send_event(EventData("x"))


def test_a_link_ends_when_its_token_does(hubs):
    async def run():
        async with Emulator(hubs) as emulator:
            for life_seconds in (3, 9, 27):  # the first that suffices: on a slow machine a token ends before it was shown
                token = sas_token(ROOT, "sb://127.0.0.1/single", int(time.time()) + life_seconds)
                async with client_with(token, emulator) as producer, asyncio.timeout(PATIENCE_SECONDS):
                    if not await is_sent(producer):
                        continue
                    with pytest.raises(EventHubError):
                        await send_for_ever(producer)
                    return
            raise AssertionError("no token lived long enough to be shown")

    asyncio.run(run())


class BriefTokens:
    """A credential whose SAS tokens live for two seconds at first, and each a second longer than the one before.

    So a slow machine comes to one that lives until it was shown.
    """

    token_type = b"servicebus.windows.net:sastoken"

    def __init__(self):
        self.issued = 0

    async def get_token(self, *uris, **_):
        self.issued += 1
        expires_at = int(time.time()) + 1 + self.issued
        return AccessToken(sas_token(ROOT, uris[0], expires_at), expires_at)

    async def close(self):
        pass


def test_tokens_that_expire_all_the_time_lose_nothing(hubs):
    async def run():
        credential = BriefTokens()
        async with Emulator(hubs) as emulator:
            host, number = f"127.0.0.1:{emulator.server.port}", 0
            async with EventHubProducerClient(host, "single", credential=credential, use_tls=False) as producer:
                async with asyncio.timeout(2 * PATIENCE_SECONDS):
                    while credential.issued < 4:
                        await producer.send_event(EventData(f"{number}"))
                        number += 1
            consumer = EventHubConsumerClient.from_connection_string(
                emulator.connection_string("single"), "$Default", load_balancing_interval=0.1
            )
            found = texts(await collect(consumer, number))
            assert list(dict.fromkeys(found)) == [f"{one}" for one in range(number)]

    asyncio.run(run())
