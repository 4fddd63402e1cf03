"""The `kafka` target, and `event_hubs` through its Kafka endpoint, against brokers that want TLS and proof of who we are."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from confluent_kafka import KafkaError

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget
from goldwire.targets.base import Delivered, Item, Outcome, Target, Unavailable, Unknown
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.amqp.sas import Policy, sas_token
from goldwire_emulator.certificate import CERTIFICATE, server_context
from goldwire_emulator.kafka.cluster import INIT_PRODUCER_ID, PRODUCE, KafkaCluster
from goldwire_emulator.kafka.gate import KafkaGate
from goldwire_emulator.kafka.sasl import (
    Admitted,
    Mechanism,
    OauthBearer,
    Plain,
    RefusedError,
    Scram,
    connection_strings,
    passwords,
)
from goldwire_emulator.tokens import TokenIssuer
from support.kafka_stage import TOPIC
from support.target_use import use

NO_TOKEN = "no token can be had"
USERS = {"goldwire": SECRET}
PASSWORDS: list[Mechanism] = [Plain(passwords(USERS)), Scram("SCRAM-SHA-256", USERS), Scram("SCRAM-SHA-512", USERS)]


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster(2, {TOPIC: 4}) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the certificate of the brokers is."""
    server_context(tmp_path)
    return tmp_path


def gate_before(cluster: KafkaCluster, folder: Path, *mechanisms: Mechanism, **more: Any) -> KafkaGate:
    return KafkaGate(cluster.bootstrap, mechanisms, tls=server_context(folder), **more)


PATIENT = 60.0
"""For connecting, where it must succeed: a busy machine may take its time."""
BRIEF = {"connect_timeout_seconds": 3.0}
"""Where it cannot succeed: the target tries until then, and reports what the broker said last."""


def kafka(gate: KafkaGate, folder: Path, **more: Any) -> KafkaTarget:
    plain: dict[str, Any] = {
        "topic": TOPIC,
        "bootstrap_servers": tuple(gate.bootstrap.split(",")),
        "ca_file": str(folder / CERTIFICATE),
        "connect_timeout_seconds": PATIENT,
        "timeout_seconds": 60.0,
    }
    return KafkaTarget("k", KafkaSettings(**{**plain, **more}), SystemClock())


def event_hub(gate: KafkaGate, folder: Path, **more: Any) -> EventHubsTarget:
    plain: dict[str, Any] = {
        "hub": TOPIC,
        "endpoint": "kafka",
        "endpoint_address": "sb://" + gate.bootstrap.partition(",")[0],
        "ca_file": str(folder / CERTIFICATE),
        "connect_timeout_seconds": PATIENT,
        "timeout_seconds": 10.0,
    }
    return EventHubsTarget("hub", EventHubsSettings(**{**plain, **more}), SystemClock())


async def send_one(target: Target) -> Outcome:
    return (await target.send([Item(sealed("a", 1))]))[0]


def failure(target: Target, *, again: bool = True) -> Exception:
    with pytest.raises((ConfigError, OSError)) as caught:
        use(target, send_one, again=again)
    assert SECRET not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("sasl", ["plain", "scram-sha-256", "scram-sha-512"])
def test_a_user_with_the_right_password_writes_over_tls(cluster: KafkaCluster, folder: Path, sasl: str) -> None:
    with gate_before(cluster, folder, *PASSWORDS) as gate:
        target = kafka(gate, folder, sasl=sasl, username="goldwire", password=SECRET)
        assert use(target, send_one) == Delivered()
        assert {one.name for one in gate.admitted} == {"goldwire"}
        assert gate.refused == 0
    assert [record.key() for record in cluster.records(TOPIC)] == [b"a"]


@pytest.mark.parametrize("sasl", ["plain", "scram-sha-256"])
def test_a_wrong_password_is_a_wrong_setting(cluster: KafkaCluster, folder: Path, sasl: str) -> None:
    with gate_before(cluster, folder, *PASSWORDS) as gate:
        found = failure(kafka(gate, folder, sasl=sasl, username="goldwire", password=SECRET[:-1], **BRIEF))
        assert isinstance(found, ConfigError)
        assert "does not accept the credentials" in str(found)
        assert gate.refused
        assert not gate.admitted


def test_a_certificate_that_nobody_trusts_names_the_setting_that_would(cluster: KafkaCluster, folder: Path) -> None:
    with gate_before(cluster, folder, *PASSWORDS) as gate:
        found = failure(kafka(gate, folder, ca_file=None, sasl="plain", username="goldwire", password=SECRET, **BRIEF))
    assert isinstance(found, ConfigError)
    assert "ca_file" in str(found)


def test_who_does_not_authenticate_is_not_let_in(cluster: KafkaCluster, folder: Path) -> None:
    with gate_before(cluster, folder, *PASSWORDS) as gate:
        assert isinstance(failure(kafka(gate, folder, **BRIEF), again=False), OSError)
        assert not gate.admitted


def test_a_mechanism_that_the_broker_does_not_have_is_a_wrong_setting(cluster: KafkaCluster, folder: Path) -> None:
    with gate_before(cluster, folder, Plain(passwords(USERS))) as gate:
        found = failure(kafka(gate, folder, sasl="scram-sha-512", username="goldwire", password=SECRET, **BRIEF))
    assert isinstance(found, ConfigError)
    assert "sasl" in str(found)


def test_a_password_that_is_changed_meanwhile_stops_the_target_until_it_is_changed_back(
    cluster: KafkaCluster, folder: Path
) -> None:
    """The connection breaks, and the client is not let in again: what was under way is unclear, the rest is certain."""
    users = dict(USERS)

    async def check(target: KafkaTarget) -> list[Outcome]:
        while not isinstance(await send_one(target), Delivered):
            pass
        users["goldwire"] = "another"
        gate.cut()
        told = [await send_one(target)]
        while isinstance(told[-1], Unknown) or "credentials" not in getattr(told[-1], "reason", ""):
            told.append(await send_one(target))
        users["goldwire"] = SECRET
        while not isinstance(await send_one(target), Delivered):
            pass
        return told

    with gate_before(cluster, folder, Plain(passwords(users))) as gate:
        target = kafka(gate, folder, sasl="plain", username="goldwire", password=SECRET, timeout_seconds=1.0, **BRIEF)
        first, *rest = use(target, check)
    assert isinstance(first, Unknown)
    assert {type(one) for one in rest} == {Unavailable}


def test_a_refusal_after_a_connection_that_broke_unseen_is_not_certain(cluster: KafkaCluster) -> None:
    """The broker writes, the connection breaks before it can say so, and the second try is refused.

    The client reports no break as long as another broker is well.
    """

    async def check(target: KafkaTarget) -> Outcome:
        await target.send([Item(sealed(f"z{number}", 1)) for number in range(20)])  # to both brokers
        before = cluster.seen(PRODUCE)
        cluster.delay(15.0)
        sending = asyncio.ensure_future(target.send([Item(sealed("a", 1))]))
        while cluster.seen(PRODUCE) == before:  # noqa: ASYNC110 - the broker does not report what comes in
            await asyncio.sleep(0.05)
        cluster.fail(PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
        gate.cut(idle=False)
        cluster.delay(0.0)
        return (await sending)[0]

    cluster.watch()
    with KafkaGate(cluster.bootstrap) as gate:
        servers = tuple(gate.bootstrap.split(","))
        settings = KafkaSettings(bootstrap_servers=servers, topic=TOPIC, tls=False)
        found = use(KafkaTarget("k", settings, SystemClock()), check)
    assert b"a" in {record.key() for record in cluster.records(TOPIC)}
    assert isinstance(found, Unknown), found


class Identity:
    """Gives tokens that expire: to OAuth clients by POST, and to machines with an identity, as App Service has it, by GET."""

    def __init__(self, lifetime_seconds: float) -> None:
        self.issuer = TokenIssuer(lifetime_seconds, time.time)
        self.well = True
        self.failed = 0
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.answer()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.asked.append(f"{self.headers['authorization']} {body.decode()}")
                self.answer()

            def answer(self) -> None:
                if not outer.well:
                    outer.failed += 1
                token, expires_at = outer.issuer.issue() if outer.well else ("", 0.0)
                body = {"access_token": token, "expires_on": str(int(expires_at)), "token_type": "Bearer", "resource": "r"}
                text = json.dumps(body if outer.well else {"error": "not now"}).encode()
                self.send_response(200 if outer.well else 400)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"

    def believe(self, token: str) -> Admitted:
        try:
            claims = self.issuer.verify(token)
        except ValueError as error:
            raise RefusedError(str(error)) from error
        return Admitted(claims["jti"], claims["exp"])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    found = Identity(5.0)
    monkeypatch.setenv("IDENTITY_ENDPOINT", found.url)
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    yield found
    found.close()


async def send_until(target: Target, enough: Callable[[int], bool]) -> int:
    """Send versions of some entities as the relay does, the same again until it is taken; return the last version."""
    version = 0
    while not enough(version):
        version += 1
        waiting = [Item(sealed(f"e{n}", version)) for n in range(5)]
        while waiting:
            outcomes = await target.send(waiting)
            assert {type(one) for one in outcomes} <= {Delivered, Unknown, Unavailable}, outcomes
            waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
    return version


def versions_in(cluster: KafkaCluster) -> dict[str, list[int]]:
    found = defaultdict(list)
    for record in cluster.records(TOPIC):
        event = json.loads(record.value())
        found[event["entityId"]].append(event["version"])
    return dict(found)


@pytest.mark.parametrize("announces", [True, False], ids=["re-authentication", "cut at the end"])
def test_tokens_of_entra_expire_and_nothing_is_lost_or_out_of_order(
    cluster: KafkaCluster, folder: Path, identity: Identity, announces: bool
) -> None:
    async def check(target: EventHubsTarget) -> int:
        return await send_until(target, lambda _: len({one.name for one in gate.admitted}) >= 4)

    with gate_before(cluster, folder, OauthBearer(identity.believe), announces=announces) as gate:
        target = event_hub(gate, folder, namespace="mdm", identity="managed")
        last = use(target, check)
    assert "https://mdm.servicebus.windows.net" in unquote(identity.asked[0])
    found = versions_in(cluster)
    assert len(found) == 5
    for versions in found.values():
        assert versions == sorted(versions)
        assert set(versions) == set(range(1, last + 1))


def test_an_identity_that_fails_for_longer_than_a_token_lasts_is_got_over(
    cluster: KafkaCluster, folder: Path, identity: Identity
) -> None:
    async def check(target: EventHubsTarget) -> tuple[list[Outcome], int]:
        await send_until(target, lambda version: version >= 20)
        identity.well = False
        bad = [Delivered()]
        while NO_TOKEN not in getattr(bad[-1], "reason", ""):
            bad.append(await send_one(target))
        identity.well = True
        return bad, await send_until(target, lambda version: version >= 20)

    with gate_before(cluster, folder, OauthBearer(identity.believe), announces=False) as gate:
        bad, _ = use(event_hub(gate, folder, namespace="mdm", identity="managed", timeout_seconds=1.0, **BRIEF), check)
    assert identity.failed
    assert isinstance(bad[-1], Unavailable)


def test_a_producer_that_is_at_its_end_while_there_is_no_token_is_replaced_when_there_is_one(
    cluster: KafkaCluster, folder: Path, identity: Identity
) -> None:
    async def check(target: EventHubsTarget) -> None:
        identity.well = False
        told: list[Outcome] = [Delivered()]
        while NO_TOKEN not in getattr(told[-1], "reason", ""):
            told.append(await send_one(target))
        told += [await send_one(target) for _ in range(2)]
        assert told[-3:] == [told[-1]] * 3
        assert isinstance(told[-1], Unavailable)
        identity.well = True
        while not isinstance(told[-1], Delivered):
            told.append(await send_one(target))

    cluster.fail(INIT_PRODUCER_ID, [KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 8)  # which no producer survives
    with gate_before(cluster, folder, OauthBearer(identity.believe), announces=False) as gate:
        use(event_hub(gate, folder, namespace="mdm", identity="managed", timeout_seconds=2.0, **BRIEF), check)


def test_an_open_that_was_given_up_leaves_no_client_behind() -> None:
    """Its token comes only after the caller has stopped waiting for it."""
    asked, late = threading.Event(), threading.Event()

    def token(_: str | None) -> tuple[str, float]:
        asked.set()
        late.wait(60)
        return "a token", time.time() + 3_600

    def running(name: str) -> bool:
        return any(thread.name == name for thread in threading.enumerate())

    async def check() -> None:
        settings = KafkaSettings(
            bootstrap_servers=tuple(cluster.bootstrap.split(",")), topic="alone", tls=False, sasl="oauthbearer"
        )
        target = KafkaTarget("given up", settings, SystemClock(), token=token)
        opening = asyncio.create_task(target.open())
        assert await asyncio.to_thread(asked.wait, 60), "no token was asked for"
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        late.set()
        await target.close()
        give_up = time.monotonic() + 60
        while running("target-given up") or running("kafka-alone"):  # the one makes the client, the other serves it
            assert time.monotonic() < give_up, "the client is still there"
            await asyncio.sleep(0.05)

    with KafkaCluster(1, {"alone": 1}) as cluster:
        asyncio.run(check())


def test_a_token_by_client_id_and_secret(cluster: KafkaCluster, folder: Path, identity: Identity) -> None:
    with gate_before(cluster, folder, OauthBearer(identity.believe)) as gate:
        given = {"oauth_token_url": identity.url, "oauth_client_id": "me", "oauth_client_secret": SECRET}
        target = kafka(gate, folder, sasl="oauthbearer", oauth_scope="kafka", **given)

        async def check(target: KafkaTarget) -> int:
            return await send_until(target, lambda _: len({one.name for one in gate.admitted}) >= 3)

        last = use(target, check)
    assert {tuple(versions) for versions in versions_in(cluster).values()} == {tuple(range(1, last + 1))}
    assert identity.asked[0].startswith("Basic ")
    assert "scope=kafka" in identity.asked[0]


SENDS = Policy("send", SECRET)


@pytest.mark.parametrize("form", ["key", "token"])
def test_the_kafka_endpoint_takes_a_connection_string(cluster: KafkaCluster, folder: Path, form: str) -> None:
    with gate_before(cluster, folder, Plain(connection_strings([SENDS], TOPIC, time.time))) as gate:
        how = f"SharedAccessKeyName=send;SharedAccessKey={SECRET}"
        if form == "token":
            how = f"SharedAccessSignature={sas_token(SENDS, f'sb://127.0.0.1/{TOPIC}', 4_102_444_800)}"
        target = event_hub(
            gate, folder, connection_string=f"Endpoint=sb://127.0.0.1/;{how};EntityPath={TOPIC}", timeout_seconds=60.0
        )
        assert use(target, send_one) == Delivered()
        assert gate.refused == 0
        ends = [one.text for one in use(target, lambda hub: hub.check()) if one.subject == "credential"]
        assert ends == (["the SAS token ends at 2100-01-01T00:00:00.000000Z; renew it before"] if form == "token" else [])
        found = failure(
            event_hub(gate, folder, connection_string=f"Endpoint=sb://127.0.0.1/;{how[:-1]};EntityPath={TOPIC}", **BRIEF)
        )
        assert isinstance(found, ConfigError)
        assert gate.refused
