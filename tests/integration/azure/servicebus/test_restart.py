"""The emulator is killed and started again while the real SDK sends and receives: nothing is lost, sessions stay in order."""

import json
import subprocess
import sys
import threading

import pytest
from azure.core.exceptions import AzureError
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage

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
        while not said.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            assert line, "the emulator ended before it was ready"
            said += line
        ready = json.loads(said)
        self.port, self.connection_string = ready["port"], ready["connection_string"]

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()

    def client(self):
        return ServiceBusClient.from_connection_string(self.connection_string, retry_total=0)


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path)
    yield made
    made.kill()


class Work(threading.Thread):
    """Does something again after every failure until it is finished."""

    def __init__(self, process):
        super().__init__()
        self.process, self.failure, self.over = process, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    with self.process.client() as client:
                        self.work(client)
                except (AzureError, OSError, ValueError):
                    self.over.wait(0.1)
        except Exception as error:  # noqa: BLE001 - it is raised in the test
            self.failure = error


class Sending(Work):
    """Sends every session's versions one after the other; what was not acknowledged is sent again, and known as a duplicate."""

    def __init__(self, process, versions):
        self.left = [(session, version) for version in range(versions) for session in SESSIONS]
        super().__init__(process)

    def work(self, client):
        with client.get_queue_sender("changes") as sender:
            while self.left and not self.over.is_set():
                session, version = self.left[0]
                sender.send_messages(ServiceBusMessage(f"{version}", session_id=session, message_id=f"{session}:{version}"))
                del self.left[0]
        self.over.set()


class Receiving(Work):
    """Takes one session after the other and completes its messages."""

    def __init__(self, process):
        self.received = {session: [] for session in SESSIONS}
        self.completed = {session: [] for session in SESSIONS}
        self.changed = threading.Condition()
        super().__init__(process)

    def work(self, client):
        with client.get_queue_receiver("changes", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5) as receiver:
            session = receiver.session.session_id
            for each in receiver.receive_messages(5, 5):
                self.received[session].append(int(str(each)))
                receiver.complete_message(each)
                with self.changed:
                    self.completed[session].append(int(str(each)))
                    self.changed.notify_all()

    def count(self):
        return sum(len(each) for each in self.completed.values())

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: self.count() >= count, PATIENCE_SECONDS), f"{self.count()} of {count} came"


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")  # the SDK leaves a cut connection's socket to the collector
@pytest.mark.parametrize(
    ("versions", "kills"),
    [(30, (10, 25, 45)), pytest.param(150, tuple(range(20, 440, 30)), marks=pytest.mark.optional)],
)
def test_a_killed_emulator_loses_nothing_and_keeps_the_order(process, versions, kills):
    sending, receiving = Sending(process, versions), Receiving(process)
    for completed in kills:
        receiving.wait_for(completed)
        process.kill()
        process.start()
    sending.join(PATIENCE_SECONDS)
    assert sending.left == []
    with receiving.changed:
        complete = receiving.changed.wait_for(
            lambda: all(each and each[-1] == versions - 1 for each in receiving.received.values()), PATIENCE_SECONDS
        )
        assert complete, receiving.received
    receiving.over.set()
    receiving.join(PATIENCE_SECONDS)
    assert receiving.failure is sending.failure is None
    for session in SESSIONS:
        seen = receiving.received[session]
        assert sorted(set(seen)) == list(range(versions)), "nothing is lost"
        assert seen == sorted(seen), "nothing older comes after something newer"
        completed = receiving.completed[session]
        assert len(completed) == len(set(completed)), "what was completed never comes again"
