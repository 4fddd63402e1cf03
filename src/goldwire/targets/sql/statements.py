"""The statements of one table, made once: each write carries the fence in its own condition, and is read back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Connection

from goldwire.targets.sql.bulk_load import LEAST_ROWS, BulkLoad
from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.key_lookup import KeyLookup
from goldwire.targets.sql.many_rows import ManyRows
from goldwire.targets.sql.plan import Found, HeldRow, Steps
from goldwire.targets.sql.table import Tables
from goldwire.targets.sql.table_settings import RowTable
from goldwire.targets.sql.values import convert, holds, plain_key


class Doubt(Struct, frozen=True):
    """What a table holds instead of what was written to it."""

    kind: Literal["no row", "equal key", "other row", "other value", "not removed", "no fence", "other edges"]
    """`equal key`: only a row of another key, which the column takes for the same."""
    column: str = ""
    """Of another value."""


class Statements:
    """Reads and writes one table and its tombstones, inside a transaction of the caller's."""

    def __init__(self, dialect: Dialect, tables: Tables, settings: RowTable) -> None:
        self._settings = settings
        self._tables = tables
        self._name = tables.location
        rows, tombs, s = tables.rows, tables.tombstones, settings
        self._key, self._entity = rows.c[s.key_column], rows.c[s.entity_column]
        self._version = rows.c[s.version_column]
        self._deleted = convert(tables.columns[s.deleted_column], value=True)
        self._live = convert(tables.columns[s.deleted_column], value=False)
        self._columns = [tables.columns[column] for column in s.columns]
        self._key_column = tables.columns[s.key_column]
        # To Python a whole number is equal to a double that reads otherwise: such columns are compared one by one.
        self._compares_whole = all(column.type not in {"number", None} for column in self._columns)
        self._names = [column.name for column in rows.columns]
        self._upsert = dialect.upsert(rows, [s.key_column], [*s.columns, *s.fence_columns], self._gives_way)
        self._bulk_load = BulkLoad(rows, self._upsert) if tables.loads_in_bulk else None
        self._many_rows = ManyRows(self._upsert, self._names, dialect.most_parameters)
        self._tombstone = dialect.upsert(
            tombs, ["target_table", "entity_id"], ["timestamp", "version"], lambda held, new: new.version > held.version
        )
        moment = rows.c[s.timestamp_column]
        held = sa.select(self._key, self._entity, self._version, moment, rows.c[s.deleted_column], rows.c[s.hash_column])
        self._newest = held.where(self._entity.is_not(None)).order_by(moment.desc())
        self._seen = self._lookups(dialect, held)
        self._held = self._lookups(dialect, held.with_for_update()) if dialect.locks_rows else self._seen
        names = sa.or_(*(tombs.c.target_table == name for name in tables.spellings))
        query = sa.select(tombs.c.entity_id, tombs.c.version).where(names)
        self._tombstones_held = KeyLookup(query, tombs.c.entity_id, as_array=dialect.takes_arrays)
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
        own = (self._entity, self._version, rows.c[s.hash_column], rows.c[s.deleted_column])
        self._written = KeyLookup(sa.select(self._key, *own, *mapped), self._key, as_array=tables.key_as_array)
        self._content = sa.select(*mapped).where(self._key == sa.bindparam("gw_key"))
        fences = [rows.c[name] for name in s.fence_columns]
        self.live_rows = sa.select(self._key, *mapped, *fences).where(
            self._entity.is_not(None), rows.c[s.deleted_column] == sa.bindparam("gw_live", self._live)
        )
        """Reads every row of a record that is not deleted."""

    def _lookups(self, dialect: Dialect, query: sa.Select[Any]) -> tuple[KeyLookup, KeyLookup]:
        """Return a query by key, and by entity."""
        return (
            KeyLookup(query, self._key, as_array=self._tables.key_as_array),
            KeyLookup(query, self._entity, as_array=dialect.takes_arrays),
        )

    def find(self, connection: Connection, changes: Iterable[RowChange], *, to_write: bool) -> Found:
        """Read what is held of the changes' keys and entities, and keep it from changing where it is to be written.

        Where it is not, a row that another program has locked is no reason to wait.
        """
        by_key, by_entity = self._held if to_write else self._seen
        changes = list(changes)
        keys = {key: None for change in changes for key in change.candidates}
        entities = [change.entity_id for change in changes]
        rows: dict[str, HeldRow] = {}
        self._take(by_key.rows(connection, list(keys)), rows)
        if self._tables.finds_by_entity:
            others = entities
            if self._settings.key == "entity_id":
                # Its own row is the only one, unless it was keyed otherwise before: then the key alone found nothing.
                others = [one for one in entities if (own := rows.get(one)) is None or own.entity_id != one]
            self._take(by_entity.rows(connection, others), rows)
        return Found(rows, self._tombstones(connection, entities))

    def _tombstones(self, connection: Connection, entities: Sequence[str]) -> dict[str, int]:
        held: dict[str, int] = {}
        for entity, version in self._tombstones_held.rows(connection, entities):
            held[entity] = max(version, held.get(entity, 0))
        return held

    def newest(self, connection: Connection, limit: int) -> list[HeldRow]:
        """Read the rows that were written last, by the time of their events; it reads the whole table where no index helps."""
        rows: dict[str, HeldRow] = {}
        self._take(connection.execute(self._newest.limit(limit)), rows)
        return list(rows.values())

    def run(self, connection: Connection, steps: Steps) -> None:
        """Carry the steps out.

        Raises:
            sqlalchemy.exc.DBAPIError: as the database says.
        """
        upserts = [self._row(change, change.values) for change in steps.upserts]
        for change, key in steps.copies:
            old = connection.execute(self._content, {"gw_key": key}).mappings().one()
            upserts.append(self._row(change, {**dict(old), **change.values}))
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
        if upserts and self._bulk_load is not None and len(upserts) >= LEAST_ROWS:
            self._bulk_load.load(connection, upserts)
        elif upserts:
            self._many_rows.run(connection, upserts)

    def prove(self, connection: Connection, steps: Steps) -> dict[str, Doubt]:
        """Read back in the same transaction what the steps wrote, and compare.

        Returns:
            for each entity of which the tables do not hold what was sent, what they do hold.
        """
        written = [*steps.upserts, *steps.updates, *(change for change, _ in steps.copies)]
        doubts = self._written_otherwise(connection, written)
        doubts.update(self._not_removed(connection, steps.removals))
        doubts.update(self._not_fenced(connection, steps.tombstones))
        return doubts

    def _written_otherwise(self, connection: Connection, changes: Sequence[RowChange]) -> dict[str, Doubt]:
        key_column = self._key_column
        found = self._written.rows(connection, [change.key for change in changes])
        held = {
            row[0] if type(row[0]) is str and not key_column.padded else str(plain_key(key_column, row[0])): row
            for row in found
        }
        doubts = {}
        strange: Collection[str] | None = None
        for change in changes:
            written = held.get(str(change.key))
            sent = (change.key, change.entity_id, change.version, change.hash, self._live, *change.values.values())
            if self._compares_whole and written == sent:
                continue
            # It is a delta, or the driver reads a value otherwise than it takes it, or something is wrong.
            if written is None and strange is None:
                strange = held.keys() - {str(one.key) for one in changes}
            doubt = self._doubt(change, written, strange or ())
            if doubt is not None:
                doubts[change.entity_id] = doubt
        return doubts

    def _doubt(self, change: RowChange, written: tuple[Any, ...] | None, strange: Collection[str]) -> Doubt | None:
        """Return what a row holds instead of what was sent, if it does; `strange` are keys found and not asked for."""
        if written is None:
            return Doubt("equal key" if strange else "no row")
        if written[1:4] != (change.entity_id, change.version, change.hash) or written[4]:
            return Doubt("other row")
        different = self._different(change.values, written[5:])
        return None if different is None else Doubt("other value", different)

    def _different(self, values: Mapping[str, Any], held: Sequence[Any]) -> str | None:
        """Return the name of a column that does not hold what was sent."""
        for column, found in zip(self._columns, held, strict=True):
            sent = values.get(column.name, found)  # of a delta only what changed
            if not (type(sent) is type(found) and sent == found) and not holds(column, sent, found):
                return column.name
        return None

    def _not_removed(self, connection: Connection, removals: Sequence[tuple[RowChange, Any]]) -> dict[str, Doubt]:
        left: dict[str, Any] = {}
        for row in self._written.rows(connection, [key for _, key in removals]):
            left[str(plain_key(self._key_column, row[0]))] = row
        doubts = {}
        for change, key in removals:
            removed = left.get(str(key))
            # A row of another entity is one to which the key has passed on.
            if removed is None or removed[1] != change.entity_id:
                continue
            if change.erased or self._settings.delete == "physical" or not removed[4] or removed[2] < change.version:
                doubts[change.entity_id] = Doubt("not removed")
        return doubts

    def _not_fenced(self, connection: Connection, tombstones: Sequence[tuple[str, int, str]]) -> dict[str, Doubt]:
        held = self._tombstones(connection, [entity for entity, _, _ in tombstones])
        return {entity: Doubt("no fence") for entity, version, _ in tombstones if held.get(entity, 0) < version}

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

    def _row(self, change: RowChange, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return a row in the order of the table's columns, which is that of `values` too."""
        own = (change.hash, change.timestamp, self._live, change.version, change.entity_id)
        return (change.key, *values.values(), *own)

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

    def _take(self, result: Iterable[Any], rows: dict[str, HeldRow]) -> None:
        for key, entity_id, version, timestamp, deleted, hash_ in result:
            plain = plain_key(self._key_column, key)
            rows[str(plain)] = HeldRow(plain, entity_id, int(version or 0), timestamp or "", bool(deleted), hash_)


def _address(change: RowChange, key: Any) -> dict[str, Any]:
    return {"gw_key": key, "gw_entity": change.entity_id, "gw_version": change.version}
