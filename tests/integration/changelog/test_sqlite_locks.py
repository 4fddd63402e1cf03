"""The lock files beside a SQLite store: one for each target, whatever its name is, and never anywhere else."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.sqlite.lock import TargetLocks
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import InputError, StoreBusyError

NAMES = ("crm", "CRM", "crm_2-x", "../crm", "a/b", "a b", "größe", "", "x" * 64, "x" * 65, "y" * 80 + "1", "y" * 80 + "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stores"
    made.mkdir()
    return made


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(folder / "goldwire.db", durable=False)) as opened:
        yield opened


def locks(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.endswith(".lock")}


def test_each_target_has_a_lock_of_its_own_beside_the_store_whatever_its_name_is(store: SqliteStore, folder: Path) -> None:
    with ExitStack() as held, closing(SqliteStore(folder / "goldwire.db")) as other:
        for name in NAMES:
            held.enter_context(store.lock_target(name, name.encode() or b"none"))
        for name in NAMES:
            with pytest.raises(StoreBusyError, match="another relay is working on it"), other.lock_target(name):
                pass
            assert other.target_note(name) == (name.encode() or b"none")
    assert list(folder.parent.iterdir()) == [folder]
    found = locks(folder)
    assert len({name.lower() for name in found}) == len(NAMES)  # also where upper and lower case are one
    assert max(map(len, found)) <= len("goldwire.db..lock") + 64


def test_the_name_of_a_lock_stays_what_it_is_so_that_releases_keep_each_other_out(store: SqliteStore, folder: Path) -> None:
    for name in ("crm_2-x", "x" * 64, "Ä/Crm 7", "z" * 65):
        with store.lock_target(name):
            pass
    assert locks(folder) == {
        "goldwire.db.crm_2-x.lock",
        f"goldwire.db.{'x' * 64}.lock",
        "goldwire.db.-crm-7~60a5b89e2192.lock",
        f"goldwire.db.{'z' * 40}~57685f5e43dd.lock",
    }


def test_a_note_that_a_process_left_when_it_died_is_none(store: SqliteStore, folder: Path) -> None:
    assert store.target_note("crm") is None
    with store.lock_target("crm", b"process 7"):
        pass
    [lock] = folder.glob("*.lock")
    assert lock.read_bytes() == b""
    lock.write_bytes(b"process 7")
    assert store.target_note("crm") is None
    with store.lock_target("crm", b"8"):
        assert store.target_note("crm") == b"8"  # nothing of the longer one is left


def test_a_lock_that_cannot_be_opened_is_named(store: SqliteStore, folder: Path) -> None:
    (folder / "goldwire.db.crm.lock").mkdir()
    with (
        pytest.raises(InputError, match=r"goldwire\.db\.crm\.lock: the lock file cannot be opened \(Is a directory\)"),
        store.lock_target("crm"),
    ):
        pass


def fail_under_a_lock(store: SqliteStore) -> None:
    with store.lock_target("crm", b"note"):
        assert store.target_note("crm") == b"note"
        assert store.target_note("erp") is None
        with store.lock_target("erp"):
            pass
        with pytest.raises(StoreBusyError, match="target crm"), store.lock_target("crm"):
            pass
        raise ValueError("the work ends")


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_lock_is_given_back_however_its_work_ends(folder: Path, *, in_memory: bool) -> None:
    with closing(SqliteStore(":memory:" if in_memory else folder / "goldwire.db")) as store:
        for _ in range(2):
            with pytest.raises(ValueError, match="work"):
                fail_under_a_lock(store)
            assert store.target_note("crm") is None


def test_who_only_asks_keeps_no_relay_from_a_target(folder: Path) -> None:
    mine = TargetLocks(str(folder / "goldwire.db"))
    mine.file("crm").write_bytes(b"a process that died")
    asking = mine.file("crm").open("rb")
    fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            asking.close()

    with TargetLocks(str(folder / "goldwire.db"), sleep).hold("crm", b"8"):
        assert mine.note("crm") == b"8"
    assert len(waited) == 3


def test_a_lock_that_is_held_is_not_waited_for_and_one_that_is_shared_for_ever_is_given_up(folder: Path) -> None:
    waited: list[float] = []
    mine = TargetLocks(str(folder / "goldwire.db"), waited.append)
    with mine.hold("crm"):
        with pytest.raises(StoreBusyError), mine.hold("crm"):
            pass
        assert waited == []
    with mine.file("crm").open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with pytest.raises(StoreBusyError), mine.hold("crm"):
            pass
    assert sum(waited) == pytest.approx(0.1)


def test_the_note_is_that_of_the_one_who_holds_the_lock_now(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = TargetLocks(str(folder / "goldwire.db"))
    mine.file("crm").write_bytes(b"a process that died")
    lock, held = fcntl.flock, ExitStack()

    def begin_first(descriptor: Any, how: int) -> None:
        patched.undo()
        held.enter_context(mine.hold("crm", b"8"))
        lock(descriptor, how)

    with held, monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", begin_first)
        assert mine.note("crm") == b"8"
