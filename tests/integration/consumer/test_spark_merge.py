"""The MERGE with which Spark writes Delta, run by PostgreSQL, which has the same statement; Delta's jar cannot be had here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from goldwire.event.sealed import SealedEvent
from goldwire_consumer import Event, parse
from goldwire_consumer.spark import reduce_entity
from goldwire_consumer.spark.rows import COLUMNS, EntityRow, from_cells, to_cells
from goldwire_consumer.spark.spark_delta import merge_statement
from support.histories import customers

TYPES = {"string": "text", "bigint": "bigint", "array<binary>": "bytea[]"}
NAMES = ", ".join(COLUMNS)


def create(database: Any, table: str) -> None:
    columns = ", ".join(f"{name} {TYPES[type_]}" for name, type_ in COLUMNS.items())
    database.query(f"CREATE TABLE {table} ({columns})")


def merge(database: Any, rows: list[EntityRow]) -> int:
    """Merge rows, and return how many the database wrote."""
    database.query("DELETE FROM news")
    for row in rows:
        cells = to_cells(row)
        marks = ", ".join(["%s"] * len(cells))
        database.query(f"INSERT INTO news ({NAMES}) VALUES ({marks})", *cells.values())
    statement = f"{merge_statement('customers', 'news')} RETURNING 1"
    return len(database.query(statement))


def held(database: Any) -> dict[str, EntityRow]:
    found = database.query(f"SELECT {NAMES} FROM customers")
    return {row[0]: from_cells(dict(zip(COLUMNS, row, strict=True))) for row in found}


def test_it_inserts_updates_and_leaves_what_another_stream_wrote(database: Any) -> None:
    create(database, "customers")
    create(database, "news")
    history = customers(51, 4, 60)
    half = len(history.events) // 2
    for events in (history.events[:half], history.events[half:]):
        before = held(database)
        rows = [
            reduce_entity(before.get(id_), [event for event in parsed(events) if event.entity_id == id_]).row
            for id_ in sorted({event.entity_id for event in events})
        ]
        assert merge(database, rows) == len(rows)
        assert {**before, **{row.entity_id: row for row in rows}} == held(database)
    assert {id_ for id_, row in held(database).items() if row.record is not None} == set(history.table)
    assert merge(database, rows) == 0, "what is there already is not written again"
    assert merge(database, list(before.values())) == 0, "nothing goes back"


def parsed(events: Iterable[SealedEvent]) -> list[Event]:
    return [parse(event.body) for event in events]
