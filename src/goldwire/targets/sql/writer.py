"""One send is one transaction, proved before it commits; a row that fails is isolated, so that it takes no other with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError

from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, TakenEvent, Unavailable, Unknown
from goldwire.targets.sql.change import RowChange, read_change
from goldwire.targets.sql.dialects import Dialect, dialect_of
from goldwire.targets.sql.faults import Blame, answered, blame, reason
from goldwire.targets.sql.ownership import Owner, claim
from goldwire.targets.sql.plan import Steps, held_event, merged, plan, waves
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.statements import Doubt, Statements
from goldwire.targets.sql.table import Tables, prepare
from goldwire.targets.sql.values import UnfitValueError, convert, plain_key


class Writer:
    """A connected table. Blocking; one caller at a time."""

    def __init__(self, settings: SqlSettings, name: str, store_id: str | None = None) -> None:
        """Connect, check the table, and claim it.

        Args:
            settings: which table, and how.
            name: the target's.
            store_id: the store for which it writes; None: the table is not claimed.

        Raises:
            ConfigError: the URL, the credentials or the table are wrong.
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
        try:
            self._tables: Tables = self._prepared()
        except BaseException:
            self._engine.dispose()
            raise
        self._statements = Statements(self._dialect, self._tables, settings)

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        """Write all items in one transaction, and answer for each.

        Raises:
            ConfigError: the credentials are no longer accepted.
        """
        outcomes: dict[int, Outcome] = {}
        changes: dict[int, RowChange] = {}
        for index, item in enumerate(items):
            try:
                changes[index] = read_change(item, self._settings, self._tables.columns)
            except UnfitValueError as error:
                outcomes[index] = Rejected(str(error))
            except msgspec.DecodeError:
                outcomes[index] = Rejected("the event's body is not of the wire's form")
        if changes:
            outcomes.update(self._transact(changes))
        return [outcomes[index] for index in range(len(items))]

    def held_versions(self, items: Sequence[Item]) -> list[int | None]:
        """Return the version held of each item's entity, deletions too."""
        changes: dict[int, RowChange] = {}
        for index, item in enumerate(items):
            try:
                changes[index] = read_change(item, self._settings, self._tables.columns)
            except (UnfitValueError, msgspec.DecodeError):
                continue
        try:
            with self._engine.begin() as connection:
                found = self._statements.find(connection, changes.values())
        except DBAPIError as error:
            raise ConnectionError(f"target '{self._name}': the database does not answer: {reason(error)}") from None
        return [(found.fence(changes[index]) or None) if index in changes else None for index in range(len(items))]

    def newest(self, limit: int) -> list[TakenEvent]:
        """Return the events that were written last, as far as the table tells their hash."""
        try:
            with self._engine.begin() as connection:
                rows = self._statements.newest(connection, limit)
        except DBAPIError as error:
            raise ConnectionError(f"target '{self._name}': the database does not answer: {reason(error)}") from None
        return [event for row in rows if (event := held_event(row))]

    def rows(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the rows of records that are not deleted, all or those of some keys, ordered by key."""
        key = self._tables.rows.c[self._settings.key_column]
        column = self._tables.columns[self._settings.key_column]
        query = self._statements.live_rows.order_by(key)
        if keys is not None:
            query = query.where(key.in_([convert(column, text) for text in keys]))
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        if keys is None:
            return rows
        # The column may take another row's key for the same.
        return [row for row in rows if str(plain_key(column, row[column.name])) in set(keys)]

    def _prepared(self) -> Tables:
        try:
            with self._engine.begin() as connection:
                tables = prepare(connection, self._dialect, self._settings, self._name)
                if self._store_id is not None:
                    settings = self._settings
                    self._dialect.lock(connection, settings.qualified_table, settings.lock_timeout_seconds, tables.tombstones)
                    claim(connection, tables, Owner(self._store_id, self._name))
                return tables
        except DBAPIError as error:
            if blame(error) is Blame.CONFIG:
                raise self._config_error(error) from None
            raise ConnectionError(f"target '{self._name}': the database is not available: {reason(error)}") from None
        except NoSuchTableError as error:
            raise ConfigError(
                f"target '{self._name}': the database has the table {error} under another spelling; write it as it is there"
            ) from None

    def _transact(self, changes: dict[int, RowChange]) -> dict[int, Outcome]:
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

    def _locked(self, connection: Connection, changes: dict[int, RowChange]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        settings = self._settings
        self._dialect.lock(connection, settings.qualified_table, settings.lock_timeout_seconds, self._tables.tombstones)
        for wave in waves(changes):
            outcomes.update(self._wave(connection, wave))
        if len(changes) == 1 or any(isinstance(outcome, Delivered) for outcome in outcomes.values()):
            # Where others pass, or the database has answered all but the write, it is the row that fails.
            outcomes = {index: _blamed(outcome) for index, outcome in outcomes.items()}
        return outcomes

    def _wave(self, connection: Connection, wave: dict[int, RowChange]) -> dict[int, Outcome]:
        found = self._statements.find(connection, wave.values())
        outcomes: dict[int, Outcome] = {}
        steps: dict[int, Steps] = {}
        for index, change in wave.items():
            steps[index], outcomes[index] = plan(change, found, self._settings)
        indexes = {change.entity_id: index for index, change in wave.items()}
        return {**outcomes, **self._carry_out(connection, steps, indexes)}

    def _carry_out(self, connection: Connection, steps: dict[int, Steps], indexes: dict[str, int]) -> dict[int, Outcome]:
        """Carry steps out and prove them behind a savepoint; return what becomes of those that fail.

        Args:
            connection: in a transaction.
            steps: those of each change of a wave.
            indexes: entity and change.

        Raises:
            sqlalchemy.exc.DBAPIError: no change is at fault; some databases have rolled the transaction back by then.
        """
        savepoint = connection.begin_nested()
        together = merged(list(steps.values()))
        failure: Outcome | None = None
        doubts: dict[str, Doubt] = {}
        try:
            self._statements.run(connection, together)
            doubts = self._statements.prove(connection, together)
        except DBAPIError as error:
            if connection.invalidated or (failure := _refusal(error)) is None:
                raise
        except (OverflowError, ValueError) as error:
            failure = Rejected(f"the database's driver cannot pass a value of the row on ({type(error).__name__})")
        if failure is None and not doubts:
            savepoint.commit()
            return {}
        savepoint.rollback()
        if len(steps) == 1:
            (index,) = steps
            return {index: failure or self._doubted(next(iter(doubts.values())))}
        known = {indexes[entity]: self._doubted(doubt) for entity, doubt in doubts.items() if doubt.kind == "other value"}
        if known:
            rest = {index: alone for index, alone in steps.items() if index not in known}
            return {**known, **(self._carry_out(connection, rest, indexes) if rest else {})}
        # Halves, and halves of those, until the culprit is alone.
        order = list(steps)
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        found: dict[int, Outcome] = {}
        for half in halves:
            found.update(self._carry_out(connection, {index: steps[index] for index in half}, indexes))
        return found

    def _doubted(self, doubt: Doubt) -> Outcome:
        key = self._settings.key_column
        if doubt.kind == "other value":
            return Rejected(
                f"column {doubt.column} does not hold what was sent: its type, or a rule of the table, changes the value; mend "
                "the column, or name it in `may_differ`"
            )
        if doubt.kind == "equal key":
            return Rejected(
                f"column {key} takes this key for the same as that of another row (its collation or type compares them equal); "
                "give it one that compares byte by byte"
            )
        if doubt.kind == "no row" and self._dialect.any_unique_index_conflicts and self._tables.has_other_unique_index:
            return Rejected("the row has a value that a unique index allows once, and another row has it")
        return Unavailable(f"after the write the table does not hold the row as it was sent ({doubt.kind})")

    def _after_failed_commit(
        self, error: DBAPIError, changes: dict[int, RowChange], outcomes: dict[int, Outcome]
    ) -> dict[int, Outcome]:
        written = {index for index, outcome in outcomes.items() if isinstance(outcome, Delivered)}
        if not answered(error):
            failure: Outcome = Unknown("the connection broke during the commit")
        elif (refused := _refusal(error)) is None:
            failure = Unavailable(f"the database did not commit: {reason(error)}")
        elif len(changes) == 1:
            failure = _blamed(refused)
        else:
            # A constraint that is checked at the commit does not say which row it is: each gets a transaction of its own.
            return {index: self._transact({index: change})[index] for index, change in changes.items()}
        return {index: failure if index in written else outcome for index, outcome in outcomes.items()}

    def _config_error(self, error: DBAPIError) -> ConfigError:
        return ConfigError(
            f"target '{self._name}': the database refuses the connection ({reason(error)}); mend user, password, "
            "database or file in `url`"
        )


def _refusal(error: DBAPIError) -> Outcome | None:
    """Return what becomes of a row of which this is the error; None where no row is at fault."""
    text = f"the database refuses the row: {reason(error)}"
    outcomes: dict[Blame, Outcome] = {
        Blame.ITEM: Rejected(text),
        Blame.RULE: Unavailable(text, counted=True),
        Blame.UNKNOWN: Unavailable(text),
    }
    return outcomes.get(blame(error))


def _blamed(outcome: Outcome) -> Outcome:
    return replace(outcome, counted=True) if isinstance(outcome, Unavailable) else outcome
