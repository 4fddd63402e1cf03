"""The floors of the target kind `sql`: lock, look-up, tombstones, fence and merge by the bare driver, the quickest way of each.

A send is a transaction, as with Goldwire. A floor proves nothing, checks no type, and knows no way back for a row that fails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from goldwire.event.sealed import SealedEvent

COLUMNS = [f"attribute{number}" for number in range(10)]
_OWN = ["goldwire_hash", "goldwire_timestamp", "goldwire_deleted", "goldwire_version", "goldwire_entity_id"]
NAMES = ["id", *COLUMNS, *_OWN]
_HELD = "SELECT id, goldwire_entity_id, goldwire_version, goldwire_timestamp, goldwire_deleted, goldwire_hash FROM {table}"
_TOMBSTONES = "SELECT entity_id, version FROM goldwire_tombstone WHERE target_table = "
_PORTION = 500

_decode = msgspec.json.Decoder().decode

Send = Sequence[SealedEvent]


def rows_of(events: Send) -> list[tuple[Any, ...]]:
    """Decode events to rows."""
    rows = []
    for event in events:
        body = _decode(event.body)
        attributes = body["changes"]["attributes"]
        values = [attributes[name]["value"] for name in COLUMNS]
        entity = body["entityId"]
        rows.append((entity, *values, body["hash"], body["timestamp"], False, body["version"], entity))
    return rows


def newer(rows: Sequence[tuple[Any, ...]], held: Sequence[Any], tombstones: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Leave out what the table holds already."""
    fence: dict[str, int] = {row[1]: row[2] for row in held}
    for entity, version in tombstones:
        fence[entity] = max(fence.get(entity, 0), version)
    return [row for row in rows if fence.get(row[-1], 0) < row[-2]]


def sqlite(url: str, table: str, sends: Sequence[Send]) -> None:
    """Write sends to SQLite: one prepared upsert for all rows of a send."""
    connection = sqlite3.connect(url.partition("///")[2], isolation_level=None)
    marks = ",".join("?" * len(NAMES))
    changed = ", ".join(f"{name} = excluded.{name}" for name in NAMES[1:])
    upsert = (
        f"INSERT INTO {table} ({', '.join(NAMES)}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changed} "  # noqa: S608 - our own names
        f"WHERE excluded.goldwire_version > {table}.goldwire_version"
    )
    for events in sends:
        rows = rows_of(events)
        connection.execute("BEGIN IMMEDIATE")
        held, tombstones = [], []
        for some in _portions([row[0] for row in rows]):
            keys = ",".join("?" * len(some))
            held += connection.execute(f"{_HELD.format(table=table)} WHERE id IN ({keys})", some).fetchall()
            tombstones += connection.execute(f"{_TOMBSTONES}? AND entity_id IN ({keys})", [table, *some]).fetchall()
        connection.executemany(upsert, newer(rows, held, tombstones))
        connection.execute("COMMIT")
    connection.close()


def postgresql(url: str, table: str, sends: Sequence[Send]) -> None:
    """Write sends to PostgreSQL: COPY into a temporary table, and one merge."""
    import psycopg  # noqa: PLC0415 - loads only where it is measured

    changed = ", ".join(f"{name} = excluded.{name}" for name in NAMES[1:])
    merge = (
        f"INSERT INTO {table} ({', '.join(NAMES)}) SELECT {', '.join(NAMES)} FROM stage ON CONFLICT (id) DO UPDATE "  # noqa: S608 - our own names
        f"SET {changed} WHERE excluded.goldwire_version > {table}.goldwire_version"
    )
    with psycopg.connect(url) as connection:
        for events in sends:
            rows = rows_of(events)
            keys = [row[0] for row in rows]
            connection.execute("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")
            connection.execute("SELECT pg_advisory_xact_lock(1)")
            held = connection.execute(f"{_HELD.format(table=table)} WHERE id = ANY(%s) FOR UPDATE", [keys]).fetchall()
            tombstones = connection.execute(f"{_TOMBSTONES}%s AND entity_id = ANY(%s)", [table, keys]).fetchall()
            shape = f"SELECT {', '.join(NAMES)} FROM {table} WITH NO DATA"  # noqa: S608 - our own names
            connection.execute(f"CREATE TEMPORARY TABLE stage ON COMMIT DROP AS {shape}")
            with connection.cursor() as cursor, cursor.copy(f"COPY stage ({', '.join(NAMES)}) FROM STDIN") as copy:
                for row in newer(rows, held, tombstones):
                    copy.write_row(row)
            connection.execute(merge)
            connection.commit()


def mariadb(url: str, table: str, sends: Sequence[Send]) -> None:
    """Write sends to MariaDB: statements of many rows."""
    import pymysql  # noqa: PLC0415 - loads only where it is measured

    parts = urlsplit(url)
    (path,) = parse_qs(parts.query)["unix_socket"]
    fence = "VALUES(goldwire_version) > goldwire_version"
    changed = ", ".join(f"{name} = IF({fence}, VALUES({name}), {name})" for name in [*COLUMNS, *_OWN])
    marks = ",".join(["%s"] * len(NAMES))
    upsert = f"INSERT INTO {table} ({', '.join(NAMES)}) VALUES ({marks}) ON DUPLICATE KEY UPDATE {changed}"  # noqa: S608 - our own names
    lock = "INSERT INTO goldwire_tombstone VALUES (%s, 'floor:lock', '', 0) ON DUPLICATE KEY UPDATE version = version"
    connection = pymysql.connect(unix_socket=path, user="root", database="goldwire", charset="utf8mb4")
    with connection, connection.cursor() as cursor:
        for events in sends:
            rows = rows_of(events)
            keys = [row[0] for row in rows]
            cursor.execute(lock, [table])
            cursor.execute(f"{_HELD.format(table=table)} WHERE id IN %s FOR UPDATE", [keys])
            held = cursor.fetchall()
            cursor.execute(f"{_TOMBSTONES}%s AND entity_id IN %s", [table, keys])
            cursor.executemany(upsert, newer(rows, held, cursor.fetchall()))
            connection.commit()


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _PORTION):
        yield keys[start : start + _PORTION]
