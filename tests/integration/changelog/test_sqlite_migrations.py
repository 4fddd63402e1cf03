"""The schema is declared once: what a new store gets, what the revisions say, and what a statement uses agree."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from goldwire.changelog.migrations import NEWEST, REVISIONS
from goldwire.changelog.schema import metadata
from goldwire.changelog.sqlite import queries as sqlite_queries
from goldwire.changelog.sqlite.lock import TargetLocks
from goldwire.changelog.sqlite.migration import APPLICATION_ID, alembic_config, migrate
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import StoreBusyError
from goldwire.testing.store_setting import NOON, acquired, change, commit, control, settle

QUERIES = {
    name: value
    for name, value in vars(sqlite_queries).items()
    if name.isupper() and isinstance(value, str) and not name.endswith("_COLUMNS")
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SqliteStore(tmp_path / "goldwire.db").close()
    return tmp_path / "goldwire.db"


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_a_new_store_is_at_the_newest_revision_and_says_whose_it_is(raw: sqlite3.Connection) -> None:
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]
    assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_new_store_has_exactly_the_declared_tables(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(raw: sqlite3.Connection) -> None:
    before = raw.execute("SELECT * FROM sqlite_master").fetchall()
    migrate(raw)
    migrate(raw)
    assert raw.execute("SELECT * FROM sqlite_master").fetchall() == before


def test_a_store_of_the_first_revision_is_brought_to_the_newest(path: Path, raw: sqlite3.Connection) -> None:
    _before_checksums(raw)
    for column in ("unopened", "unopened_since"):
        raw.execute(f"ALTER TABLE target_cursor DROP COLUMN {column}")
    raw.execute("UPDATE alembic_version SET version_num = '0001'")
    with closing(SqliteStore(path)) as store:
        assert store.acquire("t", "now").unopened is None
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]
    test_a_new_store_has_exactly_the_declared_tables(path)


def test_a_store_is_not_upgraded_under_a_relay_that_works_in_it(path: Path, raw: sqlite3.Connection) -> None:
    with closing(SqliteStore(path)) as store:
        acquired(store)
        [cursor] = store.cursors()
    _before_checksums(raw)
    older = raw.execute("SELECT version_num FROM alembic_version").fetchall()
    with TargetLocks(str(path)).hold(cursor.target), pytest.raises(StoreBusyError, match=f"target {cursor.target}: another"):
        SqliteStore(path, busy_timeout_seconds=0.2)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == older
    SqliteStore(path).close()
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]


NEW_TABLES = ("target_settings", "placement", "mastering_rules", "configuration")
DOCUMENTS = """CREATE TABLE document (
  name TEXT NOT NULL, number INTEGER NOT NULL, saved_at TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (name, number))"""


def _before_own_tables(raw: sqlite3.Connection) -> None:
    for table in NEW_TABLES:
        raw.execute(f"DROP TABLE {table}")
    raw.execute(DOCUMENTS)
    raw.execute("UPDATE alembic_version SET version_num = '0003'")


def test_what_stood_as_documents_under_names_is_taken_over(path: Path, raw: sqlite3.Connection) -> None:
    _before_own_tables(raw)
    names = ("target crm", "place crm", "target target crm", "mastered under", "configuration")
    for number, name in enumerate(names):
        for repeat in (1, 2):
            row = (name, repeat, f"then {number}", b"%d of %d" % (repeat, number))
            raw.execute("INSERT INTO document VALUES (?, ?, ?, ?)", row)

    def both(number: int) -> list[tuple[int, str, bytes]]:
        return [(repeat, f"then {number}", b"%d of %d" % (repeat, number)) for repeat in (1, 2)]

    with closing(SqliteStore(path)) as store:
        assert store.kept_settings("crm") == both(0)
        assert store.placements("crm") == both(1)
        assert store.kept_settings("target crm") == both(2)
        assert store.mastering_rules() == both(3)
        assert store.configurations() == both(4)
        assert store.keep_configuration(b"new", NOON) == 3
    assert raw.execute("SELECT name FROM sqlite_master WHERE name = 'document'").fetchall() == []
    test_a_new_store_has_exactly_the_declared_tables(path)


def _before_checksums(raw: sqlite3.Connection) -> None:
    _before_own_tables(raw)
    for table in ("log", "control"):
        raw.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    raw.execute("UPDATE alembic_version SET version_num = '0002'")


def test_rows_of_a_store_from_before_checksums_get_the_ones_that_new_rows_have(path: Path, raw: sqlite3.Connection) -> None:
    names = [f"e{number}" for number in range(7)]
    with closing(SqliteStore(path)) as store:
        commit(store, *[(name, 1) for name in names], ("e3", 2))
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("e4", 2, kind="merged", merged_into="e5", state="{ä}".encode())])
        acquired(store)
        settle(store, 0, b"D" * 7, controls=[control(name, 1, seq) for seq, name in enumerate(names, 1)])
    sums = [raw.execute(f"SELECT checksum FROM {table} ORDER BY 1").fetchall() for table in ("log", "control")]
    _before_checksums(raw)
    with closing(SqliteStore(path)) as store:
        assert [row.seq for row in store.read(0, 9, 9)] == list(range(1, 10))
        assert len(store.controls("t", names)) == 7
        assert list(store.damages()) == []
    assert [raw.execute(f"SELECT checksum FROM {table} ORDER BY 1").fetchall() for table in ("log", "control")] == sums
    test_a_new_store_has_exactly_the_declared_tables(path)


def test_a_long_log_from_before_checksums_is_gone_through_page_by_page(path: Path, raw: sqlite3.Connection) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, *[(f"e{number}", 1) for number in range(4_100)])
    _before_checksums(raw)
    with closing(SqliteStore(path)) as store:
        assert len(store.read(0, 5_000, 5_000)) == 4_100


def test_the_listed_revisions_are_those_in_the_folder() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert [revision.revision for revision in script.walk_revisions()] == list(reversed(REVISIONS))
    assert script.get_heads() == [NEWEST]


def test_an_up_to_date_store_opens_without_the_slow_imports(path: Path) -> None:
    script = (
        "import sys; from goldwire.changelog.sqlite.store import SqliteStore; SqliteStore(sys.argv[1]).close();"
        "sys.exit(bool({'sqlalchemy', 'alembic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_no_statement_reads_a_whole_table_by_accident(raw: sqlite3.Connection, name: str) -> None:
    statement = sqlite_queries.many(QUERIES[name], 10)
    numbered = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    parameters = [None] * (max(numbered) if numbered else statement.count("?"))
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    allowed = {
        "LOG_SIZE": ["SCAN log USING COVERING INDEX log_version"],
        "CURSORS": ["SCAN target_cursor USING INDEX sqlite_autoindex_target_cursor_1"],
        # Backwards by the primary key, to the first row.
        "NEWEST_ROW": ["SCAN l"],
        # Each lists dead letters, by an index that holds nothing else.
        "DEAD_LETTERS": ["SCAN o USING INDEX open_delivery_dead"],
        "DEAD_LETTERS_OF": ["SCAN o USING INDEX open_delivery_dead"],
    }
    scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
    assert scans in ([], allowed.get(name, [])), plan
