"""The proof: ledgers recounted, chains verified, nothing lost, and the SQL table compared with the golden records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.changelog.rows import LogRow
from goldwire.demo.folder import DemoFolder
from goldwire.demo.partner import arrivals
from goldwire.demo.result import Chain, TargetTally, Warehouse
from goldwire.relay.ledger import ledger
from goldwire.services.application import Application
from goldwire.services.verify import verify_files
from goldwire.targets.sql.settings import SqlSettings


class _End(Struct):
    entity_id: str = msgspec.field(name="entityId")
    hash: str
    version: int


def all_terms(application: Application) -> list[TargetTally]:
    """Return the ledger of every target, counted from counters and again from rows."""
    found = []
    for cursor in application.store.cursors():
        one = ledger(application.store, cursor.target, recount=True)
        agrees = one.recounted == one.counts
        found.append(
            TargetTally(target=cursor.target, **one.counts._asdict(), recount_agrees=agrees, balanced=one.balanced and agrees)
        )
    return found


def verify_chains(application: Application, folder: DemoFolder) -> list[Chain]:
    """Verify what the event log and the partner hold, from these files alone; then compare where the chains end.

    A chain cannot show that its last events are missing, so its end is compared with what the relay settled last.
    """
    folder.partner.write_bytes(b"".join(one.body + b"\n" for one in arrivals(folder.arrivals)))
    return [_chain(application, "eventlog", folder.eventlog), _chain(application, "partner", folder.partner)]


def _chain(application: Application, target: str, file: Path) -> Chain:
    found = verify_files([file])
    settled = {one.entity_id: f"sha256:{one.hash.hex()}" for one in application.store.all_controls(target)}
    ends: dict[str, _End] = {}
    for line in file.read_bytes().splitlines():
        event = msgspec.json.decode(line, type=_End)
        if event.entity_id not in ends or ends[event.entity_id].version < event.version:
            ends[event.entity_id] = event
    as_settled = {entity_id: end.hash for entity_id, end in ends.items()} == settled
    return Chain(str(file), found.events, found.entities, found.repeated, found.findings, as_settled)


def compare_warehouse(application: Application, folder: DemoFolder) -> Warehouse:
    """Compare every row of the SQL table, column by column, with the golden record in the log.

    What should be there is worked out here from the log's newest versions, without the relay, the contract or the target.
    """
    settings = application.targets.settings("warehouse")
    assert isinstance(settings, SqlSettings)
    wanted = {row.entity_id: row for row in application.store.heads() if _is_selected(row)}
    hashes = {one.entity_id: one.hash for one in application.store.all_controls("warehouse")}
    live = {}
    marked = 0
    for entity_id, row in table_rows(folder.warehouse, settings):
        if row[settings.deleted_column]:
            marked += 1
        else:
            live[entity_id] = row
    expected = {entity_id: _expected(row, settings, hashes.get(entity_id)) for entity_id, row in wanted.items()}
    return Warehouse(
        golden_records=len(wanted),
        rows=len(live),
        columns=len(next(iter(expected.values()), {})),
        rows_equal=sum(live.get(entity_id) == row for entity_id, row in expected.items()),
        rows_marked_deleted=marked,
        unexpected=len(live.keys() ^ expected.keys()),
    )


def table_rows(database: Path, settings: SqlSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row of a SQL target's SQLite table, marked ones too: its entity id, and column to value."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f'SELECT * FROM "{settings.table}"'):  # noqa: S608 - the table that we configured
            yield row[settings.entity_column], dict(row)


def _is_selected(row: LogRow) -> bool:
    if row.kind != "live":
        return False
    state = msgspec.json.decode(row.state)
    return bool(state["status"] == "golden" and state["approval"] == "approved")


def _expected(row: LogRow, settings: SqlSettings, hash_: bytes | None) -> dict[str, Any]:
    attributes = msgspec.json.decode(row.state)["attributes"]
    return {
        settings.key_column: row.entity_id,
        **{column: attributes.get(name, {}).get("value") for column, name in settings.row_tables[None].columns.items()},
        settings.entity_column: row.entity_id,
        settings.version_column: row.version,
        settings.timestamp_column: row.committed_at,
        settings.deleted_column: 0,
        settings.hash_column: f"sha256:{hash_.hex()}" if hash_ else None,
    }
