"""The emulator is killed, cut off or throttled while the real SDK works: nothing is lost, every session stays in order."""

import json
import secrets
import subprocess
import sys
import threading
import time
from random import Random

import pytest
from azure.core.exceptions import AzureError
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage

from goldwire_emulator.broker.config import parse_config

PATIENCE_SECONDS = 120
SESSIONS = ("a", "b", "c")
CONFIG = {
    "UserConfig": {
        "Namespaces": [
            {
                "Name": "sbemulatorns",
                "Queues": [
                    {
                        "Name": "changes",
                        "Properties": {"RequiresSession": True, "RequiresDuplicateDetection": True, "MaxDeliveryCount": 100},
                    }
                ],
            }
        ],
        "Logging": {"Type": "Console"},
    }
}


class Process:
    """An emulator in a process of its own, which keeps its port and its folder when it is killed."""

    def __init__(self, folder):
        self.folder, self.port = folder, 0
        (folder / "Config.json").write_text(json.dumps(CONFIG))
        self.start()

    def start(self):
        command = [sys.executable, "-m", "goldwire", "emulator", "--json", "--port", str(self.port)]
        command += ["--config", str(self.folder / "Config.json"), "--data", str(self.folder / "data")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = ""
        while not said.endswith("\n}\n"):
            line = self.process.stdout.readline()
            assert line, "the emulator ended before it was ready"
            said += line
        ready = json.loads(said)
        self.port, self.connection_string = ready["port"], ready["connection_string"]

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()

    def disturb(self, _):
        self.kill()
        self.start()


class Cut:
    """An emulator in a thread, whose connections are cut without a word."""

    def __init__(self, running):
        self.running, self.connection_string = running, running.connection_string()

    def disturb(self, _):
        while not self.running.call(self.running.emulator.server.drop_connections):
            threading.Event().wait(0.01)  # just then no client was connected


class Throttled(Cut):
    """An emulator in a thread that takes nothing for a while, until a sender was refused."""

    def disturb(self, sending):
        told = sending.failures
        self.running.call(self.running.emulator.broker.throttle, 0.001)
        if sending.left:
            sending.wait_for_failure(told)
        self.running.call(self.running.emulator.broker.throttle, None)


@pytest.fixture
def peer(request, tmp_path, start):
    if request.param is Process:
        made = Process(tmp_path)
        yield made
        made.kill()
    else:
        yield request.param(start(parse_config(json.dumps(CONFIG))))


class Work(threading.Thread):
    """Does something again after every failure until it is finished, alone or beside another."""

    def __init__(self, peer, beside=None):
        super().__init__(daemon=True)
        self.peer, self.failure, self.over = peer, None, threading.Event()
        self.changed, self.failures = beside.changed if beside else threading.Condition(), 0
        self.all = [self, beside] if beside else [self]
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    with ServiceBusClient.from_connection_string(self.peer.connection_string, retry_total=0) as client:
                        self.work(client)
                except (AzureError, OSError, ValueError):
                    with self.changed:
                        self.failures += 1
                        self.changed.notify_all()
                    self.over.wait(0.1)
        except Exception as error:  # noqa: BLE001 - it is raised in the test
            with self.changed:
                self.failure = error
                self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join(PATIENCE_SECONDS)

    def wait_until(self, condition, what):
        """Wait for what the work brings about; what ended any of it is raised here, where somebody sees it."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition() or any(work.failure for work in self.all), PATIENCE_SECONDS), (
                what()
            )
            for work in self.all:
                if work.failure:
                    raise work.failure

    def wait_for_failure(self, known):
        self.wait_until(lambda: self.failures > known or self.over.is_set(), lambda: "no sender was told")


class Sending(Work):
    """Sends every session's versions one after the other; what was not acknowledged is sent again, and known as a duplicate."""

    def __init__(self, peer, versions):
        self.left = [(session, version) for version in range(versions) for session in SESSIONS]
        super().__init__(peer)

    def work(self, client):
        with client.get_queue_sender("changes") as sender:
            while self.left and not self.over.is_set():
                session, version = self.left[0]
                sender.send_messages(ServiceBusMessage(f"{version}", session_id=session, message_id=f"{session}:{version}"))
                del self.left[0]
        self.over.set()
        with self.changed:
            self.changed.notify_all()


class Receiving(Work):
    """Takes one session after the other and completes its messages."""

    def __init__(self, peer, sending):
        self.received = {session: [] for session in SESSIONS}
        self.completed = {session: [] for session in SESSIONS}
        super().__init__(peer, sending)

    def work(self, client):
        with client.get_queue_receiver("changes", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1) as receiver:
            session = receiver.session.session_id
            for each in receiver.receive_messages(5, 1):
                self.received[session].append(int(str(each)))
                receiver.complete_message(each)
                with self.changed:
                    self.completed[session].append(int(str(each)))
                    self.changed.notify_all()

    def count(self):
        return sum(len(each) for each in self.completed.values())

    def wait_for(self, count):
        self.wait_until(lambda: self.count() >= count, lambda: f"{self.count()} of {count} came")


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves a cut connection's socket to the collector
@pytest.mark.parametrize(
    ("peer", "versions", "times"),
    [
        pytest.param(Process, 30, (10, 25, 45), id="killed"),
        pytest.param(Process, 150, tuple(range(20, 440, 30)), marks=pytest.mark.optional, id="killed often"),
        pytest.param(Cut, 30, (10, 25, 45), id="cut"),
        pytest.param(Throttled, 30, (5, 15, 25), id="throttled"),
    ],
    indirect=["peer"],
)
def test_nothing_is_lost_and_the_order_is_kept(peer, versions, times):
    seed = secrets.randbits(32)
    print(f"the moments are those of seed {seed}")  # noqa: T201 - pytest shows it with a failure
    chance = Random(seed)
    with Sending(peer, versions) as sending, Receiving(peer, sending) as receiving:
        for completed in times:
            receiving.wait_for(completed + chance.randrange(8))
            time.sleep(chance.random() / 20)
            peer.disturb(sending)
        sending.join(PATIENCE_SECONDS)
        assert sending.left == []
        receiving.wait_until(
            lambda: all(each and each[-1] == versions - 1 for each in receiving.received.values()), lambda: receiving.received
        )
    assert receiving.failure is sending.failure is None
    for session in SESSIONS:
        seen = receiving.received[session]
        assert sorted(set(seen)) == list(range(versions)), "nothing is lost"
        assert seen == sorted(seen), "nothing older comes after something newer"
        completed = receiving.completed[session]
        assert len(completed) == len(set(completed)), "what was completed never comes again"
