"""What a subscriber of a Service Bus gave up: listed and redriven on the command line, against the emulator as a process."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient

CONFIG = {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [
    {"Name": "golden", "Properties": {"RequiresDuplicateDetection": True}}], "Topics": []}]}}  # fmt: skip
TARGET = """\
  bus:
    kind: service_bus
    contract: everything
    clearance: [pii]
    settings: { queue: golden, sessions: false, connection_string: "${env:BUS}" }

log:
"""
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:unclosed (<s|transport):ResourceWarning"
    ),  # the SDK leaves cut sockets to the garbage collector
    pytest.mark.usefixtures("collected"),
]


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what the SDK leaves to the garbage collector while the test still bears it."""
    yield
    gc.collect()


@pytest.fixture
def queue(shell: Any) -> str:
    """The connection string of an emulator with one queue."""
    shell.write("Config.json", json.dumps(CONFIG))
    text: str = shell.emulator("--config", "Config.json", "--port", "0")[1]["connection_string"]
    return text


def given_up(connection_string: str, count: int, reason: str = "cannot parse") -> list[str]:
    """Receive so many messages and give them up; return their ids."""
    ids: list[str] = []
    client = ServiceBusClient.from_connection_string(connection_string)
    with client, client.get_queue_receiver("golden") as receiver:
        while len(ids) < count:
            for message in receiver.receive_messages(max_message_count=count, max_wait_time=30):
                ids.append(str(message.message_id))
                receiver.dead_letter_message(message, reason=reason, error_description="ada@analytical.example")
    return ids


def held(connection_string: str) -> dict[str, bytes]:
    """Peek at what the queue holds, by message id."""
    client = ServiceBusClient.from_connection_string(connection_string)
    with client, client.get_queue_receiver("golden") as receiver:
        return {str(message.message_id): b"".join(message.body) for message in receiver.peek_messages(max_message_count=100)}


def test_what_was_given_up_is_listed_and_sent_again(shell: Any, queue: str) -> None:
    shell.lay_out()
    shell.edit("log:\n", TARGET)
    shell.environment["BUS"] = queue
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("run", "--until-caught-up", "-t", "bus")
    before = held(queue)
    ids = given_up(queue, len(before))
    listed = shell.json("servicebus", "dead-letters", "list", "bus", "--connection-string", "${env:BUS}")
    assert [one["message_id"] for one in listed] == ids
    assert {one["reason"] for one in listed} == {"cannot parse"}
    assert "ada@" not in shell.run("servicebus", "dead-letters", "list", "bus").stdout
    first = str(listed[0]["sequence_number"])
    told = shell.fails("servicebus", "dead-letters", "redrive", "bus", first, "998", "999", code=11)
    assert "target bus: no dead letters have these numbers: 998, 999" in told
    assert shell.json("servicebus", "dead-letters", "redrive", "bus", "--all")["redriven"] == len(ids) - 1
    assert held(queue) == {f"{one['message_id']}~d{one['sequence_number']}": before[one["message_id"]] for one in listed}
    assert "no dead letters" in shell.run("servicebus", "dead-letters", "list", "bus").stdout
    assert "of kind file" in shell.fails("servicebus", "dead-letters", "list", "events", code=2)
    assert "NOTSET" in shell.fails("servicebus", "dead-letters", "list", "bus", "--connection-string", "${env:NOTSET}", code=2)


@pytest.mark.parametrize(("columns", "lines_each"), [(80, 6), (120, 4)])
def test_a_reason_that_is_a_stack_trace_keeps_the_list_readable(shell: Any, queue: str, columns: int, lines_each: int) -> None:
    shell.lay_out()
    shell.edit("log:\n", TARGET)
    shell.environment |= {"BUS": queue, "COLUMNS": str(columns), "FORCE_COLOR": "1"}
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("run", "--until-caught-up", "-t", "bus")
    reason = "\x1b[2JJsonException: the value could not be converted.\n   at Billing.Parse(Stream body)\n" * 20
    count = len(given_up(queue, len(held(queue)), reason))
    shown = shell.run("servicebus", "dead-letters", "list", "bus").stdout
    assert "JsonException" in shown
    assert "\x1b[2J" not in shown, "no subscriber writes to this terminal"
    assert len(shown.splitlines()) <= 3 + lines_each * count
    assert {one["reason"] for one in shell.json("servicebus", "dead-letters", "list", "bus")} == {reason}


def test_a_replay_passes_the_duplicate_detection_that_a_repetition_does_not(shell: Any, queue: str) -> None:
    shell.lay_out()
    shell.edit("log:\n", TARGET)
    shell.environment["BUS"] = queue
    shell.run("apply")
    shell.run("ingest", "crm", "data/crm.csv")
    shell.run("run", "--until-caught-up", "-t", "bus")
    before = held(queue)
    record = shell.json("replay", "start", "bus")
    assert (record["state"], record["events"]) == ("done", len(before))
    assert held(queue) == {**before, **{f"{id_}~{record['id']}": body for id_, body in before.items()}}
    shell.edit("queue: golden, ", "queue: golden, key: [entityType, entityId], ")
    [fix] = [one["text"] for one in shell.json("target", "check", "bus", code=2)["findings"] if one["state"] == "fix"]
    assert "key cannot change once it has delivered" in fix
    told = shell.fails("replay", "bus", code=2)
    assert "key cannot change once it has delivered" in told, "a replay moves entities no more than a run does"
    assert len(held(queue)) == 2 * len(before)
