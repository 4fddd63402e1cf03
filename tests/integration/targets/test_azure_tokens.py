"""Tokens of the machine's identity that expire all the time: the Azure targets lose no event and no order."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.eventhub.aio import EventHubConsumerClient
from azure.servicebus import TransportType
from azure.servicebus.aio import ServiceBusClient

from goldwire.clock import SystemClock
from goldwire.targets import registry
from goldwire.targets.base import Delivered, Item, Target
from goldwire.testing.events import sealed
from goldwire_emulator.amqp.claims import Claim
from goldwire_emulator.amqp.endpoint import AmqpError, Right
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings
from goldwire_emulator.emulator import Emulator

PATIENCE_SECONDS = 120
LIFE_SECONDS = 2
"""Of the first token; each lives a second longer than the one before, so that a slow machine comes to one that suffices."""
TOKENS = 4
ENTITIES = [f"e{number}" for number in range(4)]
CONFIG = BrokerConfig(
    hubs=(HubSettings("golden", 2),),
    queues=(QueueSettings(name="changes", requires_session=True, duplicate_window_ms=600_000),),
)


class Identity:
    """The endpoint at which a machine on Azure gets tokens of its managed identity; the first live for a few seconds."""

    def __init__(self) -> None:
        self.expires: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issued = len(outer.expires)
                token, expires_at = f"token-{issued}", int(time.time()) + LIFE_SECONDS + issued
                outer.expires[token] = expires_at
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps({"access_token": token, "expires_on": str(expires_at), "resource": "x"}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def believe(self, token: str, _audience: str) -> Claim:
        """What the emulator asks of a token."""
        if self.expires.get(token, 0) <= time.time():
            raise AmqpError("amqp:unauthorized-access", "ExpiredToken: the token is expired, or was never issued")
        return Claim("", frozenset({Right.SEND}), self.expires[token])


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    made = Identity()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{made.server.server_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    yield made
    made.server.shutdown()
    made.server.server_close()


async def open_as_the_relay_does(target: Target) -> None:
    """Again and again: a token may have ended before it was shown."""
    while True:
        try:
            return await target.open()
        except ConnectionError:
            await asyncio.sleep(0.1)


async def read_hub(string: str, connection: dict[str, Any], count: int) -> AsyncIterator[dict[str, Any]]:
    events: asyncio.Queue[Any] = asyncio.Queue()

    async def take(_: Any, event: Any) -> None:
        await events.put(json.loads(event.body_as_str()))

    async with EventHubConsumerClient.from_connection_string(
        string, "$Default", eventhub_name="golden", load_balancing_interval=0.5, **connection
    ) as client:
        reading = asyncio.create_task(client.receive(take, starting_position="-1"))
        for _ in range(count):
            yield await events.get()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def read_queue(string: str, connection: dict[str, Any], count: int) -> AsyncIterator[dict[str, Any]]:
    async with ServiceBusClient.from_connection_string(string, transport_type=TransportType.Amqp, **connection) as client:
        for entity in ENTITIES:
            async with client.get_queue_receiver("changes", session_id=entity) as receiver:
                left = count // len(ENTITIES)
                while left:
                    for message in await receiver.receive_messages(left, PATIENCE_SECONDS):
                        left -= 1
                        yield json.loads(b"".join(message.body))
                        await receiver.complete_message(message)


@pytest.mark.parametrize(("kind", "entity"), [("event_hubs", {"hub": "golden"}), ("service_bus", {"queue": "changes"})])
def test_tokens_that_expire_meanwhile_cost_neither_events_nor_order(
    tmp_path: Path, identity: Identity, kind: str, entity: dict[str, str]
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))

    async def run() -> None:
        async with Emulator(CONFIG, tls=context, jwt=identity.believe) as emulator, asyncio.timeout(PATIENCE_SECONDS):
            ca_file = str(tmp_path / "authority.pem")
            settings = {"namespace": "localhost.", "identity": "managed", "ca_file": ca_file, **entity}
            settings["endpoint_address"] = emulator.endpoint
            target = registry.build(kind, "azure", settings, SystemClock())
            await open_as_the_relay_does(target)
            version = 0
            while len(identity.expires) < TOKENS:
                version += 1
                waiting = [Item(sealed(name, version)) for name in ENTITIES]
                while waiting:  # as the relay does: the same event again, and nothing newer before it is taken
                    outcomes = await target.send(waiting)
                    waiting = [item for item, one in zip(waiting, outcomes, strict=True) if not isinstance(one, Delivered)]
                await asyncio.sleep(0.02)  # tokens end by the clock, whatever is sent meanwhile
            await target.close()
            connection = {"custom_endpoint_address": emulator.endpoint, "connection_verify": ca_file}
            held = emulator.broker.event_hubs.hub("golden")
            count = sum(held.state(one).last_sequence_number + 1 for one in held.partition_ids) or version * len(ENTITIES)
            versions = defaultdict(list)
            read = read_hub if kind == "event_hubs" else read_queue
            async for event in read(emulator.connection_string(), connection, count):
                versions[event["entityId"]].append(event["version"])
            assert set(versions) == set(ENTITIES)
            for found in versions.values():
                assert found == sorted(found), "nothing older comes after something newer"
                assert sorted(set(found)) == list(range(1, version + 1)), "nothing is lost"

    asyncio.run(run())
