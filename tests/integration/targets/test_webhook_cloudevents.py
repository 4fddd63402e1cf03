"""What a `webhook` target sends as CloudEvents over real HTTP, read by the SDKs of CloudEvents and Standard Webhooks."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from goldwire.clock import SystemClock
from goldwire.event.chain import verify
from goldwire.event.headers import message_id, partition_key, traceparent
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Item
from goldwire.targets.webhook.settings import WebhookSettings
from goldwire.targets.webhook.target import WebhookTarget
from goldwire.testing.events import deleted, sealed
from goldwire_consumer.message import Message as BrokerMessage
from goldwire_consumer.message import read, wire_headers

SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
SCRIPT = Path(__file__).parents[2] / "support" / "javascript" / "cloudevents_reader.js"
MODES = ("cloudevents-structured", "cloudevents-binary", "cloudevents-batch")
EVENT = sealed(
    'straße "1"%41 李', 7, {"name": 'Zoë \\ "x" \u2028'}, correlation_id="run %1", classification="pii,secret",
    retention_days=30,
)  # fmt: skip


class Requests:
    """A server of the standard library that keeps what came."""

    def __init__(self) -> None:
        self.came: deque[tuple[Message, bytes]] = deque()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner.came.append((self.headers, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def post(self, *items: Item, **settings: Any) -> list[tuple[dict[str, str], bytes]]:
        self.came.clear()

        async def run() -> Sequence[Any]:
            target = WebhookTarget("shop", WebhookSettings(url=self.url, connections=1, **settings), SystemClock())
            await target.open()
            try:
                return await target.send(items)
            finally:
                await target.close()

        assert asyncio.run(run()) == [Delivered()] * len(items)
        return [({name.lower(): value for name, value in headers.items()}, body) for headers, body in self.came]


@pytest.fixture(scope="module")
def requests() -> Iterator[Requests]:
    found = Requests()
    yield found
    found.server.shutdown()
    found.server.server_close()


def read_all(came: list[tuple[dict[str, str], bytes]]) -> list[BaseCloudEvent]:
    """What the SDK makes of requests. It knows no batch, so of that it reads each element, as the JSON format has it."""
    found = []
    for headers, body in came:
        if headers["content-type"].startswith("application/cloudevents-batch+json"):
            found += [JSONFormat().read(None, bytes(one)) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
        else:
            found.append(http.from_http_event(http.HTTPMessage(headers, body)))
    return found


def data_of(event: BaseCloudEvent) -> Any:
    data = event.get_data()
    return json.loads(data) if isinstance(data, bytes | str) else data


@pytest.mark.parametrize("mode", MODES)
def test_the_sdk_of_cloudevents_reads_every_attribute_and_the_event(requests: Requests, mode: str) -> None:
    others = {"cloudevents_dataschema": "https://example.com/customers.json"}
    (found,) = read_all(requests.post(Item(EVENT), envelope=mode, **others))
    assert (found.get_specversion(), found.get_id(), found.get_source()) == ("1.0", message_id(EVENT), "/goldwire/shop")
    assert (found.get_type(), found.get_subject()) == ("goldwire.EntityChanged", "Customer.EntityChanged")
    assert found.get_datacontenttype() == "application/json"
    assert found.get_dataschema() == "https://example.com/customers.json"
    assert found.get_time() == datetime.fromisoformat(EVENT.timestamp)
    extensions = {
        "partitionkey": partition_key(EVENT), "correlationid": "run %1", "traceparent": traceparent(EVENT), "version": "7",
        "classification": "pii,secret", "retentiondays": "30", "hash": json.loads(EVENT.body)["hash"],
    }  # fmt: skip
    assert {name: found.get_extension(name) for name in extensions} == extensions
    assert data_of(found) == json.loads(EVENT.body)


@pytest.mark.parametrize("mode", MODES)
def test_the_event_s_own_bytes_arrive_so_that_the_chain_is_verified(requests: Requests, mode: str) -> None:
    first = sealed("a", 1, {"name": "Zoë"})
    events = [first, sealed("a", 2, {"name": 1e21}, previous_hash=first.hash), deleted("b", 3)]
    came = [body for event in events for _, body in requests.post(Item(event), envelope=mode)]
    if mode == "cloudevents-binary":
        bodies = came
    else:
        type_ = list[dict[str, msgspec.Raw]] if mode == "cloudevents-batch" else dict[str, msgspec.Raw]
        decoded = [msgspec.json.decode(body, type=type_) for body in came]
        bodies = [bytes((one[0] if isinstance(one, list) else one)["data"]) for one in decoded]
    assert bodies == [event.body for event in events]
    assert verify(bodies)[0].whole
    assert not verify(bodies[1:])[0].whole


@pytest.mark.parametrize("mode", MODES)
def test_the_signature_is_accepted_by_the_library_of_standard_webhooks(requests: Requests, mode: str) -> None:
    items = [Item(sealed("ä", 1)), Item(sealed("b", 1))]
    for headers, body in requests.post(*items, envelope=mode, signing_secrets=(SECRET,)):
        assert Webhook(SECRET).verify(body, headers)
        with pytest.raises(Exception, match="signature"):
            Webhook(SECRET).verify(body + b" ", headers)


@pytest.mark.parametrize("mode", MODES)
def test_source_and_id_are_unique_for_each_event_and_the_same_on_a_resend(requests: Requests, mode: str) -> None:
    items = [
        Item(sealed("a", 1)), Item(sealed("b", 1)), Item(sealed("c" * 300, 1)), Item(sealed("d", 2)),
        Item(sealed("e", 1), replay_id="r1"),
    ]  # fmt: skip
    first, again = (requests.post(*items, envelope=mode) for _ in range(2))
    moment = ("date", "webhook-timestamp")
    assert [({k: v for k, v in headers.items() if k not in moment}, body) for headers, body in first] == [
        ({k: v for k, v in headers.items() if k not in moment}, body) for headers, body in again
    ]
    named = [(one.get_source(), one.get_id()) for one in read_all(first)]
    assert len(set(named)) == len(items)
    (plain,) = read_all(requests.post(Item(sealed("e", 1)), envelope=mode))
    assert (plain.get_source(), plain.get_id()) not in named, "a replay is another occurrence"


@pytest.mark.parametrize("mode", MODES)
def test_media_types_are_those_of_the_http_binding(requests: Requests, mode: str) -> None:
    ((headers, _),) = requests.post(Item(EVENT), envelope=mode)
    wanted = {
        "cloudevents-structured": "application/cloudevents+json; charset=utf-8",
        "cloudevents-binary": "application/json",
        "cloudevents-batch": "application/cloudevents-batch+json; charset=utf-8",
    }
    assert headers["content-type"] == wanted[mode]
    assert any(name.startswith("ce-") for name in headers) is (mode == "cloudevents-binary")


def test_a_batch_holds_as_many_events_as_the_settings_say_and_counts_them(requests: Requests) -> None:
    items = [Item(sealed(f"e{number}", 1)) for number in range(7)]
    came = requests.post(*items, envelope="cloudevents-batch", array_size=3)
    assert [headers["x-goldwire-count"] for headers, _ in came] == ["3", "3", "1"]
    assert [one.get_extension("partitionkey") for one in read_all(came)] == [f"e{number}" for number in range(7)]


@pytest.mark.parametrize("mode", ["cloudevents-structured", "cloudevents-binary"])
def test_the_kit_for_subscribers_reads_what_a_receiver_gets(requests: Requests, mode: str) -> None:
    event: SealedEvent = sealed("a", 7)
    ((headers, body),) = requests.post(Item(event), envelope=mode)
    found = read(BrokerMessage(body=body, headers=wire_headers(headers)))
    assert (found.entity_id, found.version) == ("a", 7)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(entity_id=TEXTS, correlation_id=TEXTS)
def test_every_text_survives_the_headers_of_the_binary_mode(requests: Requests, entity_id: str, correlation_id: str) -> None:
    event = sealed(entity_id, 1, correlation_id=correlation_id)
    (found,) = read_all(requests.post(Item(event), envelope="cloudevents-binary"))
    assert found.get_id() == message_id(event)
    assert found.get_extension("partitionkey") == entity_id
    assert found.get_extension("correlationid") == correlation_id


@pytest.mark.optional
@pytest.mark.timeout(600)
def test_the_javascript_sdk_of_cloudevents_reads_all_three_modes(requests: Requests, installer: Any, tmp_path: Path) -> None:
    """It knows batches, which the SDK for Python does not; but it (10.0.0) does not decode the headers of the binary mode."""
    modules = installer.from_npm("cloudevents@10").parent
    events = [sealed("goldwire:entity:7f2a", 7, {"name": "Zoë"}), sealed("b", 1)]
    came = [request for mode in MODES for request in requests.post(*map(Item, events), envelope=mode)]
    (tmp_path / "requests.json").write_text(json.dumps([{"headers": h, "body": b.decode()} for h, b in came]))
    done = subprocess.run(
        ["node", SCRIPT, tmp_path / "requests.json"], env={**os.environ, "NODE_PATH": str(modules)}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    each = [
        ["/goldwire/shop", message_id(one), "goldwire.EntityChanged", str(one.version), json.loads(one.body)] for one in events
    ]
    alone = [{"batch": False, "events": [one]} for one in each]
    assert json.loads(done.stdout) == [*alone, *alone, {"batch": True, "events": each}]
