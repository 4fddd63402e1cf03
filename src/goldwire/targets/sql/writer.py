"""One send is one transaction over all tables of a target, and is answered item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError

from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, TakenEvent, Unavailable, Unknown
from goldwire.targets.sql.change import RowChange
from goldwire.targets.sql.dialects import Dialect, dialect_of
from goldwire.targets.sql.edge_schema import EdgeTable, prepare_edges
from goldwire.targets.sql.edge_tables import EdgeTables
from goldwire.targets.sql.faults import Blame, answered, blame, reason
from goldwire.targets.sql.ownership import Owner, claim
from goldwire.targets.sql.references import halves
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.table import Tables, prepare
from goldwire.targets.sql.table_settings import RowTable
from goldwire.targets.sql.table_writer import TableWriter, refusal
from goldwire.targets.sql.values import UnfitValueError, convert, plain_key


class _Due(NamedTuple):
    """A change with the table that it goes to."""

    writer: TableWriter
    change: RowChange


class Writer:
    """A connected target. Blocking; one caller at a time."""

    def __init__(self, settings: SqlSettings, name: str, store_id: str | None = None) -> None:
        """Connect, check the tables, and claim them.

        Args:
            settings: which tables, and how.
            name: the target's.
            store_id: the store for which it writes; None: the tables are not claimed.

        Raises:
            ConfigError: the URL, the credentials or a table are wrong.
            OSError: the database cannot be reached now.
        """
        self._settings = settings
        self._name = name
        self._store_id = store_id
        try:
            url = sa.make_url(settings.url)
        except (ArgumentError, ValueError):
            raise ConfigError(f"target '{name}': url is no database URL such as sqlite:///FILE") from None
        self._dialect: Dialect = dialect_of(url, name)
        self._engine: Engine = self._dialect.engine(url, settings)
        self._edges: list[EdgeTable] = []
        self._writers: dict[str | None, TableWriter] = {}
        try:
            self._open()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        """Write all items in one transaction, and answer for each.

        Raises:
            ConfigError: the credentials are no longer accepted.
        """
        outcomes: dict[int, Outcome] = {}
        changes: dict[int, _Due] = {}
        for index, item in enumerate(items):
            writer = self._writer_of(item)
            if writer is None:
                outcomes[index] = Rejected(
                    f"the target has no table for entity type {item.event.entity_type}; give it one in `tables`"
                )
                continue
            try:
                changes[index] = _Due(writer, writer.read(item))
            except UnfitValueError as error:
                outcomes[index] = Rejected(str(error))
            except msgspec.DecodeError:
                outcomes[index] = Rejected("the event's body is not of the wire's form")
        if changes:
            outcomes.update(self._transact(changes))
        return [outcomes[index] for index in range(len(items))]

    def held_versions(self, items: Sequence[Item]) -> list[int | None]:
        """Return the version held of each item's entity, deletions too."""
        changes: dict[int, _Due] = {}
        for index, item in enumerate(items):
            writer = self._writer_of(item)
            try:
                if writer is not None:
                    changes[index] = _Due(writer, writer.read(item))
            except (UnfitValueError, msgspec.DecodeError):
                continue
        held: dict[int, int | None] = {}
        try:
            with self._engine.begin() as connection:
                for writer, some in _by_table(changes):
                    found = writer.find(connection, some.values())
                    held.update((index, found.fence(change) or None) for index, change in some.items())
        except DBAPIError as error:
            raise self._silent(error) from None
        return [held.get(index) for index in range(len(items))]

    def newest(self, limit: int) -> list[TakenEvent]:
        """Return the events that were written last, as far as the tables tell their hash."""
        found: list[tuple[str, TakenEvent]] = []
        try:
            with self._engine.begin() as connection:
                for writer in self._writers.values():
                    found += writer.newest(connection, limit)
        except DBAPIError as error:
            raise self._silent(error) from None
        found.sort(key=lambda one: one[0], reverse=True)
        return [event for _, event in found[:limit]]

    def rows(self, keys: Sequence[str] | None = None, entity_type: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of records that are not deleted, all or those of some keys, ordered by key.

        Raises:
            ValueError: there is no table for the entity type; None stands for all where they share one.
        """
        writer = self._writers.get(entity_type)
        if writer is None:
            raise ValueError(f"target '{self._name}' has no table for {entity_type or 'all entity types together'}")
        key = writer.tables.rows.c[writer.settings.key_column]
        column = writer.tables.columns[writer.settings.key_column]
        query = writer.statements.live_rows.order_by(key)
        if keys is not None:
            query = query.where(key.in_([convert(column, text) for text in keys]))
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        if keys is None:
            return rows
        # The column may take another row's key for the same.
        asked = set(keys)
        return [row for row in rows if str(plain_key(column, row[column.name])) in asked]

    def edges(self, relation: str) -> list[dict[str, Any]]:
        """Return the rows of the table of a relation's edges, ordered by entity, relation and id."""
        for table in self._edges:
            if relation in table.relations:
                order = [table.rows.c[table.entity], *(table.rows.c[column.name] for column in table.columns[1:])]
                with self._engine.connect() as connection:
                    return [dict(row) for row in connection.execute(sa.select(*table.rows.columns).order_by(*order)).mappings()]
        raise ValueError(f"target '{self._name}' has no table for the edges {relation}")

    def _writer_of(self, item: Item) -> TableWriter | None:
        return self._writers.get(None) or self._writers.get(item.event.entity_type)

    def _open(self) -> None:
        try:
            with self._engine.begin() as connection:
                found: list[tuple[str | None, RowTable, Tables]] = []
                for entity_type, settings in self._settings.row_tables.items():
                    found.append((entity_type, settings, prepare(connection, self._dialect, settings, self._name)))
                self._edges = prepare_edges(connection, self._dialect, self._settings, self._name)
                edges = EdgeTables(self._edges)
                columns = {relation: table.columns for table in self._edges for relation in table.relations}
                self._writers = {
                    entity_type: TableWriter(self._dialect, tables, settings, edges, columns)
                    for entity_type, settings, tables in found
                }
                if self._store_id is not None:
                    self._claim(connection, Owner(self._store_id, self._name))
        except DBAPIError as error:
            if blame(error) is Blame.CONFIG:
                raise self._config_error(error) from None
            raise ConnectionError(f"target '{self._name}': the database is not available: {reason(error)}") from None
        except NoSuchTableError as error:
            raise ConfigError(
                f"target '{self._name}': the database has the table {error} under another spelling; write it as it is there"
            ) from None

    def _claim(self, connection: Connection, owner: Owner) -> None:
        writers = _in_order(list(self._writers.values()))
        for writer in writers:
            writer.lock(connection)
            claim(connection, writer.tables.tombstones, writer.tables.spellings, owner)
        for table in sorted(self._edges, key=lambda one: one.location):
            claim(connection, writers[0].tables.tombstones, [table.location], owner)

    def _transact(self, changes: dict[int, _Due]) -> dict[int, Outcome]:
        failed: DBAPIError | None = None
        try:
            with self._engine.connect() as connection:
                transaction = connection.begin()
                outcomes = self._locked(connection, changes)
                try:
                    transaction.commit()
                except DBAPIError as error:
                    failed = error
                    connection.rollback()
        except DBAPIError as error:
            if failed is None:
                if blame(error) is Blame.CONFIG:
                    raise self._config_error(error) from None
                # Nothing was committed, whatever broke.
                return dict.fromkeys(changes, Unavailable(f"the database did not take it: {reason(error)}"))
        return outcomes if failed is None else self._after_failed_commit(failed, changes, outcomes)

    def _locked(self, connection: Connection, changes: dict[int, _Due]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        by_table = _by_table(changes)
        for writer, _ in by_table:
            writer.lock(connection)
        for writer, some in by_table:
            outcomes.update(writer.write(connection, some))
        if len(changes) == 1 or any(isinstance(outcome, Delivered) for outcome in outcomes.values()):
            # Where others pass, or the database has answered all but the write, it is the row that fails.
            outcomes = {index: _blamed(outcome) for index, outcome in outcomes.items()}
        return outcomes

    def _after_failed_commit(
        self, error: DBAPIError, changes: dict[int, _Due], outcomes: dict[int, Outcome]
    ) -> dict[int, Outcome]:
        written = {index for index, outcome in outcomes.items() if isinstance(outcome, Delivered)}
        if not answered(error):
            failure: Outcome = Unknown("the connection broke during the commit")
        elif (refused := refusal(error)) is None:
            failure = Unavailable(f"the database did not commit: {reason(error)}")
        elif len(changes) == 1:
            failure = _blamed(refused)
        else:
            # A constraint that is checked at the commit does not say which row it is: halves, and halves of those.
            found: dict[int, Outcome] = {}
            for half in halves({index: due.change for index, due in changes.items()}):
                found.update(self._transact({index: changes[index] for index in half}))
            return found
        return {index: failure if index in written else outcome for index, outcome in outcomes.items()}

    def _silent(self, error: DBAPIError) -> ConnectionError:
        return ConnectionError(f"target '{self._name}': the database does not answer: {reason(error)}")

    def _config_error(self, error: DBAPIError) -> ConfigError:
        return ConfigError(
            f"target '{self._name}': the database refuses the connection ({reason(error)}); mend user, password, "
            "database or file in `url`"
        )


def _by_table(changes: Mapping[int, _Due]) -> list[tuple[TableWriter, dict[int, RowChange]]]:
    """Return the changes of each table, the tables in the order in which they are locked."""
    found: dict[int, tuple[TableWriter, dict[int, RowChange]]] = {}
    for index, (writer, change) in changes.items():
        found.setdefault(id(writer), (writer, {}))[1][index] = change
    # One order for all, or two relays could wait for each other.
    return sorted(found.values(), key=lambda one: one[0].tables.location)


def _in_order(writers: Sequence[TableWriter]) -> list[TableWriter]:
    return sorted(writers, key=lambda one: one.tables.location)


def _blamed(outcome: Outcome) -> Outcome:
    return replace(outcome, counted=True) if isinstance(outcome, Unavailable) else outcome
