"""Open deliveries as rows: read by lane, written back, and kept in the states that fit their order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from goldwire.changelog.rows import OpenDelivery
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.transaction import Database
from goldwire.errors import StoreCorruptError


def update_open(database: Database, target: str, number: int, deliveries: list[OpenDelivery]) -> None:
    """Write what changed about open deliveries. Runs inside a transaction.

    Raises:
        StoreCorruptError: one of them is not open.
    """
    rows = [
        (
            row.state, row.attempts, row.strikes, row.ambiguous, row.first_attempt_at, row.last_attempt_at, row.due_at,
            row.reason, row.revision, number, row.seq,
        )
        for row in deliveries
    ]  # fmt: skip
    if database.executemany(query.UPDATE_OPEN, rows).rowcount != len(rows):
        raise StoreCorruptError(f"target {target}: a delivery was updated that is not open")


def lanes_of(database: Database, number: int, entity_ids: Collection[str]) -> dict[str, list[OpenDelivery]]:
    """Return what is open of these entities, each lane in order of the log. Runs inside a transaction."""
    found: dict[str, list[OpenDelivery]] = {}
    for row in database.each(query.LANES, (number,), entity_ids):
        found.setdefault(row[1], []).append(open_row(row))
    return found


def open_row(row: tuple[Any, ...]) -> OpenDelivery:
    """Return a delivery from its columns."""
    return OpenDelivery._make((*row[:7], bool(row[7]), *row[8:]))
