"""Writes one table and proves it, in the target's transaction; a row that fails is isolated, and takes no other with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from goldwire.targets.base import Item, Outcome, Rejected, TakenEvent, Unavailable
from goldwire.targets.sql.change import EdgeColumns, RowChange, read_change
from goldwire.targets.sql.dialects import Dialect
from goldwire.targets.sql.edge_tables import EdgeTables
from goldwire.targets.sql.faults import Blame, blame, reason
from goldwire.targets.sql.plan import Found, Steps, held_event, merged, plan, waves
from goldwire.targets.sql.statements import Doubt, Statements
from goldwire.targets.sql.table import Tables
from goldwire.targets.sql.table_settings import RowTable


class TableWriter:
    """One table of rows with the tables of edges that lead from them.

    Args:
        dialect: of the database.
        tables: as they are in it.
        settings: what holds for the table.
        edges: the tables of edges.
        edge_columns: by relation, the columns of its table.
    """

    def __init__(
        self, dialect: Dialect, tables: Tables, settings: RowTable, edges: EdgeTables, edge_columns: EdgeColumns
    ) -> None:
        self.tables = tables
        self.settings = settings
        self.statements = Statements(dialect, tables, settings)
        self._dialect = dialect
        self._edges = edges
        self._edge_columns = edge_columns

    def read(self, item: Item) -> RowChange:
        """Return what an item asks for.

        Raises:
            UnfitValueError: a value does not fit its column.
            msgspec.DecodeError: the body is not of the wire's form.
        """
        return read_change(item, self.settings, self.tables.columns, self._edge_columns)

    def lock(self, connection: Connection) -> None:
        """Keep every other Goldwire from writing the table until the transaction ends.

        Raises:
            sqlalchemy.exc.DBAPIError: it took too long.
        """
        tables = self.tables
        self._dialect.lock(connection, tables.location, self.settings.lock_timeout_seconds, tables.tombstones)

    def find(self, connection: Connection, changes: Iterable[RowChange]) -> Found:
        """Look up what is held of the changes' keys and entities."""
        return self.statements.find(connection, changes, to_write=False)

    def newest(self, connection: Connection, limit: int) -> list[tuple[str, TakenEvent]]:
        """Return the events that were written last with their times, as far as the table tells their hash."""
        rows = self.statements.newest(connection, limit)
        return [(row.timestamp, event) for row in rows if (event := held_event(row))]

    def write(self, connection: Connection, changes: Mapping[int, RowChange]) -> dict[int, Outcome]:
        """Carry changes out, in a transaction that holds the lock, and answer for each.

        Raises:
            sqlalchemy.exc.DBAPIError: no change is at fault; nothing may be committed.
        """
        outcomes: dict[int, Outcome] = {}
        for wave in waves(changes):
            outcomes.update(self._wave(connection, wave))
        return outcomes

    def _wave(self, connection: Connection, wave: dict[int, RowChange]) -> dict[int, Outcome]:
        found = self.statements.find(connection, wave.values(), to_write=True)
        outcomes: dict[int, Outcome] = {}
        steps: dict[int, Steps] = {}
        for index, change in wave.items():
            steps[index], outcomes[index] = plan(change, found, self.settings)
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
        failure: Outcome | None = None
        doubts: dict[str, Doubt] = {}
        try:
            doubts = self._run(connection, merged(list(steps.values())))
        except DBAPIError as error:
            if connection.invalidated or (failure := refusal(error)) is None:
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
            rest = {index: steps[index] for index in steps if index not in known}
            return {**known, **(self._carry_out(connection, rest, indexes) if rest else {})}
        # Halves, and halves of those, until the culprit is alone.
        order = list(steps)
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        found: dict[int, Outcome] = {}
        for half in halves:
            found.update(self._carry_out(connection, {index: steps[index] for index in half}, indexes))
        return found

    def _run(self, connection: Connection, steps: Steps) -> dict[str, Doubt]:
        """Carry steps out, and return the entities of which the tables do not hold what was sent."""
        # An edge may refer to its row: it goes before that, and comes after it.
        due = self._edges.remove(connection, steps)
        self.statements.run(connection, steps)
        self._edges.add(connection, due)
        doubts = {entity: Doubt("other edges") for entity in self._edges.unproved(connection, due)}
        return {**doubts, **self.statements.prove(connection, steps)}

    def _doubted(self, doubt: Doubt) -> Outcome:
        key = self.settings.key_column
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
        if doubt.kind == "other edges":
            return Rejected(
                "a table of edges does not hold the edges that were sent: a collation or a type of its columns takes two for "
                "the same, or a rule of the table changes them; give its columns types that compare byte by byte"
            )
        if doubt.kind == "no row" and self._dialect.any_unique_index_conflicts and self.tables.has_other_unique_index:
            return Rejected("the row has a value that a unique index allows once, and another row has it")
        return Unavailable(f"after the write the table does not hold the row as it was sent ({doubt.kind})")


def refusal(error: DBAPIError) -> Outcome | None:
    """Return what becomes of a row of which this is the error; None where no row is at fault."""
    text = f"the database refuses the row: {reason(error)}"
    outcomes: dict[Blame, Any] = {
        Blame.ITEM: Rejected(text),
        Blame.RULE: Unavailable(text, counted=True),
        Blame.UNKNOWN: Unavailable(text),
    }
    found: Outcome | None = outcomes.get(blame(error))
    return found
