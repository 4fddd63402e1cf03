"""Several targets, or one under several names, that send to one destination: what is refused, reported, and what arrives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient

CONFIG = {"UserConfig": {"Namespaces": [{"Name": "ns",
    "Queues": [{"Name": name, "Properties": {"RequiresDuplicateDetection": True}} for name in ("golden", "other")],
    "Topics": []}]}}  # fmt: skip
BUS = """\
  {name}:
    kind: service_bus
    contract: everything
    clearance: [pii]
    settings: {{ {queue}, sessions: false, connection_string: "${{env:{variable}}}" }}

log:
"""
HUB = """\
  hub:
    kind: event_hubs
    contract: everything
    clearance: [pii]
    settings: { hub: eh1, connection_string: "${env:KEY}" }

log:
"""
LOST = "it needs another message_id_suffix than target 'bus', which came to this destination first and sends Customer, too"
SHARED = "targets 'bus' and 'two' have the same destination and both send Customer"
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the collector


@pytest.fixture
def key(shell: Any) -> str:
    """The connection string of an emulator with two queues."""
    shell.write("Config.json", json.dumps(CONFIG))
    text: str = shell.emulator("--config", "Config.json", "--port", "0")[1]["connection_string"]
    return text


@pytest.fixture
def delivered(shell: Any, key: str) -> None:
    """A target `bus` that has delivered to the queue `golden`."""
    shell.environment |= {"KEY": key, "SAME": key}
    shell.lay_out()
    shell.edit("log:\n", BUS.format(name="bus", queue="queue: golden", variable="KEY"))
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("run", "--until-caught-up", "-t", "bus")


def ids_in(queue: str, connection_string: str) -> list[str]:
    client = ServiceBusClient.from_connection_string(connection_string)
    with client, client.get_queue_receiver(queue) as receiver:
        return sorted(str(message.message_id) for message in receiver.peek_messages(max_message_count=250))


def ledger(shell: Any, target: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in shell.json("ledger") if one["target"] == target)
    return found


def started_idle(shell: Any, target: str) -> Any:
    """Start a relay over an empty log, and wait until it is open."""
    process = shell.start("run", "-t", target)
    wait_until(lambda: any(one["target"] == target and one["state"] == "caught up" for one in shell.json("status")["targets"]))
    return process


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.2)


@pytest.mark.usefixtures("delivered")
def test_a_second_name_for_a_queue_is_refused_until_its_ids_are_its_own(shell: Any, key: str) -> None:
    before = ids_in("golden", key)
    shell.edit("log:\n", BUS.format(name="two", queue="queue: golden ", variable="SAME"))
    told = shell.fails("apply", code=2)
    assert LOST in told
    assert "goldwire.yaml:" in told
    shell.edit("queue: golden ,", "queue: other ,")
    assert [one["warnings"] for one in shell.json("apply")["targets"] if one["target"] == "two"] == [[]]
    shell.edit("queue: other ,", "queue: golden ,")
    assert LOST in shell.fails("run", "--until-caught-up", "-t", "two", code=2), "an edit that was not applied"
    assert LOST in str(shell.json("target", "check", "two", code=2)["findings"])
    assert ids_in("golden", key) == before
    shell.run("run", "--until-caught-up", "-t", "bus")  # the first target is not held up
    shell.edit("queue: golden ,", "queue: golden , message_id_suffix: two,")
    applied = {one["target"]: one for one in shell.json("apply")["targets"]}
    assert SHARED in str(applied["bus"]["warnings"])
    assert SHARED in str(applied["two"]["warnings"])
    assert shell.run("apply").stderr.count(SHARED) == 1
    shell.run("run", "--until-caught-up")
    assert ids_in("golden", key) == sorted([*before, *(f"{one}~t-two" for one in before)])


def test_a_relay_that_has_sent_nothing_yet_is_told_of_a_second_name_before_it_does(shell: Any, key: str) -> None:
    """Both were let in while the log was empty, each by itself; the second to send is the one that ends."""
    shell.environment |= {"KEY": key, "SAME": key}
    shell.lay_out()
    shell.edit("log:\n", BUS.format(name="bus", queue="queue: golden", variable="KEY"))
    shell.edit("log:\n", BUS.format(name="two", queue="queue: other ", variable="SAME"))
    shell.run("apply")
    idle = started_idle(shell, "bus")
    shell.edit("queue: other ", "queue: golden ")
    other = started_idle(shell, "two")
    shell.run("ingest", "crm", "data/crm.csv")
    wait_until(lambda: (idle.poll() is None) != (other.poll() is None))
    ended, alive, name = (idle, other, "two") if other.poll() is None else (other, idle, "bus")
    _, errors = ended.communicate()
    assert ended.returncode == 2
    assert f"it needs another message_id_suffix than target '{name}'" in errors
    wait_until(lambda: not ledger(shell, name)["pending"])
    alive.terminate()
    alive.communicate(timeout=60)
    loser = ledger(shell, {"bus": "two", "two": "bus"}[name])
    assert loser["delivered"] == 0
    assert loser["pending"] == loser["committed"] == len(ids_in("golden", key))


@pytest.fixture
def hub(shell: Any) -> None:
    """A target `hub` that is applied, and has delivered nothing."""
    shell.environment["KEY"] = shell.emulator("--port", "0")[1]["connection_string"]
    shell.lay_out()
    shell.edit("log:\n", HUB)
    shell.run("apply")


@pytest.mark.usefixtures("hub")
def test_a_key_that_is_edited_under_an_idle_relay_is_refused_once_that_has_sent(shell: Any) -> None:
    idle = started_idle(shell, "hub")
    shell.edit("hub: eh1,", "hub: eh1, key: [entityType, entityId],")
    shell.run("apply")  # nothing was sent yet, but the relay that runs has the old key
    shell.run("ingest", "crm", "data/crm.csv")
    wait_until(lambda: not ledger(shell, "hub")["pending"])
    idle.terminate()
    idle.communicate(timeout=60)
    assert "key cannot change once it has delivered" in shell.fails("run", "--until-caught-up", "-t", "hub", code=2)


@pytest.mark.usefixtures("delivered")
def test_a_renamed_target_is_a_second_name(shell: Any) -> None:
    shell.edit("  bus:\n", "  renamed:\n")
    assert LOST in shell.fails("apply", code=2)
    shell.edit("contract: everything", "contract: products")
    shell.edit("contracts:\n", "contracts:\n  products: { types: [Product] }\n")
    shell.edit("types:\n", "types:\n  Product: { attributes: { price: {} } }\n")
    shell.run("apply")  # with other entities neither is in the other's way
    findings = shell.json("target", "check", "renamed")["findings"]
    assert [one for one in findings if one["subject"] == "destination"] == []


def test_two_new_names_for_a_queue_are_refused_together(shell: Any, key: str) -> None:
    shell.environment |= {"KEY": key, "AGAIN": key}
    shell.lay_out()
    shell.edit("log:\n", BUS.format(name="bus", queue="queue: golden", variable="KEY"))
    shell.edit("log:\n", BUS.format(name="two", queue="queue: golden ", variable="AGAIN"))
    told = shell.fails("apply", code=2)
    assert told.count("message_id_suffix") == 1, "a pair is told once"
    shell.environment["AGAIN"] = key.replace("127.0.0.1", "127.0.0.2")
    shell.run("apply")  # what the connection strings say decides, and not that both are in variables


@pytest.mark.usefixtures("hub")
def test_a_live_hub_keeps_its_endpoint_under_another_name(shell: Any) -> None:
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("run", "--until-caught-up", "-t", "hub")
    shell.edit("  hub:\n", "  renamed:\n")
    shell.edit("hub: eh1,", "hub: eh1, endpoint: kafka, key: [entityType, entityId],")
    told = shell.fails("apply", code=2)
    assert "target 'renamed': endpoint is not that of target 'hub', which came to this destination first" in told
    assert "target 'renamed': key is not that of target 'hub'" in told
    shell.edit("endpoint: kafka, key: [entityType, entityId], ", "")
    assert "targets 'hub' and 'renamed' have the same destination" in shell.run("apply").stderr
    shared = [one["text"] for one in shell.json("target", "check", "renamed")["findings"] if one["subject"] == "destination"]
    assert "targets 'hub' and 'renamed' have the same destination" in shared[0]


HOLD = """
import sys
from goldwire.changelog.sqlite.store import SqliteStore
with SqliteStore(sys.argv[1]).lock_target("all destinations"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(shell: Any, delivered: None) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock under which targets reserve their placements, until its standard input is closed."""
    del delivered
    command = [sys.executable, "-c", HOLD, str(shell.folder / ".goldwire/store.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        shell.run("ingest", "billing", "data/billing.csv")
        yield holder
        holder.kill()


def pending(shell: Any, target: str) -> int | None:
    return next((one["pending"] for one in shell.json("ledger") if one["target"] == target), None)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_relay_that_waits_to_reserve_its_placement_is_ended_by_signals_and_holds_no_other_up(
    shell: Any, held: subprocess.Popen[str], key: str, signals: int
) -> None:
    process = shell.start("run", "-t", "bus", "-t", "events")
    wait_until(lambda: process.poll() is not None or pending(shell, "events") == 0)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode in ({0} if signals == 1 else {0, 130})
    assert pending(shell, "bus") == 4, "nothing was sent"
    held.communicate()
    shell.run("run", "--until-caught-up", "-t", "bus")
    assert len(ids_in("golden", key)) == ledger(shell, "bus")["delivered"]


@pytest.mark.usefixtures("held")
def test_a_relay_that_cannot_reserve_its_placement_ends_after_a_while_and_says_what_to_do(shell: Any) -> None:
    done = shell.run("run", "--until-caught-up", "-t", "bus", "-t", "events", code=4)
    assert "store.db: another process holds the lock under which a target reserves its placement" in done.stderr
    assert "end that process" in done.stderr
    assert (pending(shell, "events"), pending(shell, "bus")) == (0, 4)
