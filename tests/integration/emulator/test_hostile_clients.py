"""Clients that break the protocol or read nothing: the emulator's process stays up, small, and of use to others."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from goldwire_emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, frame, take_frame
from goldwire_emulator.amqp.message import Message
from goldwire_emulator.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    Flow,
    Open,
    Properties,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
    Transfer,
)
from goldwire_emulator.emulator import ROOT

PATIENCE_SECONDS = 60
MIB = 1 << 20
MAY_GROW_BYTES = 48 * MIB


class Process:
    """An emulator in a process of its own, whose memory can be looked at."""

    def __init__(self):
        command = [sys.executable, "-m", "goldwire", "emulator", "--json", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = ""
        while not said.endswith("\n}\n"):
            line = self.process.stdout.readline()
            assert line, "the emulator ended before it was ready"
            said += line
        ready = json.loads(said)
        self.port, self.connection_string = ready["port"], ready["connection_string"]

    def peak_bytes(self):
        """The most memory that it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def serves(self):
        """Whether the SDKs can still work with it."""
        with EventHubProducerClient.from_connection_string(self.connection_string, eventhub_name="eh1") as producer:
            producer.send_event(EventData("still there"))
        return self.process.poll() is None

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()


class Client:
    """A client that speaks frames over a blocking socket."""

    def __init__(self, port):
        self.socket = socket.socket()
        for side in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # small, so that what is not read stays with the emulator
            self.socket.setsockopt(socket.SOL_SOCKET, side, 65536)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""

    def open(self):
        """Begin as the namespace's policy may, with one session."""
        init = SaslInit("PLAIN", f"\0{ROOT.name}\0{ROOT.key}".encode())
        self.socket.sendall(SASL_HEADER + frame(0, init, kind=SASL) + AMQP_HEADER)
        self.say(Open("hostile"), Begin(next_outgoing_id=0, incoming_window=1 << 30, outgoing_window=1 << 30))
        self.skip(8)
        self.expect(SaslMechanisms)
        assert self.expect(SaslOutcome).outcome == 0
        self.skip(8)
        self.expect(Open)
        self.expect(Begin)
        return self

    def say(self, *performatives):
        self.socket.sendall(b"".join(frame(0, one) for one in performatives))

    def skip(self, count):
        while len(self.buffer) < count:
            self.buffer += self.socket.recv(65536)
        self.buffer = self.buffer[count:]

    def next(self):
        while True:
            found, end = take_frame(self.buffer, 0, MIB)
            if found is not None:
                self.buffer = self.buffer[end:]
                return found.performative
            more = self.socket.recv(65536)
            assert more, "the emulator hung up"
            self.buffer += more

    def expect(self, kind):
        """The next performative of a kind; others are passed over."""
        while not isinstance(found := self.next(), kind):
            pass
        return found

    def sender(self, address, handle=0):
        self.say(Attach(f"s{handle}", handle, role=False, source=Source("s"), target=Target(address), initial_delivery_count=0))
        self.expect(Attach)

    def receiver(self, address, handle=1, target="here"):
        self.say(Attach(f"r{handle}", handle, role=True, source=Source(address), target=Target(target)))
        self.expect(Attach)

    def send_until_refused(self, data):
        """Write the same bytes, a megabyte at a time, and read nothing; return how much was taken before it stalled."""
        self.socket.settimeout(1)
        block = data * (MIB // len(data))
        taken = 0
        try:
            while taken < 256 * MIB:
                taken += self.socket.send(memoryview(block)[taken % len(block) :])
        except TimeoutError:
            pass
        return taken


def transfer(payload, delivery_id=0, *, more=False):
    head = frame(0, Transfer(0, delivery_id, delivery_id.to_bytes(4, "big"), 0, settled=False, more=more))
    return (len(head) + len(payload)).to_bytes(4, "big") + head[4:] + payload


@pytest.fixture(scope="module")
def process():
    made = Process()
    assert made.serves()
    yield made
    made.stop()


@pytest.fixture
def client(process):
    made = Client(process.port)
    yield made
    made.socket.close()


def test_a_message_without_end_is_counted_and_not_kept(process, client):
    before = process.peak_bytes()
    client.open().sender("queue.1")
    part = transfer(bytes(60_000), more=True)
    for _ in range(3000):
        client.socket.sendall(part)
    client.socket.sendall(transfer(b"end"))
    assert client.expect(Disposition).state.error.condition == "amqp:link:message-size-exceeded"
    client.socket.sendall(transfer(Message(data=[b"a small one"]).encode(), 1))
    assert client.expect(Disposition).state.symbol == "amqp:accepted:list"
    assert process.peak_bytes() - before < MAY_GROW_BYTES


def test_answers_that_nobody_takes_end_their_link(process, client):
    before = process.peak_bytes()
    with (
        ServiceBusClient.from_connection_string(process.connection_string) as bus,
        bus.get_queue_sender("queue.1") as sender,
    ):
        for _ in range(5):
            sender.send_messages(ServiceBusMessage(bytes(200_000)))
    client.open().receiver("queue.1/$management", target="answers")
    client.sender("queue.1/$management")
    asked = Message(
        properties=Properties(message_id="m", reply_to="answers"),
        application_properties={"operation": "com.microsoft:peek-message"},
        value={"from-sequence-number": 0, "message-count": 100},
    ).encode()
    for number in range(300):
        client.socket.sendall(transfer(asked, number))
    assert client.expect(Detach).error.condition == "amqp:resource-limit-exceeded"
    assert process.peak_bytes() - before < MAY_GROW_BYTES


def test_a_client_that_asks_and_never_reads_is_not_read_any_more(process, client):
    before = process.peak_bytes()
    client.open()
    asking = Flow(incoming_window=100, next_outgoing_id=0, outgoing_window=100, echo=True)
    assert client.send_until_refused(frame(0, asking)) < 128 * MIB
    assert process.peak_bytes() - before < MAY_GROW_BYTES
    assert process.serves()


def test_a_consumer_that_reads_nothing_is_not_sent_all(process, client):
    before = process.peak_bytes()
    with EventHubProducerClient.from_connection_string(process.connection_string, eventhub_name="eh1") as producer:
        for _ in range(60):
            producer.send_batch([EventData(bytes(900_000))], partition_id="3")
    stored = process.peak_bytes() - before
    client.open().receiver("eh1/ConsumerGroups/$Default/Partitions/3")
    client.say(Flow(handle=1, delivery_count=0, link_credit=1 << 20, incoming_window=1 << 30, next_outgoing_id=0))
    assert process.serves()
    assert process.peak_bytes() - before - stored < MAY_GROW_BYTES


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 100,
        b"\0" * 100,
        SASL_HEADER + b"\x7f\xff\xff\xff\x02\x01\x00\x00",
        SASL_HEADER + b"\0\0\x10\0\x02\x01\0\0" + (b"\xc0\x04\x04" * 60).ljust(4088, b"\x40"),
    ],
)
def test_garbage_ends_the_connection_and_nothing_else(process, client, garbage):
    client.socket.sendall(garbage)
    while client.socket.recv(65536):
        pass
    assert process.serves()


def test_a_web_socket_is_refused_with_the_reason(client):
    client.socket.sendall(b"GET /$servicebus/websocket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
    assert b"501 AMQP over WebSockets" in client.socket.recv(65536)
    assert client.socket.recv(1) == b""


def test_connections_that_say_nothing_more_hinder_nobody(process):
    silent = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(200)]
    for number, one in enumerate(silent):
        one.sendall(SASL_HEADER[: number % 9])
    assert process.serves()
    for one in silent:
        one.close()


def test_a_frame_after_the_close_is_not_answered(process, client):
    client.open().say(Close())
    client.expect(Close)
    assert client.socket.recv(1) == b""
    assert process.serves()
