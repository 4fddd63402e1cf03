"""`goldwire emulator` as a process: it says where it is, keeps what it took through SIGKILL, and reads Config.json."""

from __future__ import annotations

import gc
import json
import random
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageState, ServiceBusSubQueue
from azure.servicebus.exceptions import ServiceBusAuthorizationError, ServiceBusQuotaExceededError, ServiceBusServerBusyError

PATIENCE_SECONDS = 60
CONFIG = {"UserConfig": {"NamespaceConfig": [{"Type": "EventHub", "Name": "ns", "Entities": [
    {"Name": "orders", "PartitionCount": 2, "ConsumerGroups": [{"Name": "audit"}]}]}]}}  # fmt: skip


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what the SDK leaves to the garbage collector while the test still bears it."""
    yield
    gc.collect()


def producer(told: dict[str, Any], hub: str, **settings: Any) -> Any:
    return EventHubProducerClient.from_connection_string(told["connection_string"], eventhub_name=hub, **settings)


def received(told: dict[str, Any], hub: str, count: int, group: str = "$Default", **settings: Any) -> list[str]:
    found: list[str] = []
    enough = threading.Event()
    client = EventHubConsumerClient.from_connection_string(told["connection_string"], group, eventhub_name=hub, **settings)

    def on_event_batch(_: Any, events: list[Any]) -> None:
        found.extend(event.body_as_str() for event in events)
        if len(found) >= count:
            enough.set()

    given = {"on_event_batch": on_event_batch, "starting_position": "-1", "max_wait_time": 0.1}
    worker = threading.Thread(target=client.receive_batch, kwargs=given)
    worker.start()
    reached = enough.wait(PATIENCE_SECONDS)
    client.close()
    worker.join(PATIENCE_SECONDS)
    assert reached, found
    return found


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.usefixtures("collected")
def test_what_was_acknowledged_is_there_after_a_kill(shell: Any) -> None:
    shell.write("Config.json", json.dumps(CONFIG))
    process, told = shell.emulator("--config", "Config.json", "--data", "data", "--port", "0")
    port, acknowledged = str(told["port"]), []
    for number in range(3):
        with producer(told, "orders") as sender:
            for step in range(20):
                sender.send_event(EventData(f"{number}.{step}"), partition_key="one entity")
                acknowledged.append(f"{number}.{step}")
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        process, told = shell.emulator("--config", "Config.json", "--data", "data", "--port", port)
    assert received(told, "orders", len(acknowledged), "audit") == acknowledged


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.usefixtures("collected")
def test_a_producer_that_sends_on_through_kills_loses_nothing(shell: Any) -> None:
    process, told = shell.emulator("--data", "data", "--port", "0")
    acknowledged: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with producer(told, "eh1", retry_total=0) as sender:
            number = 0
            while not stop.is_set():
                try:
                    sender.send_event(EventData(f"{number}"), partition_id="0", timeout=10)
                except (EventHubError, OSError):
                    continue  # it was killed: the same event is sent again
                acknowledged.append(f"{number}")
                number += 1

    def wait_for(count: int, sending: Future[None]) -> None:
        while len(acknowledged) < count:
            time.sleep(0.01)
            if sending.done():
                sending.result()

    seed = secrets.randbits(32)
    print(f"the moments are those of seed {seed}")  # noqa: T201 - pytest shows it with a failure
    chance = random.Random(seed)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            for _ in range(3):
                wait_for(len(acknowledged) + chance.randrange(5, 40), sending)
                time.sleep(chance.random() / 50)
                process.kill()
                process.wait()
                process.stdout.close()
                process.stderr.close()
                process, told = shell.emulator("--data", "data", "--port", str(told["port"]))
            wait_for(len(acknowledged) + 10, sending)
        finally:
            stop.set()
        sending.result(PATIENCE_SECONDS)
    found = received(told, "eh1", len(acknowledged))
    assert list(dict.fromkeys(found))[: len(acknowledged)] == acknowledged


BUS = {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [
    {"Name": "work", "Properties": {"RequiresDuplicateDetection": True, "DuplicateDetectionHistoryTimeWindow": "PT5M"}},
    {"Name": "chats", "Properties": {"RequiresSession": True}}],
    "Topics": [{"Name": "changes", "Subscriptions": [{"Name": "north", "Rules": [{"Name": "r", "Properties": {
        "FilterType": "Sql", "SqlFilter": {"SqlExpression": "region = 'north'"},
        "Action": {"SqlExpression": "SET routed = 'yes'"}}}]}]}]}]}}  # fmt: skip


def texts(messages: list[Any]) -> list[str]:
    return [str(each) for each in messages]


def bring_into_every_state(client: ServiceBusClient) -> int:
    """Messages that are locked, failed, deferred, dead, scheduled, in a session; return the number of the scheduled one."""
    later = datetime.now(UTC) + timedelta(hours=1)
    with client.get_queue_sender("work") as sender:
        said = ("locked", "failed", "deferred", "dead", "free")
        sender.send_messages([ServiceBusMessage(text, message_id=text) for text in said])
        (number,) = sender.schedule_messages(ServiceBusMessage("scheduled", message_id="scheduled"), later)
    receiver = client.get_queue_receiver("work")
    found = {str(each): each for each in receiver.receive_messages(5, PATIENCE_SECONDS)}
    while len(found) < len(said):
        found |= {str(each): each for each in receiver.receive_messages(5, PATIENCE_SECONDS)}
    receiver.abandon_message(found["failed"])
    receiver.defer_message(found["deferred"])
    receiver.dead_letter_message(found["dead"], reason="bad", error_description="very")
    with client.get_queue_sender("chats") as sender:
        sender.send_messages([ServiceBusMessage(text, session_id="x") for text in ("first", "second")])
    with client.get_queue_receiver("chats", session_id="x") as session:
        session.session.set_state(b"half way")
        session.complete_message(session.receive_messages(1, PATIENCE_SECONDS)[0])
    with client.get_topic_sender("changes") as sender:
        sender.send_messages([ServiceBusMessage(one, application_properties={"region": one}) for one in ("north", "south")])
    return int(number)


def see_every_state(client: ServiceBusClient, number: int) -> None:
    """All of it again, after a restart."""
    with client.get_queue_sender("work") as sender:
        sender.send_messages(ServiceBusMessage("again", message_id="free"))  # known from before: forgotten
        sender.send_messages(ServiceBusMessage("new", message_id="new"))
    with client.get_queue_receiver("work") as receiver:
        held = {str(each): each for each in receiver.peek_messages(10, sequence_number=1)}
        assert list(held) == ["locked", "failed", "deferred", "free", "scheduled", "new"]
        numbers = {text: held[text].sequence_number for text in ("locked", "failed", "deferred", "free", "scheduled")}
        assert numbers == {"locked": 1, "failed": 2, "deferred": 3, "free": 5, "scheduled": number}
        assert held["new"].sequence_number > number
        assert (held["locked"].delivery_count, held["failed"].delivery_count) == (0, 1)
        assert held["scheduled"].state == ServiceBusMessageState.SCHEDULED
        (deferred,) = receiver.receive_deferred_messages(3)
        receiver.complete_message(deferred)
        (first,) = receiver.receive_messages(1, PATIENCE_SECONDS)
        assert str(first) == "locked", "the lock went with its receiver"
    with client.get_queue_sender("work") as sender:
        sender.cancel_scheduled_messages(number)
    with client.get_queue_receiver("work", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = receiver.receive_messages(1, PATIENCE_SECONDS)
        assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == ("dead", "bad", "very")
        assert (dead.sequence_number, dead.delivery_count) == (4, 0)
    with client.get_queue_receiver("chats", session_id="x") as session:
        assert session.session.get_state() == b"half way"
        assert texts(session.receive_messages(1, PATIENCE_SECONDS)) == ["second"]
    with client.get_subscription_receiver("changes", "north") as receiver:
        (north,) = receiver.receive_messages(2, PATIENCE_SECONDS)
        assert (str(north), north.application_properties[b"routed"]) == ("north", b"yes")


@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves cut sockets to the garbage collector
@pytest.mark.usefixtures("collected")
def test_every_state_of_a_message_is_there_after_a_kill(shell: Any) -> None:
    shell.write("Config.json", json.dumps(BUS))
    process, told = shell.emulator("--config", "Config.json", "--data", "data", "--port", "0")
    with ServiceBusClient.from_connection_string(told["connection_string"], retry_total=0) as client:
        number = bring_into_every_state(client)
        process.kill()
        process.wait()
    process.stdout.close()
    process.stderr.close()
    _, told = shell.emulator("--config", "Config.json", "--data", "data", "--port", str(told["port"]))
    with ServiceBusClient.from_connection_string(told["connection_string"], retry_total=0) as client:
        see_every_state(client, number)


def test_tls_with_a_certificate_that_it_makes(shell: Any) -> None:
    process, told = shell.emulator("--tls", "tls", "--port", "0")
    settings = {"custom_endpoint_address": told["endpoint"], "connection_verify": told["certificate"]}
    with producer(told, "eh1", **settings) as sender:
        sender.send_event(EventData("x"))
    assert received(told, "eh1", 1, "cg1", **settings) == ["x"]
    assert (shell.folder / "tls" / "key.pem").stat().st_mode & 0o077 == 0
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0


def test_a_target_that_only_gets_through_port_443_is_checked_to_the_end(shell: Any) -> None:
    _, told = shell.emulator("--tls", "tls", "--port", "0", "--https-port", "0")
    address = f"localhost:{told['https_port']}"
    key = told["connection_string"].partition(";")[2]
    settings = {
        "queue": "queue.sessions", "connection_string": "${file:secret}", "transport": "websocket",
        "endpoint_address": f"sb://{address}", "ca_file": told["certificate"],
    }  # fmt: skip
    shell.write("secret", f"Endpoint=sb://{address}/;{key}")
    bus = {"kind": "service_bus", "contract": "all", "settings": settings}
    types = {"Customer": {"attributes": {"name": {}}}}
    shell.write("goldwire.yaml", json.dumps({"types": types, "contracts": {"all": {}}, "targets": {"bus": bus}}))
    found = {one["subject"]: one for one in shell.json("target", "check", "bus")["findings"]}
    assert (found["sessions"]["state"], found["sessions"]["text"]) == ("ok", "the queue has sessions, as set")
    assert "off" in found["duplicate detection"]["text"]
    assert found["entity size limit"]["text"] == "a message may have 256 KB"


def test_what_comes_too_fast_is_refused_where_it_is_asked_for(shell: Any) -> None:
    _, told = shell.emulator("--throttle", "0.001", "--port", "0")
    with (
        ServiceBusClient.from_connection_string(told["connection_string"], retry_total=0) as client,
        client.get_queue_sender("queue.1") as sender,
    ):
        sender.send_messages(ServiceBusMessage("the first is within the rate"))
        with pytest.raises(ServiceBusServerBusyError):
            sender.send_messages(ServiceBusMessage("refused"))
        with client.get_queue_receiver("queue.1") as receiver:
            assert [str(each) for each in receiver.peek_messages(9)] == ["the first is within the rate"]


def test_what_is_too_much_for_a_queue_is_refused_where_it_is_asked_for(shell: Any) -> None:
    _, told = shell.emulator("--quota", "2000", "--port", "0")
    with (
        ServiceBusClient.from_connection_string(told["connection_string"], retry_total=0) as client,
        client.get_queue_sender("queue.1") as sender,
    ):
        sender.send_messages(ServiceBusMessage(bytes(1500)))
        with pytest.raises(ServiceBusQuotaExceededError):
            sender.send_messages(ServiceBusMessage(bytes(1500)))


def test_a_policy_may_do_what_it_was_made_for_and_no_more(shell: Any) -> None:
    _, told = shell.emulator(
        "--policy", "writer=send", "--policy", "reader=listen", "--policy", "both=send,listen", "--port", "0"
    )
    policies = told["policies"]
    assert {name: one["rights"] for name, one in policies.items()} == {
        "RootManageSharedAccessKey": ["Listen", "Manage", "Send"],
        "writer": ["Send"], "reader": ["Listen"], "both": ["Listen", "Send"],
    }  # fmt: skip
    writer, reader, both = (
        ServiceBusClient.from_connection_string(policies[name]["connection_string"], retry_total=0)
        for name in ("writer", "reader", "both")
    )
    with writer, reader, both:
        with writer.get_queue_sender("queue.1") as sender:
            sender.send_messages(ServiceBusMessage("a message"))
        with reader.get_queue_receiver("queue.1") as receiver:
            assert texts(receiver.peek_messages(9)) == ["a message"]
        with both.get_queue_receiver("queue.1") as receiver, both.get_queue_sender("queue.1") as sender:
            sender.send_messages(ServiceBusMessage("another"))
            assert texts(receiver.peek_messages(9)) == ["a message", "another"]
        with pytest.raises(ServiceBusAuthorizationError), writer.get_queue_receiver("queue.1") as receiver:
            receiver.receive_messages(max_wait_time=5)
        with pytest.raises(ServiceBusAuthorizationError), reader.get_queue_sender("queue.1") as sender:
            sender.send_messages(ServiceBusMessage("refused"))


def test_least_privilege_can_be_tried_with_target_check(shell: Any) -> None:
    _, told = shell.emulator("--policy", "writer=send", "--policy", "both=send,listen", "--port", "0")
    with producer(told, "eh1") as sender:
        sender.send_event(EventData("to be read"))
    for name in ("writer", "both"):
        shell.environment[name.upper()] = told["policies"][name]["connection_string"]
    targets = {
        f"{kind}-{name}": {
            "kind": kind, "contract": "all", "settings": {**entity, "connection_string": f"${{env:{name.upper()}}}"},
        }
        for kind, entity in (("event_hubs", {"hub": "eh1"}), ("service_bus", {"queue": "queue.sessions"}))
        for name in ("writer", "both")
    }  # fmt: skip
    types = {"Customer": {"attributes": {"name": {}}}}
    shell.write("goldwire.yaml", json.dumps({"types": types, "contracts": {"all": {}}, "targets": targets}))
    for target in targets:
        found = {one["subject"]: one["text"] for one in shell.json("target", "check", target)["findings"]}
        assert ("may read too" in found["rights"]) is target.endswith("both")


def test_it_says_in_one_line_where_it_is_and_ends_well(shell: Any) -> None:
    process = shell.start("emulator", "--port", "0", "--policy", "writer=send")
    line = process.stdout.readline()
    assert line.startswith("ready: Endpoint=sb://127.0.0.1:")
    assert line.endswith(";UseDevelopmentEmulator=true\n")
    named = line.removeprefix("ready: ").replace("RootManageSharedAccessKey", "writer")
    assert process.stdout.readline() == f"writer (Send): {named}"
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0


def test_data_of_entities_that_were_made_otherwise_is_refused(shell: Any) -> None:
    shell.write("Config.json", json.dumps(BUS))
    process, _ = shell.emulator("--config", "Config.json", "--data", "data", "--port", "0")
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0
    shell.write("Config.json", json.dumps(BUS).replace('"RequiresSession": true', '"RequiresSession": false'))
    told = shell.fails("emulator", "--config", "Config.json", "--data", "data", "--port", "0", code=3)
    assert "queue 'chats': RequiresSession is false in Config.json, and true in its store" in told


def test_a_file_without_entities_says_so(shell: Any) -> None:
    shell.write("Config.json", '{"UserConfig": {}}')
    process = shell.start("emulator", "--port", "0", "--config", "Config.json")
    assert process.stdout.readline().startswith("ready: ")
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert "it has no event hub, queue or topic" in process.stderr.read()


def test_what_cannot_be_begun_says_why(shell: Any) -> None:
    assert "none.json" in shell.fails("emulator", "--config", "none.json", code=3)
    shell.write("Config.json", '{"UserConfig": {"NamespaceConfig": [{"Entities": [{"Name": "a", "PartitionCount": "many"}]}]}}')
    assert "PartitionCount" in shell.fails("emulator", "--config", "Config.json", code=3)
    for wrong in ("writer", "writer=sent", "=send", "RootManageSharedAccessKey=send"):
        assert f"--policy {wrong}" in shell.fails("emulator", "--policy", wrong, code=3)
    assert "--tls" in shell.fails("emulator", "--https-port", "0", code=3)
    shell.write("tls/cert.pem", "no certificate")
    assert "cert.pem" in shell.fails("emulator", "--tls", "tls", "--port", "0", code=3)
    assert "Config.json: that is a file; give a folder" in shell.fails("emulator", "--data", "Config.json", code=3)
    assert "no certificate can be made there" in shell.fails("emulator", "--tls", "Config.json/x", "--port", "0", code=3)
    _, told = shell.emulator("--port", "0", "--data", "data")
    taken = shell.fails("emulator", "--port", str(told["port"]), code=1)
    assert taken == f"goldwire: --port {told['port']}: Address already in use; choose another port, or 0 for a free one\n"
    assert "another" in shell.fails("emulator", "--port", "0", "--data", "data", code=4)
