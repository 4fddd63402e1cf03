"""The brokers, as a user meets them: apply, run, check, and a change that would break the order."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.event.chain import verify
from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.message import DATA, section
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings
from goldwire_emulator.broker.port import Event
from goldwire_emulator.emulator import ROOT, Emulator
from goldwire_emulator.kafka.cluster import KafkaCluster

TARGETS = """\
  stream:
    kind: kafka
    contract: everything
    clearance: [pii]
    settings: {{ bootstrap_servers: ["{kafka}"], topic: golden, tls: false }}
  hub:
    kind: event_hubs
    contract: everything
    clearance: [pii]
    settings: {{ hub: golden, connection_string: "${{env:AZURE}}" }}
  bus:
    kind: service_bus
    contract: everything
    clearance: [pii]
    settings: {{ queue: changes, connection_string: "${{env:AZURE}}" }}

log:
"""


LIVELY = """\
settings: { hub: golden, connection_string: "${env:AZURE}" }
    delivery: { mode: every, backoff_seconds: 0.1, backoff_limit_seconds: 0.5, poll_seconds: 0.1 }"""


LIKE_KAFKA = 'settings: {{ bootstrap_servers: ["{kafka}"], topic: golden, tls: false }}'


class Azure:
    """The local peer on a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = BrokerConfig(
            hubs=(HubSettings("golden", 4), HubSettings("second", 4)),
            queues=(QueueSettings(name="changes", requires_session=True),),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.send = Policy("send", "c2VuZA==", frozenset({Right.SEND}))
        self.port = 0
        self.start()

    def start(self) -> None:
        """Begin, or begin again in the same place with what was there."""
        self.emulator = Emulator(self._config, self._folder, policies=(ROOT, self.send), port=self.port)
        self.do(self.emulator.start())
        self.port = self.emulator.server.port

    def away(self) -> None:
        self.do(self.emulator.stop())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def events(self) -> list[Event]:
        async def read() -> list[Event]:
            hub = self.emulator.broker.event_hubs.hub("golden")
            return [event for partition in hub.partition_ids for event in hub.read(partition, 0, 100_000)]

        found: list[Event] = self.do(read())
        return found

    def stop(self) -> None:
        self.away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    running = Azure(tmp_path / "azure")
    yield running
    running.stop()


@pytest.fixture
def kafka() -> Iterator[KafkaCluster]:
    with KafkaCluster(1, {"golden": 4}) as cluster:
        yield cluster


@pytest.fixture
def brokers(shell: Any, azure: Azure, kafka: KafkaCluster) -> Any:
    """A workspace with a target for each broker, applied, and customers ingested."""
    shell.environment["AZURE"] = azure.emulator.connection_string(policy=azure.send)
    shell.lay_out()
    shell.edit("log:\n", TARGETS.format(kafka=kafka.bootstrap))
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    return shell


def test_every_broker_gets_every_record_and_the_ledger_balances(brokers: Any, azure: Azure, kafka: KafkaCluster) -> None:
    brokers.run("run", "--until-caught-up", "-t", "stream", "-t", "hub", "-t", "bus")
    counts = {one["target"]: one for one in brokers.json("ledger")}
    delivered = counts["stream"]["delivered"]
    assert delivered > 0
    assert counts["hub"]["delivered"] == counts["bus"]["delivered"] == delivered
    records = kafka.records("golden")
    assert len(records) == delivered
    assert len(azure.events()) == delivered
    assert verify([record.value() for record in records])[1] == []


def test_a_check_says_what_is_so_and_exits_with_zero(brokers: Any) -> None:
    for name in ("stream", "hub", "bus", "events"):
        found = brokers.json("target", "check", name)
        assert found["sound"], found
        assert found["findings"][0] == {"subject": "connection", "state": "ok", "text": "opens"}
    said = brokers.run("target", "check", "hub").stdout
    assert "partitions" in said
    assert "hub (event_hubs) is sound" in said


def test_a_check_of_what_is_missing_names_the_fix_and_exits_with_two(brokers: Any) -> None:
    brokers.edit("hub: golden", "hub: nowhere")
    found = brokers.json("target", "check", "hub", code=2)
    assert not found["sound"]
    assert "create it" in found["findings"][0]["text"]
    assert "c2VuZA" not in json.dumps(found)
    brokers.edit("queue: changes,", "queue: changes, timeout_seconds: 60,")
    found = brokers.json("target", "check", "bus", code=2)
    assert "delivery.timeout_seconds" in found["findings"][-1]["text"]
    assert "no target nobody" in brokers.fails("target", "check", "nobody", code=11)


def test_the_endpoint_of_a_live_hub_cannot_change(brokers: Any) -> None:
    brokers.edit("hub: golden,", "hub: golden, endpoint: kafka,")
    brokers.run("apply")  # nothing was delivered yet, so nothing can lose its order
    brokers.edit("hub: golden, endpoint: kafka,", "hub: golden,")
    brokers.run("apply")
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("hub: golden,", "hub: golden, endpoint: kafka,")
    for words in (("apply",), ("apply", "--check"), ("run", "--until-caught-up", "-t", "hub"), ("replay", "hub")):
        said = brokers.fails(*words, code=2)
        assert "endpoint cannot change" in said
        assert "different partitions" in said
    brokers.edit("hub: golden, endpoint: kafka,", "hub: golden,")
    brokers.run("apply")
    brokers.edit("topic: golden,", "topic: golden, partitioner: crc32,")
    brokers.run("apply")  # that target has delivered nothing


def test_the_endpoint_of_a_hub_that_was_delivered_to_without_apply_cannot_change_either(brokers: Any) -> None:
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("hub: golden,", "hub: second,")
    brokers.write(
        "data/more.csv", "id,full_name,e_mail,phone,city,segment,updated_at\nC-9,Ann,a@x.example,1,Rome,a,2026-03-01\n"
    )
    brokers.run("ingest", "crm", "data/more.csv")
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("hub: second,", "hub: second, endpoint: kafka,")
    assert "endpoint cannot change" in brokers.fails("run", "--until-caught-up", "-t", "hub", code=2)


def test_the_way_back_to_a_hub_does_not_lead_to_another_endpoint_of_it(brokers: Any) -> None:
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("hub: golden,", "hub: second,")
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("hub: second,", "hub: golden, endpoint: kafka,")
    said = brokers.fails("apply", code=2)
    assert "endpoint cannot change" in said
    brokers.edit("hub: golden, endpoint: kafka,", "hub: golden,")
    brokers.run("run", "--until-caught-up", "-t", "hub")


def test_a_hub_is_the_same_whichever_variable_leads_to_it(brokers: Any) -> None:
    brokers.run("run", "--until-caught-up", "-t", "hub")
    told = 'hub: golden, connection_string: "${env:AZURE}"'
    for settings in (
        "hub: golden, namespace: mdm, key: [entityType, entityId]",
        'hub: second, connection_string: "${env:AZURE}"',
    ):
        brokers.edit(told, told := settings)
        brokers.run("apply")  # another namespace, another hub
    brokers.environment["AGAIN"] = brokers.environment["AZURE"]
    brokers.edit(told, 'hub: golden, connection_string: "${env:AGAIN}", key: [entityType, entityId]')
    assert "key cannot change" in brokers.fails("apply", code=2)


def test_a_live_target_cannot_become_one_of_another_broker(brokers: Any, kafka: KafkaCluster) -> None:
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("kind: event_hubs", "kind: kafka")
    brokers.edit('settings: { hub: golden, connection_string: "${env:AZURE}" }', LIKE_KAFKA.format(kafka=kafka.bootstrap))
    said = brokers.fails("apply", code=2)
    assert "kind (it was event_hubs) cannot change" in said
    assert "another partition" in said


def test_a_live_target_does_not_become_one_of_another_broker_by_way_of_a_file(brokers: Any, kafka: KafkaCluster) -> None:
    hub = 'settings: { hub: golden, connection_string: "${env:AZURE}" }'
    brokers.run("run", "--until-caught-up", "-t", "hub")
    brokers.edit("  hub:\n    kind: event_hubs", "  hub:\n    kind: file")
    brokers.edit(hub, "settings: { path: out/hub.jsonl }")
    brokers.run("apply")
    brokers.edit("  hub:\n    kind: file", "  hub:\n    kind: kafka")
    brokers.edit("settings: { path: out/hub.jsonl }", LIKE_KAFKA.format(kafka=kafka.bootstrap))
    said = brokers.fails("apply", code=2)
    assert "kind (it was event_hubs) cannot change" in said


def test_an_outage_of_a_broker_loses_nothing_and_breaks_no_chain(brokers: Any, azure: Azure) -> None:
    """The relay runs; the service goes away and comes back twice, while changes come in."""
    brokers.edit('settings: { hub: golden, connection_string: "${env:AZURE}" }', LIVELY)
    relay = brokers.start("run", "-t", "hub")
    rows = ["id,full_name,e_mail,phone,city,segment,updated_at"]
    for number in range(1, 7):
        if number % 3 == 0:
            azure.away()
        rows += [f"C-{n},Name {n} {number},n{n}@example.com,1,Town {number},a,2026-03-0{number}T00:00:00Z" for n in range(30)]
        brokers.write("data/more.csv", "\n".join(rows) + "\n")
        brokers.run("ingest", "crm", "data/more.csv")
        if number % 3 == 0:
            azure.start()
    give_up = time.monotonic() + 120
    while (counts := {one["target"]: one for one in brokers.json("ledger")}["hub"])["pending"]:
        assert time.monotonic() < give_up, counts
        assert relay.poll() is None, relay.communicate()
        time.sleep(0.2)
    assert (counts["dead"], counts["parked"]) == (0, 0)
    relay.terminate()
    assert "Traceback" not in relay.communicate(timeout=60)[1]
    bodies = [section(event.payload, DATA) for event in azure.events()]
    found = [bytes(body) for body in bodies if body is not None]
    verified, findings = verify(found)
    assert findings == []
    assert len(found) >= counts["delivered"] > 100
    assert verified


def test_a_check_of_a_service_that_is_away_says_so_in_one_line(brokers: Any, azure: Azure) -> None:
    azure.away()
    for name in ("hub", "bus"):
        found = brokers.json("target", "check", name, code=2)
        assert "not reachable" in found["findings"][0]["text"]
    azure.start()
