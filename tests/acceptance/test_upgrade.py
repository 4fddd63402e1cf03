"""Two releases on one store: the older one goes on where a migration only expands; else it is refused."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.migrations import NEWEST
from support.releases import ROOT, Release, release_of, release_with, table_of

LAST_RELEASE = ROOT / "tests/acceptance/last_release.txt"
"""The commit of the last release stands in its first line."""

TODAY = Release()
EXPANDED, BROKEN = (f"{int(NEWEST) + more:04}" for more in (1, 2))

EXPANDING = f'''"""An empty column, one with a default, and a table that a trigger fills for code that does not know it."""
import sqlalchemy as sa
from alembic import op
from goldwire.changelog.migrations import EXPANDS
revision, down_revision, branch_labels, depends_on, effect = "{EXPANDED}", "{NEWEST}", None, None, EXPANDS
def upgrade():
    op.add_column("record", sa.Column("read_from", sa.Text))
    op.add_column("control", sa.Column("proved_at", sa.Text, nullable=False, server_default="never"))
    op.create_table("arrival", sa.Column("seq", sa.Integer, primary_key=True), sa.Column("entity_type", sa.Text))
    op.execute("INSERT INTO arrival SELECT seq, entity_type FROM log")
    op.execute("CREATE TRIGGER arrives AFTER INSERT ON log BEGIN INSERT INTO arrival VALUES (new.seq, new.entity_type); END")
'''
BREAKING = f'''"""A column under another name."""
from alembic import op
from goldwire.changelog.migrations import BREAKS
revision, down_revision, branch_labels, depends_on, effect = "{BROKEN}", "{EXPANDED}", None, None, BREAKS
def upgrade():
    op.execute("ALTER TABLE record RENAME COLUMN body TO content")
'''
HEADER = "id,full_name,e_mail,phone,city,segment,updated_at\n"
NEW = {
    "data/more.csv": HEADER + "C-1,Ada King,ada@analytical.example,+44 20 7946 0001,Ockham,gold,2026-03-01T09:00:00Z\n"
    "C-9,Barbara Liskov,barbara@abstract.example,,Cambridge,gold,2026-03-02T09:00:00Z\n",
    "data/last.csv": HEADER + "C-2,Grace Hopper,grace@navy.example,+1 202 555 0102,Philadelphia,gold,2026-04-01T09:00:00Z\n",
}


@pytest.fixture(scope="module")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release_with(tmp_path_factory.mktemp("expanded"), {EXPANDED: EXPANDING})


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release_with(tmp_path_factory.mktemp("broken"), {EXPANDED: EXPANDING, BROKEN: BREAKING})


@pytest.fixture
def folder(started: Any) -> Path:
    """A folder whose store today's code has made and used."""
    for name, text in NEW.items():
        started.write(name, text)
    TODAY.run(started.folder, "ingest", "crm", "data/crm.csv")
    TODAY.run(started.folder, "run", "--until-caught-up")
    return started.folder


@pytest.fixture
def twin(folder: Path, tmp_path: Path) -> Path:
    """A copy of it, on which today's code alone goes on."""
    return shutil.copytree(folder, tmp_path / "twin")


def store(folder: Path) -> Path:
    return folder / ".goldwire/store.db"


def asked(folder: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(store(folder))) as connection:
        return connection.execute(statement).fetchall()


def work(release: Release, folder: Path, *ingested: str) -> None:
    """Take facts in, deliver, and look at all that there is."""
    release.run(folder, "ingest", *ingested)
    release.run(folder, "run", "--until-caught-up")
    for name in ("events", "partners"):
        release.run(folder, "verify", f"out/{name}.jsonl")
    release.run(folder, "ledger", "--recount")
    assert release.json(folder, "store", "check")["sound"]


def all_work(first: Release, second: Release, folder: Path) -> None:
    work(first, folder, "billing", "data/billing.csv")
    work(first, folder, "crm", "data/more.csv")
    work(second, folder, "crm", "data/last.csv")


def same_tables(folder: Path, twin: Path) -> None:
    for name in ("events", "partners"):
        assert table_of(folder / f"out/{name}.jsonl") == table_of(twin / f"out/{name}.jsonl")


def test_the_code_of_today_goes_on_with_a_store_that_the_next_release_expanded(
    folder: Path, twin: Path, expanded: Release
) -> None:
    done = expanded.json(folder, "store", "upgrade")
    assert (done["before"], done["after"]) == (NEWEST, EXPANDED)
    assert done["oldest_code"] <= NEWEST
    all_work(TODAY, expanded, folder)
    all_work(TODAY, TODAY, twin)
    same_tables(folder, twin)
    of_log = asked(folder, "SELECT seq, entity_type FROM log ORDER BY 1")
    assert asked(folder, "SELECT seq, entity_type FROM arrival ORDER BY 1") == of_log
    assert asked(folder, "SELECT DISTINCT proved_at FROM control") == [("never",)]
    assert asked(folder, "SELECT * FROM schema_compatibility") == [(done["oldest_code"],)]


def test_the_code_of_today_is_refused_by_a_store_that_the_next_release_broke(folder: Path, broken: Release) -> None:
    said = broken.run(folder, "store", "upgrade").stdout
    assert f"upgraded from schema {NEWEST} to {BROKEN}\na Goldwire of schema {BROKEN} and newer can use it" in said
    before = store(folder).read_bytes(), (folder / "out/events.jsonl").read_bytes()
    commands = (
        ["ingest", "crm", "data/more.csv"],
        ["run", "--until-caught-up"],
        ["apply"],
        ["ledger"],
        ["store", "check"],
        ["store", "upgrade"],
    )
    for words in commands:
        error = TODAY.run(folder, *words, code=3).stderr
        assert f"(schema {BROKEN}, for code of schema {BROKEN} and newer; this one has {NEWEST}): upgrade Goldwire" in error
    assert (store(folder).read_bytes(), (folder / "out/events.jsonl").read_bytes()) == before


@pytest.mark.parametrize("words", [("ingest", "crm", "data/more.csv"), ("run", "--until-caught-up"), ("store", "check")])
def test_the_next_release_is_refused_by_a_store_of_today_until_it_is_upgraded(
    folder: Path, expanded: Release, words: tuple[str, ...]
) -> None:
    before = store(folder).read_bytes()
    error = expanded.run(folder, *words, code=3).stderr
    assert f"older Goldwire (schema {NEWEST}, this one has {EXPANDED})" in error
    assert "run `goldwire store upgrade`" in error
    assert store(folder).read_bytes() == before
    expanded.run(folder, "store", "upgrade")
    expanded.run(folder, *words)


INGEST = """
import sys
from goldwire import Goldwire
def wait(_):
    print("committed", flush=True)
    sys.stdin.readline()
with Goldwire("goldwire.yaml") as goldwire:
    goldwire.ingest("crm", "data/more.csv", batch_size=1, progress=wait)
"""


@contextmanager
def ingest_of_today(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """An ingest that has committed its first batch, and waits for a line before each next one."""
    command = [sys.executable, "-c", INGEST]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=folder, env=TODAY.environment, stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_ingest_of_today_goes_on_while_the_next_release_expands_the_store(folder: Path, expanded: Release) -> None:
    with ingest_of_today(folder) as ingest:
        expanded.run(folder, "store", "upgrade")
        ingest.communicate("on\n" * 9, timeout=120)
        assert ingest.returncode == 0
    assert asked(folder, "SELECT count(*), count(read_from) FROM record") == [(5, 0)]
    assert asked(folder, "SELECT seq FROM arrival ORDER BY 1") == asked(folder, "SELECT seq FROM log ORDER BY 1")
    assert expanded.json(folder, "store", "check")["sound"]


def test_an_ingest_of_today_keeps_the_next_release_from_breaking_the_store(folder: Path, broken: Release) -> None:
    with ingest_of_today(folder) as ingest:
        assert "another process has the store open" in broken.run(folder, "store", "upgrade", code=4).stderr
        ingest.communicate("on\n" * 9, timeout=120)
        assert ingest.returncode == 0
    assert asked(folder, "SELECT version_num FROM alembic_version") == [(NEWEST,)]
    broken.run(folder, "store", "upgrade")


@pytest.mark.parametrize("order", [0, 1])
def test_of_two_releases_that_upgrade_at_once_each_ends_well_or_is_refused(
    folder: Path, expanded: Release, broken: Release, order: int
) -> None:
    both = [expanded, broken] if order == 0 else [broken, expanded]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(one.command("store", "upgrade"), cwd=folder, env=one.environment, stderr=pipe, text=True)
        for one in both
    ]
    errors = [one.communicate(timeout=240)[1] for one in running]
    assert 0 in {one.returncode for one in running}, errors
    for one, error in zip(running, errors, strict=True):
        assert one.returncode in {0, 3, 4}, error
        assert "Traceback" not in error
        assert "locate revision" not in error
    broken.run(folder, "store", "upgrade")
    assert asked(folder, "SELECT version_num, oldest_code FROM alembic_version, schema_compatibility") == [(BROKEN, BROKEN)]
    assert asked(folder, "PRAGMA integrity_check") == [("ok",)]


def test_the_last_release_goes_on_with_a_store_of_today(folder: Path, twin: Path, tmp_path: Path) -> None:
    last = release_of(LAST_RELEASE.read_text(encoding="utf-8").split()[0], tmp_path / "last release")
    if isinstance(last, str):
        pytest.skip(last)
    all_work(last, TODAY, folder)
    all_work(TODAY, TODAY, twin)
    same_tables(folder, twin)
