"""Who an `event_hubs` target is, and whom it trusts: connection strings, SAS tokens, identities, certificates."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import trustme
from azure.eventhub.exceptions import EventHubError

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.azure.event_hubs.target import EventHubsSettings, EventHubsTarget, entra_token
from goldwire.targets.base import Delivered, Item, Outcome, Unavailable, Unknown
from goldwire.targets.kafka.settings import client_config
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.amqp.claims import Claim
from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.emulator import Emulator
from support.emulator_stage import SEND_ONLY, run_on_emulator
from support.hub_stage import CONFIG, HUB, hub_target
from support.target_use import failure_to_open, opened


def test_a_sas_token_alone_suffices() -> None:
    async def check(emulator: Emulator) -> None:
        location = f"sb://127.0.0.1:{emulator.server.port}/{HUB}"
        token = sas_token(location, SEND_ONLY)
        text = f"Endpoint=sb://127.0.0.1:{emulator.server.port};SharedAccessSignature={token};UseDevelopmentEmulator=true"
        async with opened(hub_target(emulator, connection_string=text)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]

    run_on_emulator(CONFIG, check)


def test_a_sas_token_that_ends_is_named_as_what_to_renew() -> None:
    async def check(emulator: Emulator) -> None:
        location = f"127.0.0.1:{emulator.server.port}"
        async with AsyncExitStack() as stack:
            told = ""
            for life_seconds in (4, 16, 64):  # the first that suffices: on a slow machine a token ends before it was looked at
                token = sas_token(f"sb://{location}/{HUB}", SEND_ONLY, int(time.time()) + life_seconds)
                text = f"Endpoint=sb://{location};SharedAccessSignature={token};UseDevelopmentEmulator=true"
                with suppress(ConfigError, ConnectionError, EventHubError):
                    target = await stack.enter_async_context(opened(hub_target(emulator, connection_string=text)))
                    told = {finding.subject: finding.text for finding in await target.check()}["credential"]
                if "ends at" in told:
                    break
            assert "ends at" in told
            outcome: Outcome = Delivered()
            while "the SAS token ended at" not in getattr(outcome, "reason", ""):
                outcome = (await target.send([Item(sealed("a", 1))]))[0]
                assert isinstance(outcome, Delivered | Unknown | Unavailable)
            assert isinstance(outcome, Unavailable)
        failed = await failure_to_open(hub_target(emulator, connection_string=text))
        assert isinstance(failed, ConfigError)
        assert "give a new one" in str(failed)
        assert token not in str(failed)

    run_on_emulator(CONFIG, check)


def sas_token(location: str, policy: Policy, expiry: int = 4_102_444_800) -> str:
    """A token as the services' documentation says to make one."""
    resource = quote(location, safe="")
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
        async with opened(hub_target(emulator, **given, **address)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]

    run_on_emulator(CONFIG, check, tls=certificates.context)


def test_a_certificate_that_nobody_trusts_names_the_setting_that_would(certificates: Certificates) -> None:
    async def check(emulator: Emulator) -> None:
        address = f"sb://localhost:{emulator.server.port}"
        found = await failure_to_open(hub_target(emulator, endpoint_address=address))
        assert isinstance(found, ConfigError)
        assert "name its authority in ca_file" in str(found)
        missing = await failure_to_open(hub_target(emulator, endpoint_address=address, ca_file="/nowhere.pem"))
        assert isinstance(missing, ConfigError)
        assert "ca_file: there is no file /nowhere.pem" in str(missing)

    run_on_emulator(CONFIG, check, tls=certificates.context)


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
        location = {"endpoint_address": f"sb://localhost:{emulator.server.port}", "ca_file": certificates.file}
        settings = {"connection_string": None, "namespace": "localhost.", "identity": kind}
        async with opened(hub_target(emulator, **settings, **location)) as target:
            assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        identity.known = False
        failed = await failure_to_open(hub_target(emulator, **settings, **location))
        assert failed is not None
        assert "no token can be had" in str(failed)

    run_on_emulator(CONFIG, check, tls=certificates.context, jwt=believe)
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
