"""Whatever a broker repeats, rewinds, reorders or loses: the table is right in the end, or the subscriber knows it is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldwire.event.sealed import SealedEvent
from goldwire_consumer import GapDetected, Outcome, Settings
from support.histories import History, customers

OpenMirror = Callable[..., Any]
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)

seeds = st.integers(0, 2**32)
payloads = st.sampled_from(["delta", "full"])


def deliveries(events: list[SealedEvent], chance: random.Random) -> list[list[tuple[SealedEvent, str | None]]]:
    """Batches as a broker delivers at least once: in order, with repeats, rewinds, and replays under another message id."""
    found: list[list[tuple[SealedEvent, str | None]]] = []
    start = furthest = 0
    while start < len(events):
        size = chance.randint(1, 8)
        batch = [(event, None) for event in events[start : start + size] for _ in range(chance.choice((1, 1, 1, 2)))]
        found.append(batch)
        start += size
        furthest = min(max(furthest, start), len(events))
        if chance.random() < 0.3:
            start = max(0, start - chance.randint(1, 2 * size))
        if chance.random() < 0.1:
            end = chance.randint(1, furthest)
            found.append([(event, "replay-1") for event in events[chance.randrange(end) : end]])
    return found


@pytest.mark.slow
@given(seed=seeds, payload=payloads)
@QUIET
def test_repeats_rewinds_and_replays_end_in_the_same_table_as_order(open_mirror: OpenMirror, seed: int, payload: Any) -> None:
    history = customers(seed, 3, 40, payload=payload)
    mirror = open_mirror()
    outcomes = set()
    for batch in deliveries(history.events, random.Random(seed)):
        sent = [mirror.message(event, replay_id) for event, replay_id in batch]
        outcomes |= {result.outcome for result in mirror.consumer.process(sent)}
    assert mirror.table == history.table
    assert outcomes <= {Outcome.APPLIED, Outcome.IGNORED}
    assert mirror.letters == []


@pytest.mark.slow
@given(seed=seeds, payload=payloads)
@QUIET
def test_even_any_order_with_duplicates_ends_in_the_same_table(open_mirror: OpenMirror, seed: int, payload: Any) -> None:
    history = customers(seed, 3, 40, payload=payload)
    chance = random.Random(seed)
    events = history.events + chance.sample(history.events, len(history.events) // 2)
    chance.shuffle(events)
    mirror = open_mirror()
    while events:
        size = chance.randint(1, 6)
        mirror.receive(events[:size])
        del events[:size]
    assert mirror.table == history.table
    assert mirror.letters == []
    assert mirror.query("SELECT count(*) FROM goldwire_guard WHERE parked") == [(0,)]


def without_one(history: History, chance: random.Random) -> tuple[list[SealedEvent], SealedEvent]:
    """The events without one that has a successor in its chain."""
    last = {event.entity_id: event.version for event in history.events}
    start = chance.choice([at for at, event in enumerate(history.events) if event.version != last[event.entity_id]])
    return history.events[:start] + history.events[start + 1 :], history.events[start]


@pytest.mark.slow
@given(seed=seeds, payload=payloads)
@QUIET
def test_a_lost_event_is_always_found_and_the_others_are_applied(open_mirror: OpenMirror, seed: int, payload: Any) -> None:
    history = customers(seed, 3, 40, payload=payload)
    events, lost = without_one(history, random.Random(seed))
    mirror = open_mirror()
    results = mirror.consumer.process([mirror.message(event) for event in events])
    found = [one for one in results if one.outcome in {Outcome.PARKED, Outcome.HEALED, Outcome.JOINED}]
    assert found
    assert {one.event.entity_id for one in found} == {lost.entity_id}
    assert found[0].event.version == next(
        event.version for event in events if event.entity_id == lost.entity_id and event.version > lost.version
    )
    others = {id_: row for id_, row in history.table.items() if id_ != lost.entity_id}
    assert {id_: row for id_, row in mirror.table.items() if id_ != lost.entity_id} == others
    mirror.receive([lost])
    assert mirror.table == history.table
    assert mirror.letters == []


@given(seed=seeds)
@QUIET
def test_a_subscriber_that_stops_on_a_gap_stands_at_the_lost_event(open_mirror: OpenMirror, seed: int) -> None:
    history = customers(seed, 2, 30)
    events, lost = without_one(history, random.Random(seed))
    mirror = open_mirror(Settings(on_gap="stop"))
    after = next(event for event in events if event.entity_id == lost.entity_id and event.version > lost.version)
    start = events.index(after)
    if after.base_version is None:
        assert mirror.receive(events)[start] in {Outcome.HEALED, Outcome.JOINED}
        return
    with pytest.raises(GapDetected) as found:
        mirror.receive(events)
    gap = found.value
    assert (gap.entity_id, gap.next.version, gap.previous_hash) == (
        lost.entity_id, after.version, f"sha256:{lost.hash.hex()}",
    )  # fmt: skip
    assert gap.last is None or gap.last.version < lost.version
    assert mirror.receive(events[:start]) == [Outcome.IGNORED] * start
    assert mirror.letters == []


@pytest.mark.slow
@given(seed=seeds)
@QUIET
def test_a_full_event_heals_a_gap_and_what_follows_goes_on(open_mirror: OpenMirror, seed: int) -> None:
    history = customers(seed, 1, 30)
    chance = random.Random(seed)
    events, lost = without_one(history, chance)
    mirror = open_mirror()
    mirror.receive(events)
    after = [event for event in history.events if event.version > lost.version]
    if any(event.base_version is None for event in after):
        assert mirror.table == history.table
        assert mirror.letters == []
    else:
        assert mirror.letters == [("gap", after[0].version)] + [("parked", event.version) for event in after[1:]]


@pytest.mark.slow
@given(seed=seeds, fault=st.floats(0, 0.5))
@QUIET
def test_a_handler_that_fails_now_and_then_loses_nothing(open_mirror: OpenMirror, seed: int, fault: float) -> None:
    history = customers(seed, 3, 30)
    chance = random.Random(seed)
    mirror = open_mirror(Settings(attempts=20))

    def fail(_: object) -> None:
        if chance.random() < fault:
            raise ConnectionError("the service behind the handler is away")

    mirror.fault = fail
    for batch in deliveries(history.events, chance):
        mirror.receive([event for event, _ in batch])
    mirror.fault = lambda _: None
    mirror.consumer.redrive()
    assert mirror.table == history.table
    assert mirror.letters == []


@pytest.mark.parametrize("seed", range(5))
def test_a_subscriber_that_joins_late_holds_what_full_events_told_it(open_mirror: OpenMirror, seed: int) -> None:
    history = customers(seed, 4, 60, payload="full")
    mirror = open_mirror()
    late = history.events[len(history.events) // 2 :]
    outcomes = mirror.receive(late)
    assert set(outcomes) <= {Outcome.JOINED, Outcome.APPLIED}
    seen = {event.entity_id for event in late}
    assert mirror.table == {id_: row for id_, row in history.table.items() if id_ in seen}
