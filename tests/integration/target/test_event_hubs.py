from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import trustme
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError
from cloudevents.core.bindings import amqp
from cloudevents.core.formats.json import JSONFormat

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.target.base import Delivered, Item, Outcome, Rejected, Throttled, Unavailable, Unknown
from goldwire.target.event_hubs import EventHubsSettings, EventHubsTarget, entra_token
from goldwire.target.event_hubs_amqp import partition_of
from goldwire.target.kafka import KafkaTarget
from goldwire.target.kafka_settings import client_config
from goldwire.testing.azure.amqp.claims import Claim
from goldwire.testing.azure.amqp.endpoint import Right
from goldwire.testing.azure.amqp.sas import Policy
from goldwire.testing.azure.broker.config import BrokerConfig
from goldwire.testing.azure.broker.entities import HubSettings, Limits
from goldwire.testing.azure.emulator import ROOT, Emulator
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET, Held, TargetSuite

HUB = "golden"
CONFIG = BrokerConfig(hubs=(HubSettings(HUB, 4, ()),))


async def read_hub(emulator: Emulator) -> list[tuple[str, EventData]]:
    """Everything the hub holds: partition and event, in order for each partition, read with the SDK."""
    found: list[tuple[str, EventData]] = []

    async def read(consumer: EventHubConsumerClient, partition: str, last: int) -> None:
        done = asyncio.Event()

        async def take(_: Any, event: EventData) -> None:
            found.append((partition, event))
            if event.sequence_number == last:
                done.set()

        reading = asyncio.create_task(consumer.receive(take, partition_id=partition, starting_position="-1"))
        await asyncio.wait_for(done.wait(), 60)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    hub = emulator.broker.event_hubs.hub(HUB)
    async with EventHubConsumerClient.from_connection_string(
        emulator.connection_string(HUB), consumer_group="$Default"
    ) as consumer:
        states = {partition: hub.state(partition) for partition in hub.partition_ids}
        await asyncio.gather(
            *(read(consumer, one, state.last_sequence_number) for one, state in states.items() if not state.is_empty)
        )
    return found


def count_in(emulator: Emulator) -> int:
    hub = emulator.broker.event_hubs.hub(HUB)
    return sum(hub.state(partition).last_sequence_number + 1 for partition in hub.partition_ids)


class TestEventHubs(TargetSuite):
    fences = False  # a log takes what it is given; consumers and the control table fence
    rejects = True
    interruptible = True

    async def set_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder)
        await self.emulator.start()
        self.seen = 0
        self.events: list[dict[str, Any]] = []
        self.port = self.emulator.server.port

    async def tear_down(self) -> None:
        await self.emulator.stop()

    def make_target(self) -> EventHubsTarget:
        if not hasattr(self, "emulator"):
            text = f"Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey={SECRET}"
        else:
            text = self.emulator.connection_string()
        settings = EventHubsSettings(hub=HUB, connection_string=text, connect_timeout_seconds=20.0, timeout_seconds=20.0)
        return EventHubsTarget("hub", settings, self.clock)

    def bad_event(self) -> SealedEvent:
        return self.event("bad", 1, name="x" * 2_000_000)

    async def held(self, entity_id: str) -> Held | None:
        count = count_in(self.emulator)
        if self.seen != count:
            self.events = [json.loads(message.body_as_str()) for _, message in await read_hub(self.emulator)]
            self.seen = count
        held = max((one for one in self.events if one["entityId"] == entity_id), key=lambda one: one["version"], default=None)
        if held is None or held["eventType"] == "EntityDeleted":
            return None
        return Held(held["version"], {name: one["value"] for name, one in held["changes"]["attributes"].items()})

    async def take_down(self) -> None:
        await self.emulator.stop()

    async def bring_up(self) -> None:
        self.emulator = Emulator(CONFIG, self.folder, port=self.port)
        await self.emulator.start()


SEND_ONLY = Policy("send", "c2VuZA==", frozenset({Right.SEND}))
LISTEN_ONLY = Policy("listen", "bGlzdGVu", frozenset({Right.LISTEN}))
POLICIES = (ROOT, SEND_ONLY, LISTEN_ONLY)


def with_emulator(check: Callable[[Emulator], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    async def run() -> Any:
        async with Emulator(CONFIG, policies=POLICIES, **settings) as emulator:
            return await check(emulator)

    return asyncio.run(run())


@asynccontextmanager
async def opened(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> AsyncIterator[EventHubsTarget]:
    more = {
        "connect_timeout_seconds": 20.0,
        "timeout_seconds": 20.0,
        "connection_string": emulator.connection_string(policy=policy),
    }
    target = EventHubsTarget("hub", EventHubsSettings(**{"hub": HUB, **more, **settings}), SystemClock())
    await target.open()
    try:
        yield target
    finally:
        await target.close()


def test_the_sdk_reads_the_sealed_bytes_the_key_and_the_properties() -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, correlation_id="run-1", classification="pii", retention_days=30)

    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            assert list(await target.send([Item(event)])) == [Delivered()]
        ((_, found),) = await read_hub(emulator)
        assert b"".join(found.body) == event.body
        assert found.partition_key == "straße/1".encode()
        assert (found.message_id, found.correlation_id, found.content_type) == (
            "Customer:straße/1:7",
            "run-1",
            "application/json",
        )
        assert found.raw_amqp_message.properties.subject == b"Customer.EntityChanged"
        properties = {name.decode(): value.decode() for name, value in found.properties.items()}
        assert properties.pop("traceparent").startswith("00-")
        assert properties == {"classification": "pii", "retention-days": "30"}

    with_emulator(check)


@pytest.mark.parametrize("envelope", ["cloudevents-structured", "cloudevents-binary"])
def test_the_sdk_of_cloudevents_reads_what_a_consumer_receives(envelope: str) -> None:
    event = sealed("straße/1", 7, {"name": "Zoë"}, classification="pii")

    async def check(emulator: Emulator) -> None:
        async with opened(emulator, envelope=envelope) as target:
            await target.send([Item(event)])
        ((_, found),) = await read_hub(emulator)
        body = b"".join(found.body)
        properties = {name.decode(): value.decode() for name, value in found.properties.items()}
        read = amqp.from_amqp(amqp.AMQPMessage({"content-type": found.content_type}, properties, body), JSONFormat())
        assert (read.get_id(), read.get_type()) == ("Customer:straße/1:7", "goldwire.EntityChanged")
        assert read.get_extension("partitionkey") == "straße/1"
        assert read.get_data() == json.loads(event.body)

    with_emulator(check)


def test_a_key_is_on_the_partition_that_the_service_takes_for_it() -> None:
    """The emulator routes a batch that the SDK sent by key alone, without our hash."""
    keys = [f"cluedin:entity:{n}" for n in range(40)] + ["straße", "李", "ÄÖÜ-ß"]

    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            await target.send([Item(sealed(key, 1)) for key in keys])
        ours = {event.partition_key: partition for partition, event in await read_hub(emulator)}
        async with EventHubProducerClient.from_connection_string(emulator.connection_string(HUB)) as producer:
            for key in keys:
                await producer.send_batch([EventData(b"{}")], partition_key=key)
        theirs = {
            event.partition_key: partition for partition, event in await read_hub(emulator) if event.body_as_str() == "{}"
        }
        assert theirs == ours
        assert set(ours.values()) == {"0", "1", "2", "3"}

    with_emulator(check)


@pytest.mark.parametrize(
    ("key", "hashed"),
    # of Microsoft's own tests of its clients, from the service's code
    [("7", -15263), ("131", 30562), ("7149583486996073602", 12977), ("FWfAT", -22341), ("sOdeEAsyQoEuEFPGerWO", -6503)],
)
def test_the_hash_is_that_of_the_service(key: str, hashed: int) -> None:
    for count in (1, 4, 7, 32):
        assert partition_of(key, count) == abs(hashed) % count


def test_more_than_fits_into_one_batch_goes_in_several() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            outcomes = await target.send([Item(sealed(f"e{n}", 1, {"name": "x" * 300_000})) for n in range(20)])
        assert [type(outcome) for outcome in outcomes] == [Delivered] * 20
        assert len(await read_hub(emulator)) == 20

    with_emulator(check)


def test_what_never_fits_is_rejected_with_its_size_and_takes_no_other_with_it() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            events = [sealed("a", 1), sealed("b", 1, {"name": "y" * 2_000_000}), sealed("c", 1)]
            outcomes = await target.send([Item(event) for event in events])
            closely = await target.send([Item(sealed("d", 1, {"name": "y" * 1_048_000}))])
        assert [type(outcome) for outcome in outcomes] == [Delivered, Rejected, Delivered]
        assert isinstance(closely[0], Rejected)
        assert "with its properties more than the 1,048,576" in closely[0].reason
        assert "2,000," in outcomes[1].reason
        assert "1,048,576" in outcomes[1].reason
        assert "yyy" not in outcomes[1].reason

    with_emulator(check)


def test_a_busy_service_is_left_alone_for_a_while() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator) as target:
            outcomes: list[Outcome] = []
            while not any(isinstance(outcome, Throttled) for outcome in outcomes):
                outcomes = list(await target.send([Item(sealed(f"e{n}", 1)) for n in range(40)]))
            assert {type(outcome) for outcome in outcomes} <= {Throttled, Delivered}
            assert next(outcome for outcome in outcomes if isinstance(outcome, Throttled)).wait_seconds

    with_emulator(check, limits=Limits(ingress_per_second=20.0))


def test_the_order_of_an_entity_survives_restarts_of_the_service(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        port = emulator.server.port
        async with opened(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0) as target:
            for version in range(1, 21):
                if version % 6 == 0:
                    await emulator.stop()
                    emulator = Emulator(CONFIG, tmp_path, port=port)
                    await emulator.start()
                waiting = [Item(sealed(f"e{n}", version)) for n in range(6)]
                while waiting:  # as the relay does: the same event again, and nothing newer before it is taken
                    outcomes = await target.send(waiting)
                    waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
        versions = defaultdict(list)
        for _, message in await read_hub(emulator):
            event = json.loads(message.body_as_str())
            versions[event["entityId"]].append(event["version"])
        await emulator.stop()
        for found in versions.values():
            assert found == sorted(found)
            assert set(found) == set(range(1, 21))
        assert len(versions) == 6

    asyncio.run(check())


def test_silence_is_unknown_and_then_for_certain_unavailable() -> None:
    """The service takes the connection and says nothing any more."""

    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        async with opened(emulator, ROOT, timeout_seconds=20.0, connect_timeout_seconds=20.0) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            await emulator.stop()
            found = [(await target.send([Item(sealed("a", 2))]))[0] for _ in range(2)]
        assert [type(outcome) for outcome in found] == [Unknown, Unavailable]
        assert all(isinstance(outcome, Unknown | Unavailable) and outcome.reason for outcome in found)

    asyncio.run(check())


class LaterClock(SystemClock):
    """The machine's clock, some time later."""

    later_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_seconds


def test_after_a_long_silence_a_cut_connection_is_replaced_before_anything_is_sent(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG, tmp_path)
        await emulator.start()
        clock = LaterClock()
        target = EventHubsTarget("hub", EventHubsSettings(hub=HUB, connection_string=emulator.connection_string()), clock)
        await target.open()
        assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        port = emulator.server.port
        await emulator.stop()
        emulator = Emulator(CONFIG, tmp_path, port=port)
        await emulator.start()
        clock.later_seconds = 300.0
        assert list(await target.send([Item(sealed("a", 2))])) == [Delivered()]
        await target.close()
        await emulator.stop()

    asyncio.run(check())


def opening(emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> Coroutine[Any, Any, BaseException | None]:
    async def try_it() -> BaseException | None:
        try:
            async with opened(emulator, policy, **settings):
                return None
        except (ConfigError, OSError) as error:
            return error

    return try_it()


def test_a_missing_hub_a_wrong_key_and_a_missing_right_end_the_opening_with_their_fix() -> None:
    async def check(emulator: Emulator) -> None:
        missing = await opening(emulator, hub="nowhere")
        assert isinstance(missing, ConfigError)
        assert "hub nowhere" in str(missing)
        assert "create it" in str(missing)
        wrong = await opening(emulator, Policy("send", "d3Jvbmc="))
        assert isinstance(wrong, ConfigError)
        assert "credential" in str(wrong)
        assert "d3Jvbmc=" not in str(wrong)
        listening = await opening(emulator, LISTEN_ONLY)
        assert isinstance(listening, ConfigError)
        assert "Send" in str(listening)

    with_emulator(check)


def test_a_number_of_partitions_that_is_not_the_settings_own_ends_the_opening() -> None:
    async def check(emulator: Emulator) -> None:
        assert await opening(emulator, partitions=4) is None
        found = await opening(emulator, partitions=2)
        assert isinstance(found, ConfigError)
        assert f"hub {HUB}: it has 4 partitions, but the settings say partitions: 2" in str(found)

    with_emulator(check)


@pytest.mark.parametrize("partitions", [4, None])
def test_added_partitions_are_noticed_before_an_event_goes_to_another(partitions: int | None) -> None:
    grown = BrokerConfig(hubs=(HubSettings(HUB, 8),))

    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        port, clock = emulator.server.port, LaterClock()
        settings = EventHubsSettings(hub=HUB, connection_string=emulator.connection_string(), partitions=partitions)
        target = EventHubsTarget("hub", settings, clock)
        await target.open()
        await emulator.stop()
        async with Emulator(grown, port=port) as emulator:
            clock.later_seconds = 300.0
            if partitions is None:
                assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
            else:
                for _ in range(2):
                    with pytest.raises(ConfigError, match="it has 8 partitions"):
                        await target.send([Item(sealed("a", 1))])
                assert count_in(emulator) == 0
            await target.close()

    asyncio.run(check())


def test_a_service_that_is_away_can_be_waited_for() -> None:
    async def check() -> None:
        emulator = Emulator(CONFIG)
        await emulator.start()
        text = emulator.connection_string()
        await emulator.stop()
        found = await opening(emulator, connection_string=text)
        assert isinstance(found, OSError)
        assert "not reachable" in str(found)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("policy", "state", "says"), [(SEND_ONLY, "note", "nothing could be read"), (ROOT, "note", "may read too")]
)
def test_a_check_names_partitions_and_size_and_what_a_key_can_do_too_much(policy: Policy, state: str, says: str) -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, policy) as target:
            before = {finding.subject: finding for finding in await target.check()}
            await target.send([Item(sealed("a", 1))])
            found = {finding.subject: finding for finding in await target.check()}
        assert before["rights"].state == "note"
        assert "once there is something to read" in before["rights"].text
        assert found["partitions"].text.startswith("4; set partitions: 4")
        assert "1,048,576" in found["event size"].text
        assert found["rights"].state == state
        assert says in found["rights"].text

    with_emulator(check)


def test_a_check_does_not_praise_a_key_that_reads_too_slowly() -> None:
    async def check(emulator: Emulator) -> None:
        async with opened(emulator, ROOT) as target:
            target._endpoint.reading_seconds = 0.0
            await target.send([Item(sealed("a", 1))])
            found = {finding.subject: finding for finding in await target.check()}
        assert found["rights"].state == "note"
        assert "nothing could be read" in found["rights"].text

    with_emulator(check)


def test_a_check_does_not_praise_a_key_that_another_reader_keeps_out() -> None:
    """A consumer with an epoch of its own has the partition, so that a check gets nothing to read."""

    async def check(emulator: Emulator) -> None:
        async with opened(emulator, ROOT) as target:
            await target.send([Item(sealed("a", 1))])
            text = emulator.connection_string(HUB)
            async with EventHubConsumerClient.from_connection_string(text, consumer_group="$Default") as owner:
                has = asyncio.Event()

                async def take(*_: Any) -> None:
                    has.set()

                reading = asyncio.create_task(owner.receive(take, starting_position="-1", owner_level=5))
                await asyncio.wait_for(has.wait(), 60)
                found = {finding.subject: finding for finding in await target.check()}
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        assert found["rights"].state == "note"
        assert "may read too" in found["rights"].text

    with_emulator(check)


def test_a_sas_token_alone_suffices() -> None:
    async def check(emulator: Emulator) -> None:
        place = f"sb://127.0.0.1:{emulator.server.port}/{HUB}"
        token = sas_token(place, SEND_ONLY)
        text = f"Endpoint=sb://127.0.0.1:{emulator.server.port};SharedAccessSignature={token};UseDevelopmentEmulator=true"
        async with opened(emulator, connection_string=text) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]

    with_emulator(check)


def test_a_sas_token_that_ends_is_named_as_what_to_renew() -> None:
    async def check(emulator: Emulator) -> None:
        place = f"127.0.0.1:{emulator.server.port}"
        async with AsyncExitStack() as stack:
            told = ""
            for life_seconds in (4, 16, 64):  # the first that suffices: on a slow machine a token ends before it was looked at
                token = sas_token(f"sb://{place}/{HUB}", SEND_ONLY, int(time.time()) + life_seconds)
                text = f"Endpoint=sb://{place};SharedAccessSignature={token};UseDevelopmentEmulator=true"
                with suppress(ConfigError, ConnectionError, EventHubError):
                    target = await stack.enter_async_context(opened(emulator, connection_string=text))
                    told = {finding.subject: finding.text for finding in await target.check()}["credential"]
                if "ends at" in told:
                    break
            assert "ends at" in told
            outcome: Outcome = Delivered()
            while "the SAS token ended at" not in getattr(outcome, "reason", ""):
                outcome = (await target.send([Item(sealed("a", 1))]))[0]
                assert isinstance(outcome, Delivered | Unknown | Unavailable)
            assert isinstance(outcome, Unavailable)
        failed = await opening(emulator, connection_string=text)
        assert isinstance(failed, ConfigError)
        assert "give a new one" in str(failed)
        assert token not in str(failed)

    with_emulator(check)


def sas_token(place: str, policy: Policy, expiry: int = 4_102_444_800) -> str:
    """A token as the services' documentation says to make one."""
    resource = quote(place, safe="")
    signature = base64.b64encode(hmac.digest(policy.key.encode(), f"{resource}\n{expiry}".encode(), "sha256")).decode()
    return f"SharedAccessSignature sr={resource}&sig={quote(signature, safe='')}&se={expiry}&skn={policy.name}"


class Certificates:
    """A certificate for localhost, and the file of the authority that a client is to trust."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        self.file = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.file)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.mark.parametrize("credential", ["connection_string", "sas_token"])
def test_tls_with_an_authority_of_its_own(certificates: Certificates, credential: str) -> None:
    async def check(emulator: Emulator) -> None:
        port = emulator.server.port
        given = (
            {"connection_string": emulator.connection_string(policy=SEND_ONLY)}
            if credential == "connection_string"
            else {
                "connection_string": None,
                "namespace": "localhost.",
                "sas_token": sas_token(f"sb://localhost./{HUB}", SEND_ONLY),
            }
        )
        address = {"endpoint_address": f"sb://localhost:{port}", "ca_file": certificates.file}
        async with opened(emulator, **given, **address) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]

    with_emulator(check, tls=certificates.context)


def test_a_certificate_that_nobody_trusts_names_the_setting_that_would(certificates: Certificates) -> None:
    async def check(emulator: Emulator) -> None:
        address = f"sb://localhost:{emulator.server.port}"
        found = await opening(emulator, endpoint_address=address)
        assert isinstance(found, ConfigError)
        assert "name its authority in ca_file" in str(found)
        missing = await opening(emulator, endpoint_address=address, ca_file="/nowhere.pem")
        assert isinstance(missing, ConfigError)
        assert "ca_file: there is no file /nowhere.pem" in str(missing)

    with_emulator(check, tls=certificates.context)


class Identity:
    """The endpoint at which a machine on Azure gets tokens of its managed identity, as App Service has it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                resource = unquote(self.path).partition("resource=")[2]
                body = json.dumps({"access_token": "a-token", "expires_on": "4102444800", "resource": resource})
                self.send_response(200 if outer.known else 400)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode() if outer.known else b'{"error": "no such identity"}')

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    found = Identity()
    monkeypatch.setenv("IDENTITY_ENDPOINT", found.url)
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.parametrize("kind", ["managed", "default"])
def test_the_identity_of_the_machine_suffices(certificates: Certificates, identity: Identity, kind: str) -> None:
    """azure-identity itself gets the token; the peer believes this one alone."""

    def believe(token: str, _audience: str) -> Claim:
        assert token == "a-token"
        return Claim("", frozenset({Right.SEND}), 4_102_444_800)

    async def check(emulator: Emulator) -> None:
        place = {"endpoint_address": f"sb://localhost:{emulator.server.port}", "ca_file": certificates.file}
        settings = {"connection_string": None, "namespace": "localhost.", "identity": kind}
        async with opened(emulator, **settings, **place) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        identity.known = False
        failed = await opening(emulator, **settings, **place)
        assert failed is not None
        assert "no token can be had" in str(failed)

    with_emulator(check, tls=certificates.context, jwt=believe)
    assert "eventhubs.azure.net" in unquote(identity.asked[0])


def test_the_kafka_endpoint_gets_its_token_from_the_identity_of_the_machine(identity: Identity) -> None:
    settings = EventHubsSettings(hub=HUB, endpoint="kafka", namespace="mdm", identity="managed")
    token, expires_at_seconds = entra_token("hub", settings)("")
    assert (token, expires_at_seconds) == ("a-token", 4_102_444_800)
    assert "https://mdm.servicebus.windows.net" in unquote(identity.asked[0])
    identity.known = False
    target = EventHubsTarget("hub", settings, SystemClock())
    with pytest.raises(ConnectionError, match="no token can be had"):
        asyncio.run(target.open())
    asyncio.run(target.close())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "set namespace"),
        ({"connection_string": "x", "sas_token": SECRET}, "not both"),
        ({"namespace": "mdm", "endpoint": "kafka", "sas_token": SECRET}, "sas_token"),
        ({"namespace": "mdm", "endpoint": "kafka", "transport": "websocket"}, "websocket"),
        ({"namespace": "mdm", "key": ("entityType",)}, "entityId"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        EventHubsSettings(hub=HUB, **settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SECRET, "not of the form"),
        (f"Endpoint=sb://a.example;SharedAccessKeyName=n;SharedAccessKey={SECRET};EntityPath=other", "EntityPath"),
        (f"Endpoint=sb://a.example;SharedAccessKeyName=n;SharedAccessKey={SECRET}", "is for a.example"),
    ],
)
def test_a_connection_string_that_does_not_fit_is_told_without_showing_it(text: str, says: str) -> None:
    settings = EventHubsSettings(hub=HUB, connection_string=text, namespace="mdm")
    with pytest.raises(ConfigError, match=says) as caught:
        EventHubsTarget("hub", settings, SystemClock())
    assert SECRET not in str(caught.value)


def test_the_kafka_endpoint_is_the_kafka_target_with_the_connection_string_as_password() -> None:
    text = f"Endpoint=sb://mdm.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey={SECRET}"
    target = EventHubsTarget("hub", EventHubsSettings(hub=HUB, endpoint="kafka", connection_string=text), SystemClock())
    inner = target._endpoint
    assert isinstance(inner, KafkaTarget)
    config = client_config("hub", inner.settings)
    assert config["bootstrap.servers"] == "mdm.servicebus.windows.net:9093"
    assert config["security.protocol"] == "sasl_ssl"
    assert (config["sasl.mechanisms"], config["sasl.username"], config["sasl.password"]) == ("PLAIN", "$ConnectionString", text)
    assert config["partitioner"] == "murmur2"
    assert inner.settings.topic == HUB
    assert SECRET not in repr(target.settings) + repr(inner.settings)


def test_the_kafka_endpoint_asks_entra_for_a_token_of_the_namespace() -> None:
    target = EventHubsTarget("hub", EventHubsSettings(hub=HUB, endpoint="kafka", namespace="mdm"), SystemClock())
    inner = target._endpoint
    assert isinstance(inner, KafkaTarget)
    config = client_config("hub", inner.settings)
    assert config["sasl.mechanisms"] == "OAUTHBEARER"
    assert "sasl.oauthbearer.method" not in config
    assert inner._token is not None


@pytest.mark.optional
@pytest.mark.skipif(
    "GOLDWIRE_TEST_EVENTHUB" not in os.environ, reason="no connection string with EntityPath in the environment"
)
@pytest.mark.parametrize("endpoint", ["amqp", "kafka"])
def test_a_real_namespace_takes_events(endpoint: str) -> None:
    text = os.environ["GOLDWIRE_TEST_EVENTHUB"]
    hub = text.partition("EntityPath=")[2].partition(";")[0]

    async def check() -> None:
        target = EventHubsTarget("hub", EventHubsSettings(hub=hub, connection_string=text, endpoint=endpoint), SystemClock())
        await target.open()
        try:
            assert {type(one) for one in await target.send([Item(sealed(f"e{n}", 1)) for n in range(20)])} == {Delivered}
        finally:
            await target.close()

    asyncio.run(check())
