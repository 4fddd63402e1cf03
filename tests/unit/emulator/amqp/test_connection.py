"""The wire, frame by frame: handshakes, heartbeats, sessions, links, and what is refused."""

import asyncio
import contextlib

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire_emulator.amqp.endpoint import AmqpError
from goldwire_emulator.amqp.frames import AMQP_HEADER, frame
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
    Rejected,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from goldwire_emulator.amqp.values import Described, ULong
from support.amqp_client import run


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
