"""One send is one transaction; a row that the database refuses is isolated, so that it takes no other with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, TakenEvent, Unavailable, Unknown
from goldwire.targets.sql.change import RowChange, read_change
from goldwire.targets.sql.dialects import Dialect, LockTimeoutError, dialect_of
from goldwire.targets.sql.faults import Blame, answered, blame, reason
from goldwire.targets.sql.plan import Steps, held_event, merged, plan, waves
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.statements import CollisionError, Statements
from goldwire.targets.sql.table import Tables, prepare
from goldwire.targets.sql.values import UnfitValueError, convert

_COLLIDES = Rejected("the row has a value that a unique index allows once, and another row has it")


class Writer:
    """A connected table. Blocking; one caller at a time."""

    def __init__(self, settings: SqlSettings, name: str) -> None:
        """Connect, and check the table.

        Raises:
            ConfigError: the URL, the credentials or the table are wrong.
            OSError: the database cannot be reached now.
        """
        self._settings = settings
        self._name = name
        try:
            url = sa.make_url(settings.url)
        except (ArgumentError, ValueError):
            raise ConfigError(f"target '{name}': url is no database URL such as sqlite:///FILE") from None
        self._dialect: Dialect = dialect_of(url, name)
        self._engine: Engine = self._dialect.engine(url, settings)
        self._lock = f"goldwire:{settings.qualified_table}"
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
        query = self._statements.live_rows.order_by(key)
        if keys is not None:
            column = self._tables.columns[self._settings.key_column]
            query = query.where(key.in_([convert(column, text) for text in keys]))
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _prepared(self) -> Tables:
        try:
            with self._engine.begin() as connection:
                return prepare(connection, self._dialect, self._settings, self._name)
        except DBAPIError as error:
            if blame(error) is Blame.CONFIG:
                raise self._config_error(error) from None
            raise ConnectionError(f"target '{self._name}': the database is not available: {reason(error)}") from None

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
                self._unlock(connection)
        except DBAPIError as error:
            if failed is None:
                if blame(error) is Blame.CONFIG:
                    raise self._config_error(error) from None
                # Nothing was committed, whatever broke.
                return dict.fromkeys(changes, Unavailable(f"the database did not take it: {reason(error)}"))
        except LockTimeoutError:
            return dict.fromkeys(changes, Unavailable("another writer holds the table"))
        return outcomes if failed is None else self._after_failed_commit(failed, changes, outcomes)

    def _locked(self, connection: Connection, changes: dict[int, RowChange]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        try:
            self._dialect.lock(connection, self._lock, self._settings.lock_timeout_seconds)
            for wave in waves(changes):
                outcomes.update(self._wave(connection, wave))
        except BaseException:
            connection.rollback()
            self._unlock(connection)
            raise
        return outcomes

    def _unlock(self, connection: Connection) -> None:
        if connection.invalidated:
            return
        try:
            self._dialect.unlock(connection, self._lock)
        except DBAPIError:
            # The lock ends with its session.
            connection.invalidate()

    def _wave(self, connection: Connection, wave: dict[int, RowChange]) -> dict[int, Outcome]:
        found = self._statements.find(connection, wave.values())
        outcomes: dict[int, Outcome] = {}
        steps: dict[int, Steps] = {}
        for index, change in wave.items():
            steps[index], outcomes[index] = plan(change, found, self._settings)
        refused = self._try(connection, merged(list(steps.values())))
        if refused is not None:
            for index, alone in steps.items():
                outcomes[index] = self._try(connection, alone) or outcomes[index]
        return outcomes

    def _try(self, connection: Connection, steps: Steps) -> Rejected | None:
        """Carry steps out behind a savepoint; return why they are refused, if they are."""
        savepoint = connection.begin_nested()
        try:
            self._statements.run(connection, steps)
        except CollisionError:
            savepoint.rollback()
            return _COLLIDES
        except DBAPIError as error:
            # What is no item's fault ends the transaction, which some databases have rolled back by then.
            if connection.invalidated or blame(error) is not Blame.ITEM:
                raise
            savepoint.rollback()
            return Rejected(f"the database refuses the row: {reason(error)}")
        savepoint.commit()
        return None

    def _after_failed_commit(
        self, error: DBAPIError, changes: dict[int, RowChange], outcomes: dict[int, Outcome]
    ) -> dict[int, Outcome]:
        written = {index for index, outcome in outcomes.items() if isinstance(outcome, Delivered)}
        if not answered(error):
            failure: Outcome = Unknown("the connection broke during the commit")
        elif blame(error) is not Blame.ITEM:
            failure = Unavailable(f"the database did not commit: {reason(error)}")
        elif len(changes) == 1:
            failure = Rejected(f"the database refuses the row: {reason(error)}")
        else:
            # A constraint that is checked at the commit does not say which row it is: each gets a transaction of its own.
            return {index: self._transact({index: change})[index] for index, change in changes.items()}
        return {index: failure if index in written else outcome for index, outcome in outcomes.items()}

    def _config_error(self, error: DBAPIError) -> ConfigError:
        return ConfigError(
            f"target '{self._name}': the database refuses the connection ({reason(error)}); mend user, password, "
            "database or file in `url`"
        )
