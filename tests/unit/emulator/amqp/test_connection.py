"""The wire, frame by frame: handshakes, windows, credit, drain, settlement, and what is refused."""

import asyncio
import contextlib
from collections import deque

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire_emulator.amqp.claims import Claim
from goldwire_emulator.amqp.connection import Settings
from goldwire_emulator.amqp.endpoint import AmqpError, Attachment, Delivery, Direction, Right
from goldwire_emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, frame, take_frame, transfer_frames
from goldwire_emulator.amqp.message import Message
from goldwire_emulator.amqp.performatives import (
    Accepted,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Modified,
    Open,
    Properties,
    Rejected,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
    Transfer,
)
from goldwire_emulator.amqp.sas import SAS_KIND, Policy, SasAuthority, sas_token
from goldwire_emulator.amqp.values import Described, ULong
from goldwire_emulator.server import Server

PATIENCE_SECONDS = 60
POLICY = Policy("root", "key")


class Shelf:
    """A node that keeps what it is sent, and sends what it keeps."""

    def __init__(self):
        self.kept, self.taken, self.settled, self.links, self.open = deque(), [], [], [], 0
        self.waiting = None

    def rights(self, direction):
        return frozenset({Right.SEND if direction is Direction.INCOMING else Right.LISTEN})

    async def attach(self, request):
        if request.link_name == "waits":
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return Attachment(Giver(self) if request.direction is Direction.OUTGOING else Taker(self), max_message_size_bytes=5000)


class Half:
    def __init__(self, shelf):
        self.shelf = shelf

    def opened(self, link):
        self.shelf.links.append(link)
        self.shelf.open += 1
        if link.request.link_name == "breaks":
            raise RuntimeError("an endpoint with a bug")

    def closed(self):
        self.shelf.open -= 1


class Giver(Half):
    def take(self, credit):
        if None in self.shelf.kept:
            raise RuntimeError("an endpoint with a bug")
        count = min(credit, len(self.shelf.kept))
        return [Delivery(f"{number}".encode(), self.shelf.kept.popleft()) for number in range(count)]

    async def settle(self, settlements):
        self.shelf.settled += settlements
        return [Rejected(AmqpError("amqp:lost").as_error()) if one.tag == b"1" else one.state for one in settlements]


class Taker(Half):
    async def receive(self, deliveries):
        self.shelf.taken += deliveries
        return [Rejected(AmqpError("amqp:bad").as_error()) if b"bad" in one.payload else Accepted() for one in deliveries]


class Client:
    """A client that speaks frames."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer = reader, writer, b""

    def send(self, *performatives, channel=0):
        for one in performatives:
            self.writer.write(one if isinstance(one, bytes) else frame(channel, one))

    async def raw(self, count):
        while len(self.buffer) < count:
            more = await self.reader.read(65536)
            assert more, "the server hung up"
            self.buffer += more
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    async def next(self, *, heartbeats=False):
        while True:
            found, end = take_frame(self.buffer, 0, 1 << 20)
            if found is None:
                more = await self.reader.read(65536)
                if not more:
                    return None
                self.buffer += more
                continue
            self.buffer = self.buffer[end:]
            if found.performative is not None or heartbeats:
                return found

    async def expect(self, kind):
        found = await self.next()
        assert found is not None, f"the server hung up before a {kind.__name__}"
        assert isinstance(found.performative, kind), found.performative
        return found.performative

    async def sasl(self, mechanism="ANONYMOUS", response=b""):
        self.send(SASL_HEADER)
        assert await self.raw(8) == SASL_HEADER
        assert mechanism in (await self.expect(SaslMechanisms)).mechanisms
        self.send(frame(0, SaslInit(mechanism, response), kind=SASL))
        return (await self.expect(SaslOutcome)).outcome

    async def open(self, response=b"\0root\0key", **fields):
        assert await self.sasl("PLAIN", response) == 0
        self.send(AMQP_HEADER, Open("test", **fields))
        assert await self.raw(8) == AMQP_HEADER
        return await self.expect(Open)

    async def begin(self, **fields):
        self.send(Begin(**({"incoming_window": 100, "outgoing_window": 100} | fields)))
        return await self.expect(Begin)

    async def receiver(self, name="r", handle=1, **fields):
        self.send(Attach(name, handle, role=True, source=Source("shelf"), target=Target("t"), **fields))
        return await self.expect(Attach)

    async def sender(self, name="s", handle=2):
        self.send(Attach(name, handle, role=False, source=Source("s"), target=Target("shelf"), initial_delivery_count=0))
        attached = await self.expect(Attach)
        return attached, await self.expect(Flow)


def run(test, *, loop=None, **settings):
    """Run a test with a client that is connected to a server with a shelf, and with nothing that nobody catches."""
    broken = []

    async def main():
        shelf = Shelf()
        authority = SasAuthority([POLICY, Policy("reader", "key", frozenset({Right.LISTEN}))], lambda: 0.0)
        given = {"router": lambda address: shelf if address == "shelf" else None, "authority": authority, "now": lambda: 0.0}
        server = Server(Settings(**(given | settings)))
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await test(Client(reader, writer), shelf, server)
        finally:
            writer.close()
            await server.stop()
        assert shelf.open == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: broken.append(context))
        runner.run(main())
    assert broken == []


def test_the_handshake_says_what_the_sdks_need_to_hear():
    async def test(client, *_):
        opened = await client.open()
        assert opened.max_frame_size == 65536
        assert opened.channel_max > 0
        begun = await client.begin()
        assert (begun.remote_channel, begun.next_outgoing_id) == (0, 0)
        assert begun.handle_max > 0
        attached = await client.receiver()
        assert (attached.role, attached.initial_delivery_count, attached.max_message_size) == (False, 0, 5000)
        client.send(Close())
        await client.expect(Close)
        assert await client.next() is None

    run(test)


@pytest.mark.parametrize(
    ("mechanism", "response", "outcome"),
    [
        ("ANONYMOUS", b"", 0),
        ("EXTERNAL", b"", 0),
        ("MSSBCBS", b"", 0),
        ("PLAIN", b"\0root\0key", 0),
        ("PLAIN", b"\0root\0no", 1),
        ("PLAIN", b"\xff", 1),
    ],
)
def test_sasl(mechanism, response, outcome):
    async def test(client, *_):
        assert await client.sasl(mechanism, response) == outcome
        if outcome:
            assert await client.next() is None

    run(test)


def test_without_a_right_nothing_is_attached():
    async def test(client, *_):
        await client.open(response=b"\0reader\0key")
        await client.begin()
        await client.receiver()
        client.send(Attach("s", 2, role=False, target=Target("shelf"), initial_delivery_count=0))
        assert (await client.expect(Attach)).target is None
        assert (await client.expect(Detach)).error.condition == "amqp:unauthorized-access"

    run(test)


@pytest.mark.parametrize(
    "hello",
    [
        b"HTTP/1.1 is another protocol\r\n\r\n",
        frame(0, Open("early")),
        b"\x00\x00\x00\x07\x02\x00\x00\x00",
        b"\xff\xff\xff\xff\x02\x00\x00\x00",
        b"AMQP\x01\x01\x00\x00",
        AMQP_HEADER,
    ],
)
def test_what_is_no_handshake_ends_the_connection(hello):
    async def test(client, *_):
        client.writer.write(hello)
        assert len(await client.reader.read()) < 100

    run(test)


@pytest.mark.parametrize(
    ("bad", "condition"),
    [
        (b"\x00\x01\x00\x01\x02\x00\x00\x00", "amqp:connection:framing-error"),
        (b"\x00\x00\x00\x0a\x02\x00\x00\x00\x40\x40", "amqp:connection:framing-error"),
        (frame(9, End()) and frame(9, Transfer()), "amqp:not-allowed"),
        (frame(0, SaslInit("PLAIN")), "amqp:not-allowed"),
        (frame(0, Begin()) + frame(0, Begin()), "amqp:not-allowed"),
        (frame(0, Open("again")), "amqp:not-allowed"),
    ],
)
def test_what_is_not_allowed_closes_the_connection_with_the_reason(bad, condition):
    async def test(client, *_):
        await client.open()
        client.send(bad)
        found = await client.next()
        while not isinstance(found.performative, Close):
            found = await client.next()
        assert found.performative.error.condition == condition

    run(test)


def test_heartbeats_come_at_half_the_clients_idle_timeout():
    async def test(client, *_):
        await client.open(idle_time_out=20)
        for _ in range(3):
            assert (await client.next(heartbeats=True)).performative is None

    run(test)


def test_a_silent_client_is_dropped():
    async def test(client, *_):
        opened = await client.open()
        assert opened.idle_time_out == 100
        assert "inactive" in (await client.expect(Close)).error.description
        assert await client.next() is None

    run(test, idle_timeout_seconds=0.2)


def test_nothing_is_sent_beyond_the_credit_and_a_drain_is_answered():
    async def test(client, shelf, _):
        shelf.kept.extend(f"{number}".encode() for number in range(5))
        await client.open()
        await client.begin()
        await client.receiver()
        client.send(Flow(handle=1, link_credit=2, incoming_window=100, delivery_count=0))
        assert [(await client.expect(Transfer)).delivery_id for _ in range(2)] == [0, 1]
        client.send(Flow(handle=1, link_credit=0, incoming_window=100, delivery_count=2, echo=True))
        assert (await client.expect(Flow)).delivery_count == 2
        client.send(Flow(handle=1, link_credit=10, incoming_window=100, delivery_count=2, drain=True))
        assert [(await client.expect(Transfer)).delivery_id for _ in range(3)] == [2, 3, 4]
        drained = await client.expect(Flow)
        assert (drained.delivery_count, drained.link_credit, drained.drain) == (12, 0, True)
        shelf.kept.append(b"later")
        shelf.links[0].wake()
        client.send(Flow(handle=1, link_credit=0, incoming_window=100, delivery_count=12, echo=True))
        assert (await client.expect(Flow)).link_credit == 0
        client.send(Flow(handle=1, link_credit=1, incoming_window=100, delivery_count=12))
        assert (await client.expect(Transfer)).delivery_id == 5

    run(test)


def test_a_large_delivery_goes_in_frames_as_far_as_the_window_does():
    async def test(client, shelf, _):
        shelf.kept.append(b"x" * 1000)
        await client.open(max_frame_size=512)
        await client.begin(incoming_window=1)
        await client.receiver()
        client.send(Flow(handle=1, link_credit=1, incoming_window=1, delivery_count=0))
        first = await client.next()
        assert first.performative.more
        client.send(Flow(incoming_window=0, next_incoming_id=1, echo=True))
        assert (await client.expect(Flow)).next_outgoing_id == 1
        client.send(Flow(incoming_window=5, next_incoming_id=1))
        payload = first.payload
        while (part := await client.next()).performative.more:
            payload += part.payload
        assert payload + part.payload == b"x" * 1000

    run(test)


def test_deliveries_are_settled_in_ranges_and_the_state_in_force_is_told():
    async def test(client, shelf, _):
        shelf.kept.extend([b"a", b"b", b"c"])
        await client.open()
        await client.begin()
        await client.receiver()
        client.send(Flow(handle=1, link_credit=3, incoming_window=100, delivery_count=0))
        for _ in range(3):
            await client.expect(Transfer)
        client.send(Disposition(role=True, first=0, last=2, settled=False, state=Modified(delivery_failed=True)))
        told = [await client.expect(Disposition) for _ in range(3)]
        assert [(one.first, one.last, one.settled, type(one.state)) for one in told] == [
            (0, 0, True, Modified), (1, 1, True, Rejected), (2, 2, True, Modified),
        ]  # fmt: skip
        client.send(Disposition(role=True, first=0, last=4_000_000_000, settled=True, state=Accepted()))
        client.send(Flow(handle=1, link_credit=0, incoming_window=100, delivery_count=3, echo=True))
        await client.expect(Flow)
        assert [one.tag for one in shelf.settled] == [b"0", b"1", b"2"]

    run(test)


def sent(payload, delivery_id, *, handle=2, settled=False, limit=65536):
    tag = str(delivery_id).encode()
    return b"".join(transfer_frames(0, handle, delivery_id, tag, payload, message_format=0, settled=settled, limit=limit))


def test_what_a_client_sends_is_taken_whole_and_gets_its_outcome():
    async def test(client, shelf, _):
        await client.open()
        await client.begin()
        attached, granted = await client.sender()
        assert (attached.role, granted.link_credit) == (True, 1000)
        client.send(
            sent(b"a", 0), sent(b"b" * 3000, 1, limit=600), sent(b"bad", 2), sent(b"quiet", 3, settled=True), sent(b"c", 4)
        )
        outcomes = {}
        while 4 not in outcomes:
            told = await client.expect(Disposition)
            outcomes |= dict.fromkeys(range(told.first, told.last + 1), type(told.state))
        assert outcomes == {0: Accepted, 1: Accepted, 2: Rejected, 4: Accepted}
        assert [one.payload for one in shelf.taken] == [b"a", b"b" * 3000, b"bad", b"quiet", b"c"]

    run(test)


def test_an_aborted_delivery_is_forgotten():
    async def test(client, shelf, _):
        await client.open()
        await client.begin()
        await client.sender()
        client.send(frame(0, Transfer(2, 0, b"0", 0, more=True)), frame(0, Transfer(2, aborted=True)), sent(b"next", 1))
        await client.expect(Disposition)
        assert [one.payload for one in shelf.taken] == [b"next"]

    run(test)


def test_credit_and_window_are_refilled_for_ever():
    async def test(client, shelf, _):
        await client.open()
        begun = await client.begin()
        _, granted = await client.sender()
        number, may, window = 0, granted.link_credit, begun.incoming_window
        while number < 12_000:
            while number < min(may, window, 12_000):
                client.send(sent(b"x", number, settled=True))
                number += 1
            if number < 12_000:
                told = await client.expect(Flow)
                window = told.next_incoming_id + told.incoming_window
                may = may if told.link_credit is None else told.delivery_count + told.link_credit
        await client.writer.drain()
        client.send(sent(b"last", number))
        while not isinstance((await client.next()).performative, Disposition):
            pass
        assert len(shelf.taken) == 12_001

    run(test)


def test_an_outcome_is_told_of_what_was_not_settled_and_of_nothing_else():
    async def test(client, *_):
        await client.open()
        await client.begin()
        await client.sender()
        client.send(b"".join(sent(b"x", number, settled=number in {1, 4}) for number in range(6)))
        outcomes = []
        while 5 not in outcomes:
            told = await client.expect(Disposition)
            outcomes += range(told.first, told.last + 1)
        assert outcomes == [0, 2, 3, 5]

    run(test)


def test_too_large_a_message_ends_its_link_only():
    async def test(client, shelf, _):
        await client.open()
        await client.begin()
        await client.sender()
        client.send(sent(b"x" * 5001, 0, limit=600))
        assert (await client.expect(Detach)).error.condition == "amqp:link:message-size-exceeded"
        client.send(Detach(2, closed=True))
        await client.sender("again")
        client.send(sent(b"small", 1))
        await client.expect(Disposition)
        assert [one.payload for one in shelf.taken] == [b"small"]

    run(test)


def test_a_link_is_refused_with_the_reason_and_its_handle_is_free_again():
    async def test(client, *_):
        await client.open()
        await client.begin()
        client.send(Attach("r", 1, role=True, source=Source("nothing"), target=Target("t")))
        assert (await client.expect(Attach)).source is None
        assert (await client.expect(Detach)).error.condition == "amqp:not-found"
        await client.receiver()
        client.send(Detach(1, closed=True))
        assert (await client.expect(Detach)).error is None

    run(test)


def test_the_peer_ends_a_link_with_a_reason():
    async def test(client, shelf, _):
        await client.open()
        await client.begin()
        await client.receiver()
        shelf.links[0].detach(AmqpError("amqp:link:stolen", "another came"))
        assert (await client.expect(Detach)).error.description == "another came"
        assert not shelf.links[0].is_open
        client.send(Detach(1, closed=True), End(), Detach(1))  # the SDKs detach after the end
        await client.expect(End)
        await client.begin()

    run(test)


@pytest.mark.parametrize("name", ["breaks", "breaks later"])
def test_a_bug_in_an_endpoint_ends_its_link_only(name, caplog):
    async def test(client, shelf, _):
        await client.open()
        await client.begin()
        await client.receiver(name)
        shelf.kept.append(None)
        client.send(Flow(handle=1, link_credit=1, incoming_window=100, delivery_count=0))
        assert (await client.expect(Detach)).error.condition == "amqp:internal-error"
        await client.sender()

    run(test)
    assert "failed" in caplog.text


def test_a_transaction_is_refused():
    async def test(client, *_):
        await client.open()
        await client.begin()
        client.send(Attach("t", 1, role=False, target=Described(ULong(0x30), [None]), initial_delivery_count=0))
        await client.expect(Attach)
        assert (await client.expect(Detach)).error.condition == "amqp:not-implemented"

    run(test)


def test_a_handle_that_is_in_use_or_unknown_ends_the_session_only():
    async def test(client, *_):
        await client.open()
        for bad in (Attach("other", 1, role=True), Transfer(7, 0, b"t"), Attach("high", 70_000)):
            await client.begin()
            await client.receiver()
            client.send(bad)
            assert (await client.expect(End)).error.condition.startswith("amqp:session:")

    run(test)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_client_that_goes_while_it_is_sent_to_is_forgotten(loop):
    async def test(client, shelf, server):
        shelf.kept.extend([b"x" * 10_000] * 3000)
        await client.open()
        await client.begin(incoming_window=1 << 30)
        await client.receiver()
        client.send(Flow(handle=1, link_credit=3000, incoming_window=1 << 30, delivery_count=0))
        await client.expect(Transfer)
        client.writer.transport.abort()
        await server._wait_for_none()

    run(test, loop=loop)


def test_an_attach_that_waits_is_cancelled_when_the_client_goes():
    async def test(client, shelf, server):
        await client.open()
        await client.begin()
        client.send(Attach("waits", 1, role=True, source=Source("shelf"), target=Target("t")))
        await client.receiver("other", 2)
        client.writer.close()
        await server._wait_for_none()
        await asyncio.sleep(0)
        assert shelf.waiting.cancelled()

    run(test)


def test_a_right_that_ends_ends_its_links():
    now = [0.0]

    class Brief:
        def verify_plain(self, *_):
            return Claim("", frozenset({Right.MANAGE}), 0.2)

    async def test(client, *_):
        await client.open()
        await client.begin()
        await client.receiver()
        now[0] = 1.0
        assert (await client.expect(Detach)).error.condition == "amqp:unauthorized-access"

    run(test, authority=Brief(), now=lambda: now[0])


async def put_token(client, token, *, kind=SAS_KIND, audience="sb://h/shelf"):
    request = Message(
        properties=Properties(message_id="ask", reply_to="answers"),
        application_properties={"operation": "put-token", "type": kind, "name": audience},
        value=token,
    )
    client.send(sent(request.encode(), 0, handle=5))
    while True:
        found = await client.next()
        if isinstance(found.performative, Transfer):
            client.handle = found.performative.handle
            return Message.decode(found.payload)


async def open_cbs(client):
    await client.open(response=b"\0nobody-yet\0key")
    await client.begin()
    client.send(Attach("in", 4, role=True, source=Source("$cbs"), target=Target("answers")))
    await client.expect(Attach)
    client.send(Flow(handle=4, link_credit=10, incoming_window=100, delivery_count=0))
    client.send(Attach("out", 5, role=False, source=Source("s"), target=Target("$cbs"), initial_delivery_count=0))
    await client.expect(Attach)
    await client.expect(Flow)


def test_an_answer_goes_where_the_request_asks_for_it():
    async def test(client, *_):
        await open_cbs(client)
        client.send(Attach("other", 6, role=True, source=Source("$cbs"), target=Target("others")))
        await client.expect(Attach)
        client.send(Flow(handle=6, link_credit=10, incoming_window=100, delivery_count=0))
        await put_token(client, "nonsense")
        assert client.handle == 4

    run(test, authority=SasAuthority([POLICY, NOBODY], lambda: 0.0))


NOBODY = Policy("nobody-yet", "key", frozenset())


def test_a_token_gives_a_right_and_a_fresh_one_prolongs_it():
    now = [1000.0]

    async def test(client, *_):
        await open_cbs(client)
        answer = await put_token(client, sas_token(POLICY, "sb://h/shelf", 1001))
        assert answer.properties.correlation_id == "ask"
        assert answer.application_properties["status-code"] == answer.application_properties["statusCode"] == 202
        await client.receiver()
        await put_token(client, sas_token(POLICY, "sb://h/shelf", 1002))
        now[0] = 1001.5
        await put_token(client, sas_token(POLICY, "sb://h/shelf", 1003))
        client.send(Flow(handle=1, link_credit=0, incoming_window=100, delivery_count=0, echo=True))
        assert (await client.expect(Flow)).handle == 1
        now[0] = 1003.0
        assert "ExpiredToken" in (await client.expect(Detach)).error.description

    authority = SasAuthority([POLICY, NOBODY], lambda: now[0])
    run(test, authority=authority, now=lambda: now[0])


@pytest.mark.parametrize(
    ("given_token", "status"),
    [
        ({"token": "nonsense"}, 401),
        ({"token": "eyJ", "kind": "jwt"}, 401),
        ({"token": sas_token(POLICY, "sb://h/shelf", 2000), "audience": "sb://h/other"}, 401),
        ({"token": None}, 400),
        ({"token": b"bytes"}, 400),
        ({"token": "x", "audience": None}, 400),
    ],
)
def test_a_token_that_gives_nothing_says_so(given_token, status):
    async def test(client, *_):
        await open_cbs(client)
        answer = await put_token(client, **given_token)
        assert answer.application_properties["status-code"] == status
        assert answer.application_properties["status-description"]

    run(test, authority=SasAuthority([POLICY, NOBODY], lambda: 1000.0), now=lambda: 1000.0)


NUMBERS = st.none() | st.integers(0, 5) | st.sampled_from([2**31, 2**32 - 1])
WORDS = st.none() | st.sampled_from(["shelf", "$cbs", "nothing", ""])
TERMINI = st.none() | st.builds(Source, WORDS) | st.builds(Target, WORDS)
STATES = st.none() | st.sampled_from([Accepted(), Rejected(), Modified(), Source()])
FRAMES = st.one_of(
    st.builds(Begin, incoming_window=st.integers(0, 3)),
    st.builds(Attach, st.sampled_from("abc"), st.integers(0, 4), role=st.booleans(), source=TERMINI, target=TERMINI),
    st.builds(Flow, NUMBERS, st.just(9), handle=NUMBERS, delivery_count=NUMBERS, link_credit=NUMBERS, drain=st.booleans()),
    st.builds(Transfer, st.integers(0, 4), NUMBERS, st.binary(max_size=3), NUMBERS, more=st.booleans(), aborted=st.booleans()),
    st.builds(Disposition, st.booleans(), st.integers(0, 9), NUMBERS, st.booleans(), STATES),
    st.builds(Detach, st.integers(0, 4), st.booleans()),
    st.builds(End),
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), FRAMES, st.binary(max_size=5)), max_size=30))
def test_no_order_of_frames_breaks_the_server(frames):
    async def test(client, shelf, _):
        shelf.kept.extend([b"x"] * 5)
        await client.open()
        await client.begin()
        for channel, performative, payload in frames:
            data = frame(channel, performative)
            if isinstance(performative, Transfer):
                size = len(data) + len(payload)
                data = size.to_bytes(4, "big") + data[4:] + payload
            client.writer.write(data)
        client.send(Close())
        with contextlib.suppress(ConnectionError):  # bytes that the server did not read any more reset the connection
            while await client.next() is not None:
                pass

    run(test)
