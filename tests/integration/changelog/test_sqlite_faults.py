"""What a full disk, a locked or damaged file, another schema and a killed process do to a SQLite store."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from goldwire.changelog.consents import Consent
from goldwire.changelog.migrations import NEWEST
from goldwire.changelog.replays import Replay, Selection
from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import Settlement
from goldwire.changelog.sqlite import connection
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.changelog.sqlite.upgrade import upgrade
from goldwire.clock import timestamp
from goldwire.errors import GoldwireError, InputError, StoreBusyError, StoreCorruptError, StoreFullError
from goldwire.testing.store_setting import NOON, Crash, acquired, balanced, change, commit, control, settle

PARTS = {"file", "log", "heads", "control", "records", "delivered", "numbers", "replays", "ledger"}
REPLAY = Replay("r1", "t", Selection(after=0, upto=1), "ann", timestamp(NOON), "lost its disk")
RESYNC = Resync("s1", "t", "all", 1, "ann", timestamp(NOON))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "goldwire.db"


def _run(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_a_reopened_store_holds_what_was_committed(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, ("a", 1))
        acquired(store)
    with closing(SqliteStore(path)) as store:
        assert [row.entity_id for row in store.read(0, 9, 9)] == ["a"]
        assert store.cursors()[0].target == "t"


def test_a_number_that_was_rolled_back_is_not_remembered(path: Path) -> None:
    steps: list[str] = []

    def fail_once(step: str) -> None:
        steps.append(step)
        if steps.count("ingest:before-commit") == 1 and step == "ingest:before-commit":
            raise OSError("the disk is gone for a moment")

    with closing(SqliteStore(path, checkpoint=fail_once)) as store:
        with pytest.raises(OSError, match="for a moment"):
            commit(store, ("a", 1))
        commit(store, ("b", 1))  # the entity's number is given again
        assert store.versions([("a", 1)]) == {}
        assert [row.entity_id for row in store.versions([("b", 1)]).values()] == ["b"]


def test_a_store_in_memory_works_and_ends_with_its_object() -> None:
    with closing(SqliteStore(":memory:")) as store, store.lock_target("t"):
        commit(store, ("a", 1))
        with pytest.raises(StoreBusyError), store.lock_target("t"):
            pass
    with closing(SqliteStore(":memory:")) as store:
        assert store.position() == 0


def test_a_store_is_durable_and_fast_by_its_settings(path: Path) -> None:
    with closing(SqliteStore(path, busy_timeout_seconds=1.5)) as store:
        ask = store._database.execute
        found = {name: ask(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "page_size")}
        assert found == {"journal_mode": "wal", "synchronous": 2, "page_size": 16384}
        assert ask("PRAGMA busy_timeout").fetchone()[0] == 1500
    with closing(SqliteStore(path, durable=False)) as store:
        assert store._database.execute("PRAGMA synchronous").fetchone()[0] == 0


def test_a_full_store_says_so_and_stays_whole(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, ("a", 1))
        acquired(store)
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(StoreFullError, match=r"goldwire\.db.*free room"), store.ingest(NOON) as workspace:
            workspace.commit_changes([change(f"e{number}", 1, state=b"x" * 20_000) for number in range(100)])
        assert store.position() == 1
        assert balanced(store).pending == 1
        store._database.execute(f"PRAGMA max_page_count = {pages + 10_000}")
        commit(store, ("a", 2))
        assert store.position() == 2


def test_a_locked_store_says_what_to_do_and_can_be_read_meanwhile(path: Path) -> None:
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path, busy_timeout_seconds=0.05)) as other:
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 1)])
            with pytest.raises(StoreBusyError, match=r"goldwire\.db.*wait for it"):
                commit(other, ("b", 1))
            with pytest.raises(StoreBusyError):
                other.acquire("t", "now")
            assert other.read(0, 9, 9) == []
        commit(other, ("b", 1))
        assert store.position() == 2


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection, which has a new file for itself."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE any (one)")
        other.execute("BEGIN EXCLUSIVE")
        yield other


def test_a_new_file_that_another_process_has_for_itself_is_waited_for(path: Path, locked: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as mine:
        release = threading.Timer(0.1, locked.rollback)
        release.start()
        connection.enter_wal(mine, str(path), 60.0)
        assert mine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        release.join()


def test_a_new_file_that_stays_locked_is_given_up(path: Path, locked: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as mine:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.enter_wal(mine, str(path), 0.05)
        locked.rollback()
        assert mine.execute("PRAGMA journal_mode").fetchone() == ("delete",)


WRITES: dict[str, Callable[[SqliteStore], object]] = {
    "declare": lambda store: store.declare("t", 1, 1, "every"),
    "release": lambda store: store.release("t", 1),
    "note-unopened": lambda store: store.note_unopened("t", 1, "refused", NOON),
    "note-loss": lambda store: store.note_loss("t", 1, "its disk", NOON),
    "stop": lambda store: store.stop("t", "enough"),
    "rewind": lambda store: store.rewind("t", 0),
    "acquire": lambda store: store.acquire("u", "now"),
    "redrive": lambda store: store.redrive("t", [1], NOON),
    "discard": lambda store: store.discard("t", [1], NOON),
    "settle": lambda store: settle(store, 0, b"F"),
    "ingest": lambda store: commit(store, ("a", 2)),
    "add_replay": lambda store: store.add_replay(REPLAY),
    "save_replay": lambda store: store.save_replay(REPLAY, 1),
    "cancel_replay": lambda store: store.cancel_replay("r1", NOON),
    "add_resync": lambda store: store.add_resync(RESYNC, NOON),
    "resend": lambda store: store.resend(RESYNC, (), 1, NOON),
    "cancel_resync": lambda store: store.cancel_resync("s1", NOON),
    "keep_consent": lambda store: store.keep_consent("t", Consent(1, "ann", timestamp(NOON))),
    "apply_revision": lambda store: store.apply_revision("t", b"{}", NOON),
    "keep_settings": lambda store: store.keep_settings("t", b"{}", NOON),
    "reserve_placement": lambda store: store.reserve_placement("t", b"{}", NOON),
    "keep_mastering_rules": lambda store: store.keep_mastering_rules(b"{}", NOON),
    "keep_configuration": lambda store: store.keep_configuration(b"{}", NOON),
}


@pytest.mark.parametrize("name", WRITES)
def test_each_write_has_steps_of_its_own_name_and_a_crash_at_the_first_of_them_undoes_it(path: Path, name: str) -> None:
    reached: list[str] = []

    def crash(step: str) -> None:
        reached.append(step)
        if len(reached) == 1:
            raise Crash(step)

    with closing(SqliteStore(path, durable=False)) as store:
        commit(store, ("a", 1))
        acquired(store)
    with closing(SqliteStore(path, durable=False, checkpoint=crash)) as store:
        before = list(store._database.connection.iterdump())
        with pytest.raises(Crash):
            WRITES[name](store)
        assert list(store._database.connection.iterdump()) == before
        WRITES[name](store)
    assert {step.partition(":")[0] for step in reached} == {name}
    assert reached[-2:] == [f"{name}:before-commit", f"{name}:after-commit"]


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 1000)
    with pytest.raises(StoreCorruptError, match=r"goldwire\.db.*restore"):
        SqliteStore(path)


def test_a_damaged_store_is_named_when_the_damage_is_met(path: Path) -> None:
    with closing(SqliteStore(path)) as store, store.ingest(NOON) as workspace:
        workspace.commit_changes([change(f"e{number}", 1, state=os.urandom(2000)) for number in range(200)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(16384)
        file.write(os.urandom(size - 16384))
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT * FROM log").fetchall()
    with pytest.raises(StoreCorruptError, match=r"goldwire\.db.*restore"), closing(SqliteStore(path)) as store:
        store.read(0, 1000, 1000)


def test_a_part_that_sqlite_cannot_read_has_its_usual_name(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, ("a", 1))
        acquired(store)
    with closing(sqlite3.connect(path)) as connection:
        roots = dict(
            connection.execute(
                "SELECT name, rootpage FROM sqlite_master WHERE name IN ('control', 'log', 'target_cursor')"
            ).fetchall()
        )
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        for root in roots.values():
            file.seek((root - 1) * page_bytes)
            file.write(bytes(page_bytes))
    with closing(SqliteStore(path)) as store:
        unread = {damage.part for damage in store.damages() if damage.where == str(path)}
    assert {"log", "control", "ledger"} <= unread <= PARTS


def test_another_applications_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"goldwire\.db.*no Goldwire store"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_store_of_a_newer_goldwire_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_compatibility SET oldest_code = '9998'")
    with pytest.raises(InputError, match=rf"newer Goldwire \(schema 9999, for code of schema 9998.*has {NEWEST}.*upgrade"):
        SqliteStore(path)
    with pytest.raises(InputError, match=r"newer Goldwire \(schema 9999"):
        upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def test_a_newer_store_that_does_not_say_who_may_use_it_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("DELETE FROM schema_compatibility")
    with pytest.raises(InputError, match=r"newer Goldwire \(schema 9999, for code of schema 9999 and newer"):
        SqliteStore(path)


def test_a_newer_store_for_which_this_code_is_new_enough_is_used(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with closing(SqliteStore(path)) as store:
        commit(store, ("a", 1))
    assert upgrade(path).after == "9999"


def test_code_that_an_upgrade_shuts_out_while_it_has_the_store_open_neither_reads_nor_writes(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        commit(store, ("a", 1))
        with closing(sqlite3.connect(path)) as newer, newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
            newer.execute("UPDATE schema_compatibility SET oldest_code = '9999'")
        for _ in range(2):
            with pytest.raises(InputError, match=rf"schema 9999, for code of schema 9999.*has {NEWEST}.*upgrade Goldwire"):
                commit(store, ("b", 1))
            with pytest.raises(InputError, match="upgrade Goldwire"):
                store.read(0, 9, 9)
        with closing(sqlite3.connect(path)) as newer, newer:
            assert newer.execute("SELECT count(*) FROM log").fetchone() == (1,)
            newer.execute("DELETE FROM schema_compatibility")
        with pytest.raises(StoreCorruptError, match=r"goldwire\.db: the row that says.*restore"):
            commit(store, ("b", 1))


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        SqliteStore(tmp_path / "nowhere" / "goldwire.db")


def test_a_directory_in_the_files_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        SqliteStore(tmp_path)


def test_an_old_sqlite_is_refused_with_both_versions() -> None:
    with pytest.raises(GoldwireError, match=r"3\.35\.0.*3\.34\.1"):
        connection.check_version((3, 34, 1))
    connection.check_version((3, 35, 0))


def test_two_processes_may_create_one_store_at_once(path: Path) -> None:
    script = """
        import sys
        from goldwire.changelog.sqlite.store import SqliteStore
        store = SqliteStore(sys.argv[1])
        store.acquire(sys.argv[2], "now")
        store.close()
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(_run(script, path, f"t{number}")) for number in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    with closing(SqliteStore(path)) as store:
        assert [cursor.target for cursor in store.cursors()] == ["t0", "t1", "t2"]


def test_a_reader_meets_no_gap_while_another_process_writes(path: Path) -> None:
    script = """
        import sys
        from goldwire.changelog.sqlite.store import SqliteStore
        from goldwire.testing.store_setting import commit
        store = SqliteStore(sys.argv[1], durable=False)
        for number in range(100):
            commit(store, *[(f"e{number}-{part}", 1) for part in range(7)])
        store.close()
    """
    with closing(SqliteStore(path)) as store, _run(script, path) as writer:
        epoch = store.acquire("t", "beginning").epoch
        position = 0
        give_up = time.monotonic() + 60
        while position < 700 and time.monotonic() < give_up:
            rows = store.read(position, position + 1000, 50)
            assert [row.seq for row in rows] == list(range(position + 1, position + 1 + len(rows)))
            if rows:
                store.declare("t", epoch, rows[-1].seq, "every")
                controls = [control(row.entity_id, 1, row.seq) for row in rows]
                store.settle(Settlement("t", epoch, position, rows[-1].seq, b"D" * len(rows), controls))
                position = rows[-1].seq
        assert writer.wait(60) == 0
        assert position == 700
        assert balanced(store).delivered == 700


@pytest.mark.parametrize("step", ["ingest:before-commit", "settle:after-controls", "settle:before-commit"])
def test_a_process_killed_inside_a_transaction_leaves_a_whole_store(path: Path, step: str) -> None:
    script = """
        import sys, time
        from goldwire.changelog.sqlite.store import SqliteStore
        from goldwire.testing.store_setting import acquired, commit, control, settle
        reached = []
        def wait_at(step):
            if step == sys.argv[2] and reached:
                print("here", flush=True)
                time.sleep(60)
        store = SqliteStore(sys.argv[1], checkpoint=wait_at)
        commit(store, *[(f"e{number}", 1) for number in range(3000)])
        with store.lock_target("t"):
            acquired(store)
            settle(store, 0, b"D" * 1000, controls=[control(f"e{number}", 1, number + 1) for number in range(1000)])
            reached.append(True)
            if sys.argv[2].startswith("ingest"):
                commit(store, *[(f"e{number}", 2) for number in range(3000)])
            else:
                settle(store, 1000, b"D" * 2000, controls=[control(f"e{n}", 1, n + 1) for n in range(1000, 3000)])
    """
    with _run(script, path, step) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with closing(SqliteStore(path)) as store, pytest.raises(StoreBusyError), store.lock_target("t"):
            pass
        process.send_signal(signal.SIGKILL)
    with closing(SqliteStore(path)) as store, store.lock_target("t"):
        assert store.position() == 3000
        assert balanced(store)[:2] == (3000, 1000)
        assert len(list(store.all_controls("t"))) == 1000
        assert store._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        commit(store, ("e0", 2))
        assert store.position() == 3001
