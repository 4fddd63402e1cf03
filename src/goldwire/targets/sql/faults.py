"""What a database's error means: this item, this moment, or this configuration.

The error's own text is never passed on, because it quotes values.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

_MARIADB_ITEM = {1048, 1062, 1138, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 1557, 3819, 4025, 4078}
_MARIADB_CONFIG = {1044, 1045, 1049, 1698}
_MARIADB_CLIENT_ERRORS = (2000, 2999)
_MARIADB_RULE = {1216, 1217, 1451, 1452, 1644}
_MARIADB_MOMENT = {
    1015, 1020, 1021, 1030, 1034, 1037, 1038, 1040, 1041, 1053, 1054, 1077, 1078, 1079, 1080, 1114, 1129, 1135, 1142,
    1143, 1146, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1203, 1205, 1206, 1213, 1223, 1226, 1290, 1317, 1412, 1637,
    1792, 1836, 1844, 1927, 1969, 3024, 3572,
}  # fmt: skip
_POSTGRES_CONFIG = ("28", "3D")
_POSTGRES_ITEM = ("22", "23", "42804", "42846", "44")
_POSTGRES_RULE = ("P0001", "23503")
_POSTGRES_MOMENT = ("08", "25", "26", "34", "40", "42P01", "42703", "53", "55006", "55P03", "57", "58", "72", "F0", "HV", "XX")
_SQLITE_CONSTRAINT = re.compile(r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(?:: ([\w. ,]{1,200}))?")

_MARIADB_COLUMN = re.compile(
    r"^(?:Column|Data too long for column|Out of range value for column|Data truncated for column) '(\w{1,64})'"
    r"|for column (?:`[^`]+`\.)*[`'](\w{1,64})[`'] at row \d+$"
)
_CONFIG_TEXT = re.compile(
    r'password authentication failed|no password supplied|(database|role) "[^"]*" does not exist'
    r"|unable to open database file|file is not a database"
)


class Blame(enum.Enum):
    """What is at fault."""

    ITEM = "item"
    """This row is refused, others may pass."""
    RULE = "rule"
    """A trigger, a procedure or a foreign key refuses this row by itself, and may take it later."""
    UNKNOWN = "unknown"
    """The code says neither that the row is at fault nor that the moment is: what fails alone is the row's fault."""
    MOMENT = "moment"
    """Not now: a lock, a lost connection, a full disk, a table that is gone."""
    CONFIG = "config"
    """The credentials or the database's name are wrong."""


@contextmanager
def translated(connection: Connection, statement: str) -> Iterator[None]:
    """Raise what the driver itself raises as SQLAlchemy would, which does not see what goes past it; that is what is sorted."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        raise DBAPIError.instance(statement, None, error, driver.Error, hide_parameters=True) from None


def blame(error: DBAPIError) -> Blame:
    """Sort an error."""
    if error.connection_invalidated:
        return Blame.MOMENT
    state, code, text = _state(error), _code(error), str(error.orig)
    if state is not None:
        return _by_class(state)
    if code is not None:
        return _by_number(code)
    # A failed login at PostgreSQL has no code, and SQLite has few.
    if _CONFIG_TEXT.search(text) is not None:
        return Blame.CONFIG
    constraint = _SQLITE_CONSTRAINT.search(text)
    if constraint is not None and constraint[1] == "FOREIGN KEY":
        return Blame.RULE
    return Blame.ITEM if type(error).__name__ in ("IntegrityError", "DataError", "InterfaceError") else Blame.MOMENT


def _by_class(state: str) -> Blame:
    kinds = (
        (_POSTGRES_CONFIG, Blame.CONFIG),
        (_POSTGRES_RULE, Blame.RULE),
        (_POSTGRES_ITEM, Blame.ITEM),
        (_POSTGRES_MOMENT, Blame.MOMENT),
    )
    return next((kind for states, kind in kinds if state.startswith(states)), Blame.UNKNOWN)


def _by_number(code: int) -> Blame:
    if _MARIADB_CLIENT_ERRORS[0] <= code <= _MARIADB_CLIENT_ERRORS[1]:
        return Blame.MOMENT
    kinds = (
        (_MARIADB_CONFIG, Blame.CONFIG),
        (_MARIADB_ITEM, Blame.ITEM),
        (_MARIADB_RULE, Blame.RULE),
        (_MARIADB_MOMENT, Blame.MOMENT),
    )
    return next((kind for codes, kind in kinds if code in codes), Blame.UNKNOWN)


def reason(error: DBAPIError) -> str:
    """Describe an error without what it quotes: code, column and constraint at most."""
    diagnosis = getattr(error.orig, "diag", None)
    state, code = _state(error), _code(error)
    parts = []
    column = getattr(diagnosis, "column_name", None) or _mariadb_column(error)
    constraint = getattr(diagnosis, "constraint_name", None)
    if column:
        parts.append(f"column {column}")
    if constraint:
        parts.append(f"constraint {constraint}")
    if state is not None:
        parts.append(f"SQLSTATE {state} ({_WORDS.get(state, type(error.orig).__name__)})")
    elif code is not None:
        parts.append(f"error {code} ({_WORDS.get(code, type(error.orig).__name__)})")
    else:
        found = _SQLITE_CONSTRAINT.search(str(error.orig))
        if found:
            parts.append(f"{found[1]} constraint" + (f" on {found[2]}" if found[2] else ""))
        else:
            parts.append(_sqlite_words(str(error.orig)) or type(error.orig).__name__)
    return ", ".join(parts)


def answered(error: DBAPIError) -> bool:
    """Return whether the database itself refused; else the connection broke, and the statement may have had its effect."""
    if error.connection_invalidated:
        return False
    state, code = _state(error), _code(error)
    if state is not None:
        return not state.startswith(("08", "57P"))
    if code is not None:
        return not _MARIADB_CLIENT_ERRORS[0] <= code <= _MARIADB_CLIENT_ERRORS[1]
    return type(error.orig).__module__.startswith("sqlite3")


def _state(error: DBAPIError) -> str | None:
    if _code(error) is not None:
        return None  # MariaDB's own numbers say more than its states
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


def _code(error: DBAPIError) -> int | None:
    if type(error.orig).__module__.startswith("pymysql"):
        arguments = getattr(error.orig, "args", ())
        if arguments and isinstance(arguments[0], int):
            return arguments[0]
    return None


def _mariadb_column(error: DBAPIError) -> str | None:
    """Return the column that MariaDB names in front of or behind the value that it quotes."""
    if _code(error) is None:
        return None
    _, *texts = getattr(error.orig, "args", ()) or (None,)
    found = _MARIADB_COLUMN.search(str(texts[0])) if texts else None
    return (found[1] or found[2]) if found else None


def _sqlite_words(text: str) -> str | None:
    for words in (
        "database is locked",
        "database or disk is full",
        "attempt to write a readonly database",
        "disk I/O error",
        "unable to open database file",
        "file is not a database",
        "no such table",
        "no such column",
        "string or blob too big",
        "cannot store",
    ):
        if words in text:
            return words
    return None


_WORDS: dict[str | int, str] = {
    "22001": "too long",
    "22003": "out of range",
    "22007": "no valid date or time",
    "22008": "date or time out of range",
    "22P02": "no valid form for the column's type",
    "22021": "a character that the database's encoding lacks",
    "23502": "may not be empty",
    "23503": "a row that it refers to is missing",
    "23505": "another row has this value",
    "23514": "a check fails",
    "40001": "serialisation failure",
    "40P01": "deadlock",
    "42501": "permission denied",
    "42P01": "the table is gone",
    "42703": "a column is gone",
    "42804": "wrong type for the column",
    "53100": "disk full",
    "55P03": "lock not available",
    "P0001": "a rule of the table raised an error",
    "57P01": "the server shuts down",
    "57P03": "the server starts up",
    1021: "disk full",
    1048: "may not be empty",
    1062: "another row has this value",
    1142: "permission denied",
    1146: "the table is gone",
    1205: "lock not available",
    1213: "deadlock",
    1264: "out of range",
    1292: "no valid date or time",
    1364: "a column without default needs a value",
    1366: "no valid form for the column's type",
    1406: "too long",
    1452: "a row that it refers to is missing",
    1644: "a rule of the table raised an error",
    2003: "cannot connect",
    2006: "connection lost",
    2013: "connection lost",
    4025: "a check fails",
}
