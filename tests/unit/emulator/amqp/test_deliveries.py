"""Deliveries, frame by frame: windows, credit, drain, settlement."""

from goldwire_emulator.amqp.frames import frame
from goldwire_emulator.amqp.performatives import (
    Accepted,
    Detach,
    Disposition,
    Flow,
    Modified,
    Rejected,
    Transfer,
)
from support.amqp_client import run, sent


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
