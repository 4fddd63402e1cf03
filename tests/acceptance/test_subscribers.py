"""How far subscribers are and what they gave up is shown by a command, and is a metric of a running process."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from goldwire_emulator.kafka.cluster import KafkaCluster

TOPIC, GROUP, EVENTS = "golden", "warehouse", 6
DEADLINE_SECONDS = 60.0
CONFIG = """\
store: {{path: store.db}}
types: {{C: {{attributes: {{name: {{}}}}}}}}
sources: {{s: {{system: s, type: C, id: id}}}}
contracts: {{c: {{golden: false, approval: any}}}}
targets:
  file: {{kind: file, contract: c, settings: {{path: f.jsonl}}}}
  stream:
    kind: kafka
    contract: c
    settings:
      bootstrap_servers: [{address}]
      topic: golden
      tls: false
      subscribers: {{consumer_groups: [warehouse], every_seconds: 1}}
"""


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster(1, {TOPIC: 1}) as found:
        yield found


@pytest.fixture
def delivered(shell: Any, cluster: KafkaCluster) -> Any:
    shell.write("goldwire.yaml", CONFIG.format(address=cluster.bootstrap))
    shell.write("a.csv", "id,name\n" + "".join(f"{number},Ada\n" for number in range(EVENTS)))
    for words in (["apply"], ["ingest", "s", "a.csv"], ["run", "--until-caught-up"]):
        shell.run(*words)
    return shell


def read_to(cluster: KafkaCluster, position: int) -> None:
    client = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": GROUP})
    client.commit(offsets=[TopicPartition(TOPIC, 0, position)], asynchronous=False)
    client.close()


def test_the_command_shows_what_subscribers_have_yet_to_read(delivered: Any, cluster: KafkaCluster) -> None:
    read_to(cluster, 2)
    [report] = delivered.json("subscribers")
    assert (report["target"], report["error"]) == ("stream", None)
    assert report["subscribers"] == [
        {"subscriber": GROUP, "partition": "0", "read_to": 2, "newest": EVENTS, "waiting": EVENTS - 2, "dead_letters": None}
    ]
    assert re.search(rf"stream +{GROUP} +0 +2 +{EVENTS} +{EVENTS - 2}", delivered.run("subscribers", "stream").stdout)
    assert "knows nothing of subscribers" in delivered.fails("subscribers", "file", code=2)
    delivered.edit("      subscribers: {consumer_groups: [warehouse], every_seconds: 1}\n", "")
    assert "no target has `subscribers`" in delivered.run("subscribers").stdout
    assert "`settings.subscribers` is not set" in delivered.fails("subscribers", "stream", code=2)


def test_a_broker_that_is_away_is_an_error_of_its_own_target(delivered: Any, cluster: KafkaCluster) -> None:
    cluster.down()
    delivered.edit("tls: false", "tls: false\n      connect_timeout_seconds: 1")
    done = delivered.run("subscribers", "--json", code=1)
    [report] = json.loads(done.stdout)
    assert report["subscribers"] == []
    assert "no broker answers" in report["error"]
    assert json.loads(done.stderr)["event"] == report["error"]


def metrics(port: int, process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.poll() is None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
            return {name: float(value) for name, value in lines}
    except OSError:
        return {}


def until(port: int, process: subprocess.Popen[str], wanted: dict[str, float | None]) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while any((found := metrics(port, process)).get(name) != value for name, value in wanted.items()) or not found:
        assert time.monotonic() < give_up, {name: found.get(name) for name in wanted}
        time.sleep(0.1)


def test_a_running_process_keeps_the_metrics_of_subscribers_true(delivered: Any, cluster: KafkaCluster) -> None:
    lag = f'goldwire_subscriber_lag_events{{partition="0",subscriber="{GROUP}",target="stream"}}'
    known = 'goldwire_subscribers_known{target="stream"}'
    delivered.edit("tls: false", "tls: false\n      connect_timeout_seconds: 1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = delivered.start("run", "--metrics-port", str(port))
    until(port, process, {lag: EVENTS, known: 1})
    read_to(cluster, EVENTS - 1)
    until(port, process, {lag: 1, known: 1})
    cluster.down()
    until(port, process, {lag: None, known: 0})
    cluster.up()
    until(port, process, {lag: 1, known: 1})
    process.terminate()
    process.communicate(timeout=DEADLINE_SECONDS)
