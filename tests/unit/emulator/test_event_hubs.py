"""Event hubs without a wire: logs, positions, retention, restart."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire_emulator.broker import refusals
from goldwire_emulator.broker.entities import HubSettings, Limits
from goldwire_emulator.broker.partition_hash import partition_of
from goldwire_emulator.broker.port import NewEvent, Position
from goldwire_emulator.errors import InputError, StoreBusyError
from support.broker_world import BrokerWorld

CHANGES = HubSettings("changes", 4, ("crm",))


@pytest.fixture
def hub(world):
    return world.open(hubs=[CHANGES]).event_hubs.hub("Changes")


def payloads(events):
    return [event.payload for event in events]


def test_a_batch_goes_into_one_partition_with_adjacent_numbers(hub):
    first = hub.append([NewEvent(b"a"), NewEvent(b"b")], partition_id="2")
    second = hub.append([NewEvent(b"c")], partition_id="2")
    assert (first.first_sequence_number, first.last_sequence_number, second.first_sequence_number) == (0, 1, 2)
    events = hub.read("2", 0, 10)
    assert payloads(events) == [b"a", b"b", b"c"]
    assert [int(event.offset) for event in events] == [0, 1, 2]
    assert hub.read("0", 0, 10) == []


def test_a_key_goes_where_the_hash_says_and_stays_on_the_event(hub):
    done = hub.append([NewEvent(b"a", "customer-1")], partition_key="customer-1")
    assert done.partition_id == str(partition_of("customer-1", 4))
    assert hub.read(done.partition_id, 0, 1)[0].partition_key == "customer-1"


def test_without_a_key_the_partitions_take_turns(hub):
    assert {hub.append([NewEvent(b"a")]).partition_id for _ in range(4)} == {"0", "1", "2", "3"}


def test_positions_find_the_event_to_begin_with(world, hub):
    for number in range(5):
        hub.append([NewEvent(b"%d" % number)], partition_id="0")
        world.pass_time(10)
    events = hub.read("0", 0, 9)
    third = events[2]
    for by, value in (("sequence_number", 2), ("offset", third.offset), ("enqueued_at_ms", third.enqueued_at_ms)):
        assert hub.start("0", Position(by, value, inclusive=True)) == 2
        assert hub.start("0", Position(by, value)) == 3
    assert hub.start("0", Position("offset", "-1")) == 0
    assert hub.start("0", Position("latest")) == 5
    assert hub.start("0", Position("enqueued_at_ms", world.now_ms + 10_000)) == 5
    assert hub.start("0", Position("enqueued_at_ms", 0)) == 0


@pytest.mark.parametrize("position", [Position("offset", "x"), Position("offset", "99999"), Position("sequence_number", 1)])
def test_a_position_that_never_was_is_refused(hub, position):
    hub.append([NewEvent(b"a")], partition_id="0")
    with pytest.raises(refusals.ArgumentError):
        hub.start("0", position)


def test_what_is_not_there_is_not_found(world, hub):
    with pytest.raises(refusals.NotFoundError):
        hub.append([NewEvent(b"a")], partition_id="4")
    with pytest.raises(refusals.NotFoundError):
        hub.read("x", 0, 1)
    with pytest.raises(refusals.NotFoundError):
        world.open(hubs=[CHANGES]).event_hubs.hub("other")


def test_an_event_that_is_too_large_is_refused(world):
    hub = world.open(hubs=[CHANGES], limits=Limits(max_event_bytes=10)).event_hubs.hub("changes")
    with pytest.raises(refusals.TooLargeError):
        hub.append([NewEvent(b"x" * 6), NewEvent(b"x" * 6)])
    assert all(hub.state(partition).is_empty for partition in hub.partition_ids)


def test_throttling_refuses_what_comes_too_fast(world):
    broker = world.open(hubs=[CHANGES], limits=Limits(ingress_per_second=3))
    hub = broker.event_hubs.hub("changes")
    hub.append([NewEvent(b"a")] * 3)
    with pytest.raises(refusals.BusyError):
        hub.append([NewEvent(b"a")])
    world.pass_time(1)
    hub.append([NewEvent(b"a")] * 20)


def test_reading_stops_near_the_bytes_that_are_wanted(hub):
    hub.append([NewEvent(b"x" * 100)] * 10, partition_id="0")
    assert len(hub.read("0", 0, 10, max_bytes=250)) == 3
    assert len(hub.read("0", 3, 2)) == 2


def test_retention_forgets_the_oldest_and_numbers_go_on(world):
    broker = world.open(hubs=[CHANGES], limits=Limits(retention_ms=60_000))
    hub = broker.event_hubs.hub("changes")
    hub.append([NewEvent(b"old")], partition_id="0")
    broker.advance()
    world.pass_time(40)
    hub.append([NewEvent(b"new")], partition_id="0")
    world.pass_time(30)
    broker.advance()
    assert payloads(hub.read("0", 0, 9)) == [b"new"]
    assert hub.state("0").begin_sequence_number == 1
    world.pass_time(60)
    broker.advance()
    state = hub.state("0")
    assert (state.is_empty, state.begin_sequence_number, state.last_sequence_number) == (True, 2, 1)
    assert hub.append([NewEvent(b"next")], partition_id="0").first_sequence_number == 2


def test_consumers_are_told_of_new_events(hub):
    told = []
    stop = hub.subscribe("1", lambda: told.append(1))
    hub.append([NewEvent(b"a")], partition_id="1")
    hub.append([NewEvent(b"a")], partition_id="0")
    stop()
    hub.append([NewEvent(b"a")], partition_id="1")
    assert told == [1]


def test_what_is_undone_together_leaves_no_gap(world):
    broker = world.open(hubs=[CHANGES])
    hub = broker.event_hubs.hub("changes")
    hub.append([NewEvent(b"a")], partition_id="0")
    with suppress(ZeroDivisionError), broker.together():
        hub.append([NewEvent(b"b")], partition_id="0")
        raise ZeroDivisionError
    assert hub.state("0").last_sequence_number == 0
    assert hub.append([NewEvent(b"c")], partition_id="0").first_sequence_number == 1


def test_the_same_folder_is_opened_once_only_and_with_the_same_partitions(world):
    first = world.open(hubs=[CHANGES], durable=True)
    with pytest.raises(StoreBusyError):
        world.open(hubs=[CHANGES], durable=True)
    first.close()
    with pytest.raises(InputError, match="4 partitions"):
        world.open(hubs=[HubSettings("changes", 8)], durable=True)


steps = st.lists(st.one_of(st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 4)), st.just("restart")), max_size=25)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_every_partition_is_what_was_appended_to_it_in_that_order_restarts_or_not(tmp_path_factory, taken):
    world = BrokerWorld(tmp_path_factory.mktemp("hubs"))
    broker, expected, count = world.open(hubs=[CHANGES], durable=True), {str(number): [] for number in range(4)}, 0
    for step in taken:
        if step == "restart":
            broker.close()
            broker = world.open(hubs=[CHANGES], durable=True)
            continue
        _, partition, size = step
        batch = [NewEvent(b"%d" % (count + number)) for number in range(size)]
        broker.event_hubs.hub("changes").append(batch, partition_id=str(partition))
        expected[str(partition)] += payloads(batch)
        count += size
    for partition, wanted in expected.items():
        events = broker.event_hubs.hub("changes").read(partition, 0, 1000)
        assert payloads(events) == wanted
        assert [event.sequence_number for event in events] == list(range(len(wanted)))
        assert sorted({int(event.offset) for event in events}) == [int(event.offset) for event in events]
    world.close()
