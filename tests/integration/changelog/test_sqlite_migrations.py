"""The schema is declared once: what a new store gets, what the revisions say, and what a statement uses agree."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from goldwire.capture.fact import ExternalId
from goldwire.changelog.migrations import BREAKS, EXPANDS, NEWEST, REVISIONS
from goldwire.changelog.schema import metadata
from goldwire.changelog.sqlite import queries as sqlite_queries
from goldwire.changelog.sqlite.lock import TargetLocks
from goldwire.changelog.sqlite.migration import APPLICATION_ID, alembic_config, breaks, migrate, oldest_code
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.changelog.sqlite.upgrade import alone, upgrade
from goldwire.errors import InputError, StoreBusyError, StoreCorruptError
from goldwire.mastering.workspace import StoredRecord
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


class Raw(NamedTuple):
    """The store's file for plain statements. No connection stays open: it would keep an upgrade from beginning."""

    path: Path

    def execute(self, statement: str, parameters: Any = ()) -> list[Any]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, parameters).fetchall()


@pytest.fixture
def raw(path: Path) -> Raw:
    return Raw(path)


def test_a_new_store_is_at_the_newest_revision_and_says_whose_it_is(raw: Raw) -> None:
    assert raw.execute("SELECT version_num FROM alembic_version") == [(NEWEST,)]
    assert raw.execute("PRAGMA application_id") == [(APPLICATION_ID,)]


def test_a_new_store_has_exactly_the_declared_tables(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(raw: Raw) -> None:
    before = raw.execute("SELECT * FROM sqlite_master")
    with closing(sqlite3.connect(raw.path, isolation_level=None)) as connection:
        migrate(connection)
        migrate(connection)
    assert raw.execute("SELECT * FROM sqlite_master") == before


def test_a_store_of_the_first_revision_is_brought_to_the_newest(path: Path, raw: Raw) -> None:
    _before_checksums(raw)
    for column in ("unopened", "unopened_since"):
        raw.execute(f"ALTER TABLE target_cursor DROP COLUMN {column}")
    raw.execute("UPDATE alembic_version SET version_num = '0001'")
    upgrade(path)
    with closing(SqliteStore(path)) as store:
        assert store.acquire("t", "now").unopened is None
    assert raw.execute("SELECT version_num FROM alembic_version") == [(NEWEST,)]
    test_a_new_store_has_exactly_the_declared_tables(path)


def test_a_store_is_not_upgraded_under_a_relay_that_works_in_it(path: Path, raw: Raw) -> None:
    with closing(SqliteStore(path)) as store:
        acquired(store)
        [cursor] = store.cursors()
    _before_checksums(raw)
    older = raw.execute("SELECT version_num FROM alembic_version")
    with TargetLocks(str(path)).hold(cursor.target), pytest.raises(StoreBusyError, match=f"target {cursor.target}: another"):
        upgrade(path, busy_timeout_seconds=0.2)
    assert raw.execute("SELECT version_num FROM alembic_version") == older
    upgrade(path)
    assert raw.execute("SELECT version_num FROM alembic_version") == [(NEWEST,)]


OPEN_AND_IDLE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM log").fetchall()
print("open", flush=True)
sys.stdin.readline()
"""


def test_a_store_is_not_upgraded_under_an_older_ingest_that_has_it_open(path: Path, raw: Raw) -> None:
    _before_checksums(raw)
    command = [sys.executable, "-c", OPEN_AND_IDLE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as older:
        assert older.stdout is not None
        assert older.stdout.readline() == "open\n"
        with pytest.raises(StoreBusyError, match=r"goldwire\.db: another process has the store open.*end it"):
            upgrade(path, busy_timeout_seconds=0.2)
        assert raw.execute("SELECT version_num FROM alembic_version") == [("0002",)]
        older.communicate("end\n")
    assert upgrade(path) == ("0002", NEWEST, oldest_code())
    assert raw.execute("PRAGMA journal_mode") == [("wal",)]


def test_a_store_cannot_be_opened_while_a_migration_that_breaks_runs(path: Path, raw: Raw) -> None:
    _before_own_tables(raw)
    seen: list[str] = []

    def look() -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"), closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("SELECT count(*) FROM log")
        seen.append("locked")

    with closing(sqlite3.connect(path, isolation_level=None)) as connection, alone(connection, str(path), 0.2):
        look()
        migrate(connection)
        look()
    assert seen == ["locked", "locked"]
    SqliteStore(path).close()


def test_an_older_store_is_refused_with_the_command_that_mends_it(path: Path, raw: Raw) -> None:
    _before_own_tables(raw)
    with pytest.raises(InputError, match=rf"schema 0003, this one has {NEWEST}.*copy the store.*goldwire store upgrade"):
        SqliteStore(path)
    assert raw.execute("SELECT version_num FROM alembic_version") == [("0003",)]
    upgrade(path)
    assert not path.with_name("goldwire.db-journal").exists()  # it would hold pages of the store, unmasked
    SqliteStore(path).close()


def test_a_new_store_says_the_same_of_the_code_that_may_use_it_as_an_upgraded_one(path: Path, raw: Raw) -> None:
    said = raw.execute("SELECT oldest_code FROM schema_compatibility")
    assert said == [(oldest_code(),)]
    _before_own_tables(raw)
    upgrade(path)
    assert raw.execute("SELECT oldest_code FROM schema_compatibility") == said


def test_every_migration_declares_whether_older_code_may_still_use_the_store() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    declared = {each.revision: each.module.effect for each in script.walk_revisions()}
    assert {revision for revision, effect in declared.items() if effect not in {EXPANDS, BREAKS}} == set()
    assert oldest_code() == max(revision for revision, effect in declared.items() if effect == BREAKS)
    assert not breaks(NEWEST)
    assert breaks("0002")


@pytest.mark.parametrize("name", ["nothing.db", "notes.db", "notes.txt"])
def test_what_is_no_store_is_not_upgraded(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name == "notes.db":
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE notes (text TEXT)")
    if name == "notes.txt":
        file.write_text("no database at all " * 100)
    with pytest.raises(StoreCorruptError if name == "notes.txt" else InputError, match=re.escape(name)):
        upgrade(file)
    assert file.exists() == (name != "nothing.db")


NEW_TABLES = ("target_settings", "placement", "mastering_rules", "configuration", "schema_compatibility")
DOCUMENTS = """CREATE TABLE document (
  name TEXT NOT NULL, number INTEGER NOT NULL, saved_at TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (name, number))"""


def _before_consents(raw: Raw) -> None:
    _before_intake(raw)
    raw.execute("DROP TABLE consent")
    raw.execute("UPDATE alembic_version SET version_num = '0007'")


def _before_intake(raw: Raw) -> None:
    raw.execute("DROP TABLE intake")
    raw.execute("ALTER TABLE target_cursor DROP COLUMN loss")
    raw.execute("ALTER TABLE target_cursor DROP COLUMN loss_since")
    raw.execute("UPDATE alembic_version SET version_num = '0008'")


def _before_resyncs(raw: Raw) -> None:
    _before_consents(raw)
    raw.execute("DROP TABLE resync")
    raw.execute("DROP INDEX log_addressed")
    raw.execute("ALTER TABLE log DROP COLUMN addressed_to")
    raw.execute("UPDATE alembic_version SET version_num = '0006'")


def _before_record_checksums(raw: Raw) -> None:
    _before_resyncs(raw)
    raw.execute("DROP TRIGGER record_unchecked")
    raw.execute("ALTER TABLE record DROP COLUMN checksum")
    raw.execute("UPDATE alembic_version SET version_num = '0005'")


def _before_own_tables(raw: Raw) -> None:
    _before_record_checksums(raw)
    for table in NEW_TABLES:
        raw.execute(f"DROP TABLE {table}")
    raw.execute(DOCUMENTS)
    raw.execute("UPDATE alembic_version SET version_num = '0003'")


def _records(raw: Raw) -> list[Any]:
    return raw.execute("SELECT id, checksum FROM record ORDER BY no")


def test_records_from_before_checksums_get_them_with_their_next_change(path: Path, raw: Raw) -> None:
    with closing(SqliteStore(path)) as store, store.ingest(NOON) as workspace:
        workspace.commit_changes([change("e", 1)])
        workspace.save_records([StoredRecord(ExternalId("crm", str(one)), "Customer", "e", b"{}") for one in range(3)])
    trigger = raw.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
    _before_record_checksums(raw)
    assert upgrade(path) == ("0005", NEWEST, oldest_code())
    assert _records(raw) == [("0", None), ("1", None), ("2", None)]
    assert raw.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'") == trigger
    with closing(SqliteStore(path)) as store:
        assert (list(store.damages()), store.records_without_checksum()) == ([], 3)
        with store.ingest(NOON) as workspace:
            workspace.save_records([StoredRecord(ExternalId("crm", "1"), "Customer", "e", b"[]")])
        assert (list(store.damages()), store.records_without_checksum()) == ([], 2)
    raw.execute("UPDATE record SET body = ?, checksum = checksum + 1 WHERE id = '1'", (b"()",))
    with closing(SqliteStore(path)) as store:
        assert [each.where for each in store.damages()] == ["record crm/1"]


def test_an_upgrade_that_expands_writes_no_row_of_a_table_that_grows(path: Path, raw: Raw) -> None:
    with closing(SqliteStore(path)) as store, store.ingest(NOON) as workspace:
        workspace.commit_changes([change("e", 1)])
        workspace.save_records([StoredRecord(ExternalId("crm", str(one)), "Customer", "e", b"{}") for one in range(50)])
    _before_record_checksums(raw)
    tables = ("record", "log", "entity", "control", "match_key", "match_link", "settlement")
    for table in tables:  # so that a write of any row ends the upgrade, as the time for many would end a relay
        refusal = f"CREATE TRIGGER refuse_{table} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'a row was written'); END"
        raw.execute(refusal)
    assert upgrade(path).after == NEWEST


def test_a_record_that_older_code_wrote_has_no_checksum_until_it_is_written_anew(path: Path, raw: Raw) -> None:
    ref = ExternalId("crm", "0")
    with closing(SqliteStore(path)) as store:
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("e", 1)])
            workspace.save_records([StoredRecord(ref, "Customer", "e", b"{}")])
        raw.execute("UPDATE record SET body = ?", (b"[]",))  # as code of schema 0005 does it
        assert _records(raw) == [("0", None)]
        assert list(store.damages()) == []
        with store.ingest(NOON) as workspace:
            assert workspace.records([ref])[ref].body == b"[]"
            workspace.save_records([StoredRecord(ref, "Customer", "e", b"()")])
        assert _records(raw)[0][1] is not None
        assert list(store.damages()) == []


@contextmanager
def once_called(function: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something at the moment at which a function is called, as another process may."""

    def look(frame: FrameType, what: str, _: object) -> None:
        if what == "call" and frame.f_code.co_name == function:
            sys.setprofile(None)
            act()

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("oldest", ["0005", "9999"])
def test_an_upgrade_that_a_newer_one_overtakes_leaves_the_store_to_it(path: Path, raw: Raw, oldest: str) -> None:
    _before_record_checksums(raw)

    def overtake() -> None:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.execute("UPDATE schema_compatibility SET oldest_code = ?", (oldest,))

    with once_called("alone", overtake):  # the newest migration breaks, so nothing overtakes it later
        if oldest == "9999":
            with pytest.raises(InputError, match=rf"schema 9999, for code of schema 9999.*has {NEWEST}.*upgrade Goldwire"):
                upgrade(path)
        else:
            assert upgrade(path) == ("0005", "9999", "0005")
    assert raw.execute("SELECT version_num, oldest_code FROM alembic_version, schema_compatibility") == [("9999", oldest)]
    assert raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'") == []


def test_what_stood_as_documents_under_names_is_taken_over(path: Path, raw: Raw) -> None:
    _before_own_tables(raw)
    names = ("target crm", "place crm", "target target crm", "mastered under", "configuration")
    for number, name in enumerate(names):
        for repeat in (1, 2):
            row = (name, repeat, f"then {number}", b"%d of %d" % (repeat, number))
            raw.execute("INSERT INTO document VALUES (?, ?, ?, ?)", row)

    def both(number: int) -> list[tuple[int, str, bytes]]:
        return [(repeat, f"then {number}", b"%d of %d" % (repeat, number)) for repeat in (1, 2)]

    upgrade(path)
    with closing(SqliteStore(path)) as store:
        assert store.kept_settings("crm") == both(0)
        assert store.placements("crm") == both(1)
        assert store.kept_settings("target crm") == both(2)
        assert store.mastering_rules() == both(3)
        assert store.configurations() == both(4)
        assert store.keep_configuration(b"new", NOON) == 3
    assert raw.execute("SELECT name FROM sqlite_master WHERE name = 'document'") == []
    test_a_new_store_has_exactly_the_declared_tables(path)


def _before_checksums(raw: Raw) -> None:
    _before_own_tables(raw)
    for table in ("log", "control"):
        raw.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    raw.execute("UPDATE alembic_version SET version_num = '0002'")


def test_rows_of_a_store_from_before_checksums_get_the_ones_that_new_rows_have(path: Path, raw: Raw) -> None:
    names = [f"e{number}" for number in range(7)]
    with closing(SqliteStore(path)) as store:
        commit(store, *[(name, 1) for name in names], ("e3", 2))
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("e4", 2, kind="merged", merged_into="e5", state="{ä}".encode())])
        acquired(store)
        settle(store, 0, b"D" * 7, controls=[control(name, 1, seq) for seq, name in enumerate(names, 1)])
    sums = [raw.execute(f"SELECT checksum FROM {table} ORDER BY 1") for table in ("log", "control")]
    _before_checksums(raw)
    upgrade(path)
    with closing(SqliteStore(path)) as store:
        assert [row.seq for row in store.read(0, 9, 9)] == list(range(1, 10))
        assert len(store.controls("t", names)) == 7
        assert list(store.damages()) == []
    assert [raw.execute(f"SELECT checksum FROM {table} ORDER BY 1") for table in ("log", "control")] == sums
    test_a_new_store_has_exactly_the_declared_tables(path)


def test_a_long_log_from_before_checksums_is_gone_through_page_by_page(path: Path, raw: Raw) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, *[(f"e{number}", 1) for number in range(4_100)])
    _before_checksums(raw)
    upgrade(path)
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
def test_no_statement_reads_a_whole_table_by_accident(raw: Raw, name: str) -> None:
    statement = sqlite_queries.many(QUERIES[name], 10)
    numbered = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    parameters = [None] * (max(numbered) if numbered else statement.count("?"))
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    allowed = {
        # Each table has one row.
        "OLDEST_CODE": ["SCAN schema_compatibility"],
        "SCHEMA_REVISION": ["SCAN alembic_version"],
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
