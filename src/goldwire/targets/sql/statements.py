"""The statements of one table, made once: each write carries the fence in its own condition, and is read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Connection

from goldwire.targets.sql.bulk_load import LEAST_ROWS, BulkLoad
from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.plan import Found, HeldRow, Steps
from goldwire.targets.sql.table import Tables
from goldwire.targets.sql.table_settings import RowTable
from goldwire.targets.sql.values import convert, holds, plain_key

_KEYS_AT_ONCE = 500

Key = TypeVar("Key")


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
        self._name = settings.qualified_table
        rows, tombs, s = tables.rows, tables.tombstones, settings
        self._key, self._entity = rows.c[s.key_column], rows.c[s.entity_column]
        self._version = rows.c[s.version_column]
        self._deleted = convert(tables.columns[s.deleted_column], value=True)
        self._live = convert(tables.columns[s.deleted_column], value=False)
        self._columns = [tables.columns[column] for column in s.columns]
        self._key_column = tables.columns[s.key_column]
        self._upsert = dialect.upsert(rows, [s.key_column], [*s.columns, *s.fence_columns], self._gives_way)
        self._bulk_load = BulkLoad(rows, self._upsert) if tables.loads_in_bulk else None
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
        own = (self._entity, self._version, rows.c[s.hash_column], rows.c[s.deleted_column])
        self._written = sa.select(self._key, *own, *mapped)
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
        return Found(rows, self._tombstones(connection, entities))

    def _tombstones(self, connection: Connection, entities: Sequence[str]) -> dict[str, int]:
        tombs = self._tables.tombstones
        found: dict[str, int] = {}
        for some in _portions(entities):
            query = sa.select(tombs.c.entity_id, tombs.c.version).where(
                tombs.c.target_table == self._name, tombs.c.entity_id.in_(some)
            )
            found.update((entity, version) for entity, version in connection.execute(query))
        return found

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
        if upserts and self._bulk_load is not None and len(upserts) >= LEAST_ROWS:
            self._bulk_load.load(connection, upserts)
        elif upserts:
            connection.execute(self._upsert, upserts)

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
        held: dict[str, Any] = {}
        for some in _portions([change.key for change in changes]):
            for row in connection.execute(self._written.where(self._key.in_(some))):
                held[str(plain_key(self._key_column, row[0]))] = row
        doubts = {}
        wanted = {str(change.key) for change in changes}
        strange = held.keys() - wanted
        for change in changes:
            written = held.get(str(change.key))
            if written is None:
                doubts[change.entity_id] = Doubt("equal key" if strange else "no row")
            elif (*written[1:4],) != (change.entity_id, change.version, change.hash) or written[4]:
                doubts[change.entity_id] = Doubt("other row")
            else:
                different = self._different(change.values, written[5:])
                if different is not None:
                    doubts[change.entity_id] = Doubt("other value", different)
        return doubts

    def _different(self, values: Mapping[str, Any], held: Sequence[Any]) -> str | None:
        """Return the name of a column that does not hold what was sent."""
        for column, found in zip(self._columns, held, strict=True):
            sent = values.get(column.name, found)  # of a delta only what changed
            if not (type(sent) is type(found) and sent == found) and not holds(column, sent, found):
                return column.name
        return None

    def _not_removed(self, connection: Connection, removals: Sequence[tuple[RowChange, Any]]) -> dict[str, Doubt]:
        left: dict[str, Any] = {}
        for some in _portions([key for _, key in removals]):
            for row in connection.execute(self._written.where(self._key.in_(some))):
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

    def _take(self, result: Iterable[Any], rows: dict[str, HeldRow]) -> None:
        for key, entity_id, version, timestamp, deleted, hash_ in result:
            plain = plain_key(self._key_column, key)
            rows[str(plain)] = HeldRow(plain, entity_id, int(version or 0), timestamp or "", bool(deleted), hash_)


def _address(change: RowChange, key: Any) -> dict[str, Any]:
    return {"gw_key": key, "gw_entity": change.entity_id, "gw_version": change.version}


def _portions(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[start : start + _KEYS_AT_ONCE]
