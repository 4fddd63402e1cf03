"""The statements of one table, made once: each write carries the fence in its own condition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.plan import Found, HeldRow, Steps
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.table import Tables
from goldwire.targets.sql.values import convert

_KEYS_AT_ONCE = 500

Key = TypeVar("Key")


class CollisionError(Exception):
    """A row was not written, because it collides with another one on something else than the key."""


class Statements:
    """Reads and writes one table and its tombstones, inside a transaction of the caller's."""

    def __init__(self, dialect: Dialect, tables: Tables, settings: SqlSettings) -> None:
        self._settings = settings
        self._tables = tables
        self._name = settings.qualified_table
        rows, tombs, s = tables.rows, tables.tombstones, settings
        self._key, self._entity = rows.c[s.key_column], rows.c[s.entity_column]
        self._version = rows.c[s.version_column]
        self._deleted = convert(tables.columns[s.deleted_column], value=True)
        self._live = convert(tables.columns[s.deleted_column], value=False)
        self._verifies = dialect.any_unique_index_conflicts and tables.has_other_unique_index
        self._upsert = dialect.upsert(rows, [s.key_column], [*s.columns, *s.fence_columns], self._gives_way)
        self._tombstone = dialect.upsert(
            tombs, ["target_table", "entity_id"], ["timestamp", "version"], lambda held, new: new.version > held.version
        )
        moment = rows.c[s.timestamp_column]
        held = sa.select(self._key, self._entity, self._version, moment, rows.c[s.deleted_column], rows.c[s.hash_column])
        self._newest = held.where(self._entity.is_not(None)).order_by(moment.desc())
        self._held = held.with_for_update() if dialect.locks_rows else held
        fence = (
            self._key == sa.bindparam("gw_key"),
            self._entity == sa.bindparam("gw_entity"),
            self._version < sa.bindparam("gw_version"),
        )
        self._delete = sa.delete(rows).where(*fence)
        self._update = sa.update(rows).where(*fence)
        # JSON is read as the text it was written as, whatever the driver makes of it.
        mapped = [
            sa.cast(rows.c[name], sa.Text).label(name) if tables.columns[name].type == "json" else rows.c[name]
            for name in s.columns
        ]
        self._content = sa.select(*mapped).where(self._key == sa.bindparam("gw_key"))
        fences = [rows.c[name] for name in s.fence_columns]
        self.live_rows = sa.select(self._key, *mapped, *fences).where(
            self._entity.is_not(None), rows.c[s.deleted_column] == sa.bindparam("gw_live", self._live)
        )
        """Reads every row of a record that is not deleted."""

    def find(self, connection: Connection, changes: Iterable[RowChange]) -> Found:
        """Read what is held of the changes' keys and entities, and keep it from changing."""
        changes = list(changes)
        keys = {key: None for change in changes for key in change.candidates}
        entities = [change.entity_id for change in changes]
        rows: dict[str, HeldRow] = {}
        for some in _portions(list(keys)):
            self._take(connection.execute(self._held.where(self._key.in_(some))), rows)
        if self._tables.finds_by_entity:
            for some in _portions(entities):
                self._take(connection.execute(self._held.where(self._entity.in_(some))), rows)
        tombs = self._tables.tombstones
        tombstones: dict[str, int] = {}
        for some in _portions(entities):
            query = sa.select(tombs.c.entity_id, tombs.c.version).where(
                tombs.c.target_table == self._name, tombs.c.entity_id.in_(some)
            )
            tombstones.update((entity, version) for entity, version in connection.execute(query))
        return Found(rows, tombstones)

    def newest(self, connection: Connection, limit: int) -> list[HeldRow]:
        """Read the rows that were written last, by the time of their events; it reads the whole table where no index helps."""
        rows: dict[str, HeldRow] = {}
        self._take(connection.execute(self._newest.limit(limit)), rows)
        return list(rows.values())

    def run(self, connection: Connection, steps: Steps) -> None:
        """Carry the steps out.

        Raises:
            CollisionError: a row could not be written beside another one.
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        upserts = [self._row(change, change.values) for change in steps.upserts]
        for change, key in steps.copies:
            old = connection.execute(self._content, {"gw_key": key}).mappings().one()
            upserts.append(self._row(change, {**old, **change.values}))
        self._remove(connection, steps.removals)
        if steps.tombstones:
            connection.execute(
                self._tombstone,
                [
                    {"target_table": self._name, "entity_id": entity, "timestamp": timestamp, "version": version}
                    for entity, version, timestamp in steps.tombstones
                ],
            )
        self._update_partly(connection, steps.updates)
        if upserts:
            connection.execute(self._upsert, upserts)
            if self._verifies:
                self._verify(connection, [*steps.upserts, *(change for change, _ in steps.copies)])

    def _gives_way(self, held: Any, new: Any) -> sa.ColumnElement[bool]:
        """The fence of a row: a newer version of its entity, or another entity to which the key passed on."""
        s = self._settings
        # Written out, not bound: MariaDB's driver joins rows into one statement only where the condition has no parameters.
        gone = sa.true() if self._deleted is True else sa.literal_column(str(self._deleted))
        passed_on = sa.or_(held[s.deleted_column] == gone, new[s.timestamp_column] >= held[s.timestamp_column])
        return sa.or_(
            held[s.entity_column].is_(None),
            sa.and_(held[s.entity_column] == new[s.entity_column], new[s.version_column] > held[s.version_column]),
            sa.and_(held[s.entity_column] != new[s.entity_column], passed_on),
        )

    def _row(self, change: RowChange, values: dict[str, Any]) -> dict[str, Any]:
        return {self._settings.key_column: change.key, **values, **self._fence_values(change, self._live)}

    def _fence_values(self, change: RowChange, deleted: object) -> dict[str, Any]:
        s = self._settings
        return {
            s.hash_column: change.hash,
            s.deleted_column: deleted,
            s.timestamp_column: change.timestamp,
            s.version_column: change.version,
            s.entity_column: change.entity_id,
        }

    def _remove(self, connection: Connection, removals: Sequence[tuple[RowChange, Any]]) -> None:
        physical = [(c, key) for c, key in removals if c.erased or self._settings.delete == "physical"]
        soft = [(c, key) for c, key in removals if not (c.erased or self._settings.delete == "physical")]
        if physical:
            connection.execute(self._delete, [_address(change, key) for change, key in physical])
        if soft:
            self._change(connection, [(change, key, self._fence_values(change, self._deleted)) for change, key in soft])

    def _update_partly(self, connection: Connection, changes: Sequence[RowChange]) -> None:
        by_columns: dict[tuple[str, ...], list[tuple[RowChange, Any, dict[str, Any]]]] = {}
        for change in changes:
            entry = (change, change.key, {**change.values, **self._fence_values(change, self._live)})
            by_columns.setdefault(tuple(change.values), []).append(entry)
        for entries in by_columns.values():
            self._change(connection, entries)

    def _change(self, connection: Connection, entries: Sequence[tuple[RowChange, Any, dict[str, Any]]]) -> None:
        """Set the same columns of several rows; MySQL reads assignments in order, the fence is in the condition here."""
        names = list(entries[0][2])
        statement = self._update.values({name: sa.bindparam(f"gw_new_{number}") for number, name in enumerate(names)})
        connection.execute(
            statement,
            [
                {**_address(change, key), **{f"gw_new_{number}": values[name] for number, name in enumerate(names)}}
                for change, key, values in entries
            ],
        )

    def _verify(self, connection: Connection, changes: Sequence[RowChange]) -> None:
        found = self.find(connection, changes)
        for change in changes:
            row = found.rows.get(str(change.key))
            if row is None or row.entity_id != change.entity_id or row.version != change.version:
                raise CollisionError

    def _take(self, result: Iterable[Any], rows: dict[str, HeldRow]) -> None:
        for key, entity_id, version, timestamp, deleted, hash_ in result:
            rows[str(key)] = HeldRow(key, entity_id, int(version or 0), timestamp or "", bool(deleted), hash_)


def _address(change: RowChange, key: Any) -> dict[str, Any]:
    return {"gw_key": key, "gw_entity": change.entity_id, "gw_version": change.version}


def _portions(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[start : start + _KEYS_AT_ONCE]
