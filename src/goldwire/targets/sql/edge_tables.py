"""Keeps the tables of edges as the newest version of each record has them, in the transaction that writes its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import Struct, field
from sqlalchemy.engine import Connection

from goldwire.redaction import shows
from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.edge_schema import EdgeTable
from goldwire.targets.sql.plan import Steps
from goldwire.targets.sql.values import convert_key, plain_key

_AT_ONCE = 500


class EdgeRow(NamedTuple):
    """One row as its texts: the same edge where all four are the same."""

    source: str
    relation: str
    system: str
    to: str


@shows()
class ExpectedEdges(Struct):
    """What the tables of edges have to hold once some steps are done."""

    wanted: dict[str, dict[str, set[EdgeRow]]] = field(default_factory=dict)
    """By table and entity."""
    added: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By table, the rows to insert."""
    mistaken: bool = False
    """A table takes an entity id for that of another record."""


class EdgeTables:
    """All tables of edges of a target.

    Args:
        tables: as they are in the database.
    """

    def __init__(self, tables: Sequence[EdgeTable]) -> None:
        self._tables = tables

    def remove(self, connection: Connection, steps: Steps) -> ExpectedEdges:
        """Remove the edges that the records no longer have once the steps are done; return what is due then.

        Args:
            connection: in a transaction that holds the lock of the rows' table.
            steps: those of the rows. The record of a row that is removed, or whose key passes on, keeps no edge.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        due = ExpectedEdges()
        if not self._tables:
            return due
        changes: dict[str, RowChange | None] = {entity: None for entity, _, _ in steps.tombstones}
        changes.update((change.entity_id, None) for change, _ in steps.removals)
        written = [*steps.upserts, *steps.updates, *(change for change, _ in steps.copies)]
        changes.update((change.entity_id, change) for change in written)
        for table in self._tables:
            self._remove(connection, table, changes, due)
        return due

    def add(self, connection: Connection, due: ExpectedEdges) -> None:
        """Insert the edges that are due and not there.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        for table in self._tables:
            rows = due.added.get(table.location)
            if rows:
                connection.execute(sa.insert(table.rows), rows)

    def unproved(self, connection: Connection, due: ExpectedEdges) -> list[str]:
        """Read back in the same transaction, and return the entities whose edges are not those that are due."""
        if due.mistaken:
            return [entity for wanted in due.wanted.values() for entity in wanted]
        found = []
        for table in self._tables:
            wanted = due.wanted.get(table.location, {})
            held = _held(connection, table, list(wanted))
            found += [entity for entity, rows in wanted.items() if held.get(entity, set()) != rows]
        return found

    def _remove(
        self, connection: Connection, table: EdgeTable, changes: Mapping[str, RowChange | None], due: ExpectedEdges
    ) -> None:
        held = _held(connection, table, list(changes))
        due.mistaken = due.mistaken or not held.keys() <= changes.keys()
        added: list[dict[str, Any]] = []
        whole: list[str] = []
        single: list[dict[str, Any]] = []
        wanted: dict[str, set[EdgeRow]] = {}
        for entity, change in changes.items():
            before = held.get(entity, set())
            after = wanted[entity] = _after(table, change, before)
            gone = before - after
            if gone and gone == before:
                whole.append(entity)
            else:
                single += [{"gw_entity": entity, **_address(table, row)} for row in gone]
            if change is not None:
                added += [_values(table, change, row) for row in after - before]
        for some in _portions(whole):
            connection.execute(sa.delete(table.rows).where(table.rows.c[table.entity].in_(some)))
        if single:
            connection.execute(_delete_one(table), single)
        due.wanted[table.location] = wanted
        due.added[table.location] = added


def _after(table: EdgeTable, change: RowChange | None, before: set[EdgeRow]) -> set[EdgeRow]:
    """Return the rows of a record in one table once its change is written."""
    if change is None:
        return set()
    source = str(change.key)
    if change.base_version is None:
        return {EdgeRow(source, *edge) for edge in change.edges if edge.relation in table.relations}
    kept = {(row.relation, row.system, row.to) for row in before}
    kept -= set(change.edges_removed)
    kept |= {edge for edge in change.edges if edge.relation in table.relations}
    return {EdgeRow(source, *edge) for edge in kept}


def _held(connection: Connection, table: EdgeTable, entities: Sequence[str]) -> dict[str, set[EdgeRow]]:
    found: dict[str, set[EdgeRow]] = {}
    entity = table.rows.c[table.entity]
    ends = [table.rows.c[column.name] for column in table.columns]
    for some in _portions(entities):
        for row in connection.execute(sa.select(entity, *ends).where(entity.in_(some))):
            texts = (str(plain_key(column, value)) for column, value in zip(table.columns, row[1:], strict=True))
            found.setdefault(row[0], set()).add(EdgeRow(*texts))
    return found


def _values(table: EdgeTable, change: RowChange, row: EdgeRow) -> dict[str, Any]:
    values = {column.name: convert_key(column, text) for column, text in zip(table.columns, row, strict=True)}
    return {table.entity: change.entity_id, table.version: change.version, **values}


def _address(table: EdgeTable, row: EdgeRow) -> dict[str, Any]:
    pairs = enumerate(zip(table.columns[1:], row[1:], strict=True))
    return {f"gw_{number}": convert_key(column, text) for number, (column, text) in pairs}


def _delete_one(table: EdgeTable) -> sa.Delete:
    ends = (table.rows.c[column.name] == sa.bindparam(f"gw_{number}") for number, column in enumerate(table.columns[1:]))
    return sa.delete(table.rows).where(table.rows.c[table.entity] == sa.bindparam("gw_entity"), *ends)


def _portions(entities: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(entities), _AT_ONCE):
        yield entities[start : start + _AT_ONCE]
