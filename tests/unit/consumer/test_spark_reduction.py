"""What a batch of Spark makes of events, without Spark: held against a naive model, and against the kit's consumer."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import Event, Outcome, Record, parse
from goldwire_consumer.spark import EntityRow, Reduction, reduce_entity
from goldwire_consumer.spark.arrow import arrow_schema
from goldwire_consumer.spark.partitions import COUNTED, LETTER, REDUCED, VERIFIED, reduce, verify
from goldwire_consumer.spark.rows import COLUMNS, from_cells, read_event, to_cells, write_event
from support.histories import History, customers

seeds = st.integers(0, 2**32)
payloads = st.sampled_from(["delta", "full"])


class Table:
    """Rows by entity, written batch by batch, each through the cells that Spark would hold."""

    def __init__(self) -> None:
        self.rows: dict[str, EntityRow] = {}
        self.reductions: list[Reduction] = []

    def receive(self, events: Iterable[Event]) -> None:
        by_entity: dict[str, list[Event]] = {}
        for event in events:
            by_entity.setdefault(event.entity_id, []).append(read_event(write_event(event)))
        for entity_id, some in by_entity.items():
            found = reduce_entity(self.rows.get(entity_id), some)
            assert found.outcomes.total() == len(some)
            self.reductions.append(found)
            self.rows[entity_id] = from_cells(to_cells(found.row))
            assert self.rows[entity_id] == found.row

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        return {
            id_: {name: one["value"] for name, one in row.record.attributes.items()}
            for id_, row in self.rows.items()
            if row.record is not None
        }


def parsed(events: Iterable[SealedEvent]) -> list[Event]:
    return [parse(event.body) for event in events]


def shuffled_in_batches(events: list[Event], chance: random.Random) -> list[list[Event]]:
    """The events in any order, some twice, in batches of any size."""
    mixed = events + chance.sample(events, len(events) // 2)
    chance.shuffle(mixed)
    batches = []
    while mixed:
        size = chance.randint(1, 12)
        batches.append(mixed[:size])
        del mixed[:size]
    return batches


@pytest.mark.slow
@given(seed=seeds, payload=payloads)
def test_any_order_in_any_batches_leads_to_the_golden_records(seed: int, payload: Any) -> None:
    history = customers(seed, 3, 40, payload=payload)
    table = Table()
    for batch in shuffled_in_batches(parsed(history.events), random.Random(seed)):
        table.receive(batch)
    assert table.values == history.table
    assert [row for row in table.rows.values() if row.waiting] == []
    last = {event.entity_id: event for event in history.events}
    assert {id_: (row.version, row.hash) for id_, row in table.rows.items()} == {
        id_: (event.version, f"sha256:{event.hash.hex()}") for id_, event in last.items()
    }
    applied = sum(one.followed + sum(one.outcomes[kind] for kind in WRITTEN) for one in table.reductions)
    assert applied <= len(history.events)
    if payload == "delta" and not any(one.outcomes[Outcome.HEALED] or one.outcomes[Outcome.JOINED] for one in table.reductions):
        assert applied == len(history.events), "each version once, none left out"


WRITTEN = (Outcome.APPLIED, Outcome.JOINED, Outcome.HEALED)


def naive(events: list[Event]) -> tuple[dict[str, int], dict[str, set[int]]]:
    """By entity, the newest version that can be reached, and the versions that wait: by trying until nothing moves any more."""
    reached: dict[str, Event] = {}
    moved = True
    while moved:
        moved = False
        for event in events:
            last = reached.get(event.entity_id)
            newer = last is None or event.version > last.version
            if newer and (event.whole or (last is not None and event.previous_hash == last.hash)):
                reached[event.entity_id] = event
                moved = True
    versions = {id_: event.version for id_, event in reached.items()}
    waiting = {event.entity_id: set[int]() for event in events}
    for event in events:
        if event.version > versions.get(event.entity_id, 0):
            waiting[event.entity_id].add(event.version)
    return versions, waiting


@pytest.mark.slow
@given(seed=seeds, payload=payloads, lost=st.integers(1, 8))
def test_where_events_are_lost_each_entity_stands_as_far_as_its_chain_reaches(seed: int, payload: Any, lost: int) -> None:
    history = customers(seed, 3, 40, payload=payload)
    chance = random.Random(seed)
    events = parsed(history.events)
    kept = [event for event in events if event not in chance.sample(events, min(lost, len(events) - 1))]
    table = Table()
    for batch in shuffled_in_batches(kept, chance):
        table.receive(batch)
    versions, waiting = naive(kept)
    assert {id_: row.version for id_, row in table.rows.items() if row.version} == versions
    assert {id_: {event.version for event in row.waiting} for id_, row in table.rows.items()} == waiting
    table.receive(events)
    assert table.values == history.table
    assert not any(row.waiting for row in table.rows.values())


@pytest.mark.slow
@given(seed=seeds, payload=payloads, lost=st.integers(0, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_in_the_order_of_sending_a_batch_decides_as_the_consumer_does(
    open_mirror: Callable[..., Any], seed: int, payload: Any, lost: int
) -> None:
    history = customers(seed, 2, 25, payload=payload)
    chance = random.Random(seed)
    gone = chance.sample(range(len(history.events)), min(lost, len(history.events) - 1))
    sent = [event for number, event in enumerate(history.events) if number not in gone]
    mirror, table = open_mirror(), Table()
    outcomes = mirror.receive(sent)
    table.receive(parsed(sent))
    records = {id_: msgspec.json.decode(text, type=Record) for id_, text in mirror.query("SELECT id, record FROM customer")}
    assert {id_: row.record for id_, row in table.rows.items() if row.record is not None} == records
    counted: Counter[Outcome] = sum((one.outcomes for one in table.reductions), Counter())
    for kind in (Outcome.JOINED, Outcome.HEALED):
        assert counted[kind] == outcomes.count(kind)
    rows = [(id_, row.version, row.hash, row.gone, bool(row.waiting)) for id_, row in sorted(table.rows.items())]
    guards = mirror.query("SELECT entity_id, version, hash, gone, parked FROM goldwire_guard ORDER BY entity_id")
    assert rows == [(*guard[:4], bool(guard[4])) for guard in guards]


def test_a_batch_that_is_run_again_writes_nothing() -> None:
    table = Table()
    events = parsed(customers(5, 3, 30).events)
    table.receive(events)
    before = dict(table.rows)
    table.reductions.clear()
    table.receive(events)
    assert table.rows == before
    assert not any(one.changed for one in table.reductions)
    assert {kind for one in table.reductions for kind in one.outcomes} == {Outcome.IGNORED}


def test_a_late_update_does_not_bring_a_deleted_entity_back() -> None:
    one = sealed("e1", 1, {"city": "Ulm"})
    gone = deleted("e1", 2, reason="erased", previous_hash=one.hash)
    table = Table()
    table.receive(parsed([gone]))
    table.receive(parsed([one]))
    row = table.rows["e1"]
    assert (row.version, row.gone, row.record) == (2, "erased", None)


def test_a_chain_that_begins_anew_does_not_bring_back_what_is_gone_for_good() -> None:
    again = sealed("e1", 2, {"city": "Ulm"})
    for reason, record in (("erased", False), ("deselected", True)):
        table = Table()
        table.receive(parsed([deleted("e1", 2, reason=reason)]))
        table.receive(parsed([again]))
        assert (table.rows["e1"].record is not None) is record


def test_an_erasure_forgets_what_waited() -> None:
    secret = sealed("e1", 3, {"city": "top secret"}, base_version=2, previous_hash=b"2" * 32)
    table = Table()
    table.receive(parsed([secret]))
    assert len(table.rows["e1"].waiting) == 1
    table.receive(parsed([deleted("e1", 4, reason="erased", previous_hash=secret.hash)]))
    assert "top secret" not in str(to_cells(table.rows["e1"]))
    assert table.rows["e1"].waiting == ()


def test_a_merged_entity_names_its_survivor() -> None:
    event = json.loads(deleted("e1", 2, reason="merged").body) | {"mergedInto": "e9"}
    row = reduce_entity(None, [sealed_again(event)]).row
    assert (row.gone, row.merged_into) == ("merged", "e9")


def sealed_again(event: dict[str, Any]) -> Event:
    import hashlib  # noqa: PLC0415 - only here

    import rfc8785  # noqa: PLC0415 - only here

    plain = {name: value for name, value in event.items() if name != "hash"}
    digest = hashlib.sha256(rfc8785.dumps(plain)).hexdigest()
    return parse(rfc8785.dumps({**plain, "hash": f"sha256:{digest}"}))


def test_of_one_version_sent_under_two_hashes_the_chain_goes_on_from_the_later_one_in_any_order() -> None:
    first = sealed("e1", 1, {"city": "Ulm"})
    again = sealed("e1", 1, {"city": "Ulm"}, previous_hash=first.hash)
    after = sealed("e1", 2, {"city": "Bonn"}, base_version=1, previous_hash=again.hash)
    for order in ([first, again, after], [after, again, first], [again, after, first]):
        table = Table()
        table.receive(parsed(order))
        assert (table.rows["e1"].version, table.rows["e1"].waiting) == (2, ())


def test_numbers_and_texts_come_through_the_table_as_they_were_sent() -> None:
    values = {"a": 1e21, "b": -0.0, "c": 2**53 - 1, "d": 5e-324, "e": 1.5, "f": "東京 \u2028 😀 \x00", "g": [None, {"ü": 1e16}]}
    table = Table()
    table.receive(parsed([sealed("e1", 1, values)]))
    assert table.values["e1"] == values


def test_no_repr_shows_a_value_and_a_row_of_another_program_is_named() -> None:
    row = reduce_entity(None, parsed([sealed("e1", 1, {"city": "top secret"})])).row
    assert "top secret" not in repr(row)
    with pytest.raises(ValueError, match="entity e1") as found:
        from_cells(to_cells(row) | {"record": '{"attributes": "top secret"}'})
    assert "top secret" not in str(found.value)


def batches(rows: list[dict[str, Any]], schema: Any, size: int = 3) -> Any:
    return iter(pa.Table.from_pylist(rows, schema=schema).to_batches(max_chunksize=size))


MESSAGES = pa.schema(
    [
        ("body", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
        ("source", pa.string()),
    ]
)
BOTH = pa.schema([("entity_id", pa.string()), ("event", pa.binary()), ("held", pa.struct(list(arrow_schema(COLUMNS))))])


def run_partition(bodies: list[bytes], held: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the dead letters, and the reduced rows, of messages that are all in one partition."""
    messages = [{"body": body, "headers": None, "source": f"file@{number}"} for number, body in enumerate(bodies)]
    found = [row for batch in verify(batches(messages, MESSAGES)) for row in batch.to_pylist()]
    events = [{"entity_id": row["entity_id"], "event": row["event"], "held": None} for row in found if row["event"] is not None]
    rows = events + [{"entity_id": row["entity_id"], "event": None, "held": row} for row in held]
    rows.sort(key=lambda row: row["entity_id"])
    reduced = [row for batch in reduce(batches(rows, BOTH)) for row in batch.to_pylist()]
    return [row for row in found if row["event"] is None], reduced


def cells(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS}


def test_a_partition_reduces_each_entity_once_however_arrow_cuts_it() -> None:
    history: History = customers(9, 7, 60)
    letters, reduced = run_partition([event.body for event in history.events], [])
    assert letters == []
    assert sorted(row["entity_id"] for row in reduced) == sorted({event.entity_id for event in history.events})
    assert {row["entity_id"]: json.loads(row["record"]) for row in reduced if row["record"]}.keys() == history.table.keys()
    assert sum(row[name] for row in reduced for name in COUNTED) == len(history.events)
    old = [{**cells(row), "version": 0, "hash": None, "record": None, "writes": 0} for row in reduced]
    letters, again = run_partition([event.body for event in history.events], old + [cells(row) for row in reduced])
    assert not any(row["changed"] for row in again), "of several rows of an entity the newest counts"


def test_poison_is_set_aside_beside_what_is_good() -> None:
    good = sealed("e1", 1, {"city": "Ulm"})
    altered = sealed("e2", 1, {"city": "Ulm"}).body.replace(b"Ulm", b"Ull")
    letters, reduced = run_partition([b"{", good.body, altered], [])
    assert [(one["kind"], one["entity_id"], one["version"], one["body"], one["source"]) for one in letters] == [
        ("unreadable", None, None, b"{", "file@0"), ("altered", "e2", 1, altered, "file@2"),
    ]  # fmt: skip
    assert [row["entity_id"] for row in reduced] == ["e1"]
    assert list(LETTER) == list(VERIFIED)[:-1]


@pytest.mark.parametrize("name", ["messageId", "ce_id"])
def test_headers_of_another_event_are_poison_in_whatever_form_spark_has_them(name: str) -> None:
    body = sealed("e1", 1).body
    as_map = pa.schema([("body", pa.binary()), ("headers", pa.map_(pa.string(), pa.string())), ("source", pa.string())])
    for value, kind in (("Customer:e1:1", None), ("Customer:e1:2", "mislabelled")):
        pairs = [{"key": name, "value": value.encode()}]
        for schema, cell in ((MESSAGES, pairs), (as_map, [(name, value)])):
            [batch] = verify(batches([{"body": body, "headers": cell, "source": None}], schema))
            assert [row["kind"] for row in batch.to_pylist()] == [kind]


def test_an_entity_without_an_event_is_not_looked_at() -> None:
    _, [row] = run_partition([sealed("e1", 1).body], [])
    other = {**cells(row), "entity_id": "e0"}
    _, reduced = run_partition([sealed("e1", 1).body], [other])
    assert [(one["entity_id"], one["applied"]) for one in reduced] == [("e1", 1)]
    assert list(reduced[0]) == list(REDUCED)


def test_the_room_is_imported_without_spark_arrow_and_delta() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('pyspark', 'pyarrow', 'deltalake', 'pandas')));"
        "import goldwire_consumer.spark as room; room.foreach_batch(room.ParquetTable('x'), 'y');"
        "room.DriverDeltaTable('x')._open()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "deltalake is not installed: pip install 'deltalake>=1.1' 'pandas<3,>=2.2'" in done.stderr
