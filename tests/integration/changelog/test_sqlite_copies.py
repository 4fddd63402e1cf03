"""A copy of a SQLite store is one state of it, for its owner alone; what cannot become one leaves nothing behind."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest

from goldwire.changelog.migrations import NEWEST
from goldwire.changelog.sqlite.copies import (
    PAGES,
    copy_store,
    overwrite_store,
    put_store,
    schema_of,
    structure_faults,
)
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import GoldwireError, InputError, StoreBusyError, StoreCorruptError, StoreFullError
from goldwire.testing.store_setting import NOON, change, commit


def filled(path: Path, *names: str, state: bytes = b"{}") -> Path:
    """A store with an entity for each name."""
    with closing(SqliteStore(path, durable=False)) as store, store.ingest(NOON) as workspace:
        workspace.commit_changes([change(name, 1, state=state) for name in names])
    return path


def held(path: Path) -> list[str]:
    with closing(SqliteStore(path)) as store:
        return [row.entity_id for row in store.heads()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return filled(tmp_path / "goldwire.db", "a", "b")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


def test_a_copy_holds_all_takes_an_older_files_place_and_is_its_owners_alone(source: Path, target: Path) -> None:
    target.write_bytes(b"an older file that everybody may read")
    target.chmod(0o644)
    copy_store(source, target)
    assert held(target) == held(source) == ["a", "b"]
    assert mode(target) == 0o600


def test_a_copy_is_one_state_whatever_is_written_meanwhile(tmp_path: Path, target: Path) -> None:
    source = filled(tmp_path / "goldwire.db", *[f"e{number:02}" for number in range(20)], state=b"x" * 1_000_000)
    reported: list[tuple[int, int]] = []
    with closing(SqliteStore(source, durable=False)) as store:

        def write(done: int, total: int) -> None:
            if not reported:
                commit(store, ("late", 1))
            reported.append((done, total))

        copy_store(source, target, write)
        assert store.position() == 21
    total = reported[-1][1]
    assert PAGES < total < 2 * PAGES
    assert reported == [(PAGES, total), (total, total)]
    with closing(SqliteStore(target)) as copied:
        assert copied.position() == 20
    assert structure_faults(target) == []


def test_what_is_no_store_is_not_copied_and_leaves_no_file(tmp_path: Path, target: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "notes.db")) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    with pytest.raises(InputError, match=r"notes\.db: no Goldwire store"):
        copy_store(tmp_path / "notes.db", target)
    assert not target.exists()
    (tmp_path / "notes.txt").write_text("no database at all " * 100)
    with pytest.raises(StoreCorruptError, match=r"notes\.txt"):
        copy_store(tmp_path / "notes.txt", target)
    assert not target.exists()


def test_a_copy_that_is_broken_off_leaves_no_file(source: Path, target: Path) -> None:
    def give_up(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, give_up)
    assert not target.exists()


def test_the_faults_of_a_file_are_those_that_sqlite_finds(source: Path, tmp_path: Path) -> None:
    assert structure_faults(source) == []
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'log_version'")
        connection.commit()
    assert structure_faults(source) not in ([], ["ok"])
    (tmp_path / "notes.txt").write_text("no database at all " * 100)
    assert structure_faults(tmp_path / "notes.txt") == ["DatabaseError"]


def test_the_schema_of_a_file_that_is_no_store_is_none(source: Path, tmp_path: Path) -> None:
    assert schema_of(source) == NEWEST
    sqlite3.connect(tmp_path / "empty.db").close()
    assert schema_of(tmp_path / "empty.db") is None


def test_a_store_gets_anothers_content_and_its_own_is_kept(source: Path, tmp_path: Path) -> None:
    other, kept = filled(tmp_path / "other.db", "z"), tmp_path / "kept.db"
    source.chmod(0o644)
    overwrite_store(source, other, kept)
    assert (held(source), held(kept), held(other)) == (["z"], ["a", "b"], ["z"])
    assert mode(kept) == 0o600
    assert not source.with_name("goldwire.db-journal").exists()  # it would hold what was there before
    with closing(sqlite3.connect(source)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_kept_is_its_owners_alone_from_the_first_byte_on(source: Path, tmp_path: Path) -> None:
    other, kept, modes = filled(tmp_path / "other.db", "z"), tmp_path / "kept.db", set()
    source.chmod(0o644)

    def look(_frame: FrameType, what: str, _called: object) -> None:
        if what == "c_call" and kept.exists():
            modes.add(mode(kept))

    sys.setprofile(look)
    try:
        overwrite_store(source, other, kept)
    finally:
        sys.setprofile(None)
    assert modes == {0o600}


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (errno.ENOSPC, StoreFullError, r"kept\.db: cannot be written .*free room on its disk"),
        (errno.EACCES, InputError, r"kept\.db: cannot be opened .*mend its path or permissions"),
    ],
)
def test_what_cannot_be_kept_leaves_no_part_and_the_store_as_it_was(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[GoldwireError], text: str
) -> None:
    other, kept = filled(tmp_path / "other.db", "z"), tmp_path / "kept.db"

    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(error, match=text):
            overwrite_store(source, other, kept)
    assert not kept.exists()
    assert held(source) == ["a", "b"]


def test_what_is_kept_takes_no_other_files_place(source: Path, tmp_path: Path) -> None:
    other, kept = filled(tmp_path / "other.db", "z"), filled(tmp_path / "kept.db", "k")
    with pytest.raises(InputError, match=r"kept\.db: is there already"):
        overwrite_store(source, other, kept)
    assert (held(source), held(kept)) == (["a", "b"], ["k"])


def test_no_other_process_gets_at_the_store_once_its_content_is_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing a file gives up every lock that its process has on it, also one that another descriptor took."""
    other, answers = filled(tmp_path / "other.db", "z"), []
    question = f"import sqlite3; sqlite3.connect({str(source)!r}, timeout=0).execute('SELECT count(*) FROM log').fetchone()"
    flush = os.fsync

    def ask(descriptor: int) -> None:
        flush(descriptor)
        answers.append(subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False).stderr)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", ask)
        overwrite_store(source, other, tmp_path / "kept.db")
    assert answers
    assert all("database is locked" in answer for answer in answers)


def test_a_store_that_is_in_use_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    other, kept = filled(tmp_path / "other.db", "z"), tmp_path / "kept.db"
    with closing(SqliteStore(source)), pytest.raises(StoreBusyError, match="another process has the store open"):
        overwrite_store(source, other, kept, busy_timeout_seconds=0.05)
    assert held(source) == ["a", "b"]
    assert not kept.exists()


def test_a_store_that_cannot_be_read_has_to_be_moved_away_first(tmp_path: Path) -> None:
    path, other = tmp_path / "goldwire.db", filled(tmp_path / "other.db", "z")
    path.write_text("no database at all " * 100)
    with pytest.raises(StoreCorruptError, match=r"goldwire\.db: the store that is there cannot be read: move it"):
        overwrite_store(path, other, tmp_path / "kept.db")
    assert path.read_text().startswith("no database")


def test_a_copy_that_cannot_be_read_overwrites_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        overwrite_store(source, tmp_path / "nowhere" / "copy.db", tmp_path / "kept.db")
    assert held(source) == ["a", "b"]


def test_a_store_is_put_where_none_is(source: Path, tmp_path: Path) -> None:
    put_store(tmp_path / "new.db", source)
    assert held(tmp_path / "new.db") == ["a", "b"]
    assert not source.exists()


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_store_is_not_put_beside_the_rest_of_another(source: Path, tmp_path: Path, ending: str) -> None:
    rest = tmp_path / f"new.db{ending}"
    rest.write_bytes(b"the rest")
    with pytest.raises(InputError, match=rf"new\.db{ending}: belongs to a store that is gone"):
        put_store(tmp_path / "new.db", source)
    assert source.exists()
    assert not (tmp_path / "new.db").exists()


def test_a_file_and_its_name_are_on_the_disk_before_a_copy_counts(source: Path, target: Path) -> None:
    flushed = 0

    def look(_frame: FrameType, what: str, called: object) -> None:
        nonlocal flushed
        flushed += what == "c_call" and called is os.fsync

    sys.setprofile(look)
    try:
        copy_store(source, target)
    finally:
        sys.setprofile(None)
    assert flushed == 2
