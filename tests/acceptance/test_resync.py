"""A changed contract reaches what a live target holds, and a target that lost rows gets them back; on the command line."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.services.replay import runs_elsewhere

DEADLINE_SECONDS = 60.0

CONFIG = """\
store: {path: store.db}
types: {C: {attributes: {name: {}, email: {tags: [pii]}, city: {}, tier: {}}}}
tags: {pii: {}}
sources: {s: {system: s, type: C, id: id}}
contracts:
  c: {golden: false, approval: any, attributes: [name, email, city], deselect: true}
targets:
  t:
    kind: sql
    contract: c
    clearance: [pii]
    settings: {url: "sqlite:///out.db", table: t, key: {external_id: s}, key_column: id, columns: COLUMNS, create_table: true}
"""
COLUMNS = "{name: name, email: email, city: city}"
ROWS = "id,name,email,city,tier\n1,Ann,ann@x.org,Rome,gold\n2,Bob,bob@x.org,Oslo,iron\n3,Cy,cy@x.org,Rome,gold\n"


@pytest.fixture
def live(shell: Any) -> Any:
    """A table that was delivered to."""
    (shell.folder / "goldwire.yaml").write_text(CONFIG.replace("COLUMNS", COLUMNS))
    (shell.folder / "a.csv").write_text(ROWS)
    shell.run("apply")
    shell.run("ingest", "s", "a.csv")
    shell.run("run", "--until-caught-up")
    return shell


def table(shell: Any, columns: str = "id, name, email, city") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(shell.folder / "out.db")) as connection:
        return connection.execute(f"SELECT {columns} FROM t WHERE goldwire_deleted = 0 ORDER BY id").fetchall()


def change(shell: Any, before: str, after: str) -> None:
    shell.edit(before, after)


def test_a_tightened_mask_reaches_every_row(live: Any) -> None:
    change(live, "deselect: true", "deselect: true, masks: {email: redact}")
    shown = live.json("apply", "--check")["targets"][0]
    assert (shown["effects"]["changes"], shown["effects"]["same"], len(shown["samples"]["changes"])) == (3, 0, 3)
    assert live.json("resync", "list") == []
    applied = live.run("apply")
    assert "3 look different" in applied.stdout
    live.run("run", "--until-caught-up")
    assert [row[2] for row in table(live)] == ["REDACTED"] * 3
    assert live.json("resync", "list")[0]["state"] == "done"
    [ledger] = live.json("ledger", "--recount")
    assert (ledger["delivered"], ledger["stale"], ledger["balanced"]) == (6, 0, True)
    assert live.json("status")["targets"][0]["state"] == "caught up"


def test_what_is_selected_now_takes_the_place_of_what_was(live: Any) -> None:
    change(live, "deselect: true", "deselect: true, where: \"a.city == 'Oslo'\"")
    assert live.json("apply")["targets"][0]["effects"]["leaves"] == 2
    live.run("run", "--until-caught-up")
    assert [row[1] for row in table(live)] == ["Bob"]
    change(live, "'Oslo'", "'Rome'")
    effects = live.json("apply")["targets"][0]["effects"]
    assert (effects["leaves"], effects["enters"]) == (1, 2)
    live.run("run", "--until-caught-up")
    assert [row[1] for row in table(live)] == ["Ann", "Cy"]


def test_a_revision_that_is_kept_without_resending_is_shown_until_it_is_mended(live: Any) -> None:
    change(live, "deselect: true", "deselect: true, masks: {email: redact}")
    declined = live.run("apply", "--no-resend")
    assert "`goldwire resync t --stale`" in declined.stderr
    live.run("run", "--until-caught-up")
    assert table(live)[0][2] == "ann@x.org"
    status = live.json("status")["targets"][0]
    assert (status["state"], status["stale"]) == ("stale", 3)
    assert live.json("ledger")[0]["stale"] == 3
    assert "3 entities are not as the contract says" in live.run("status").stdout
    record = live.json("resync", "t", "--stale", "--why", "the auditor asked")
    assert (record["state"], record["resent"], record["why"]) == ("done", 3, "the auditor asked")
    assert table(live)[0][2] == "REDACTED"
    assert live.json("status")["targets"][0]["stale"] == 0


def test_a_new_column_is_filled_for_all_that_was_delivered(live: Any) -> None:
    change(live, "[name, email, city]", "[name, email, city, tier]")
    change(live, "city: city}", "city: city, tier: tier}")
    with closing(sqlite3.connect(live.folder / "out.db")) as connection:
        connection.execute("ALTER TABLE t ADD COLUMN tier TEXT")
    live.run("apply")
    live.run("run", "--until-caught-up")
    assert table(live, "tier") == [("gold",), ("iron",), ("gold",)]


def test_another_attribute_in_a_column_reaches_every_row_although_the_contract_is_the_same(live: Any) -> None:
    change(live, "city: city}", "city: name}")
    result = live.json("apply")["targets"][0]
    assert (result["change"], result["settings"], result["effects"]["changes"]) == ("unchanged", "changed", 3)
    live.run("run", "--until-caught-up")
    assert table(live, "city") == [("Ann",), ("Bob",), ("Cy",)]


def test_settings_that_were_never_applied_reach_every_row_with_the_next_run(live: Any) -> None:
    change(live, "city: city}", "city: name}")
    live.run("run", "--until-caught-up")
    assert table(live, "city") == [("Ann",), ("Bob",), ("Cy",)]
    assert [(one["scope"], one["state"], one["why"]) for one in live.json("resync", "list")] == [
        ("all", "done", "the settings changed")
    ]


def test_settings_that_were_applied_without_resending_are_shown_and_mended_by_what_status_names(live: Any) -> None:
    change(live, "city: city}", "city: name}")
    live.run("apply", "--no-resend")
    live.run("run", "--until-caught-up")
    assert table(live, "city") == [("Rome",), ("Oslo",), ("Rome",)]
    assert live.json("status")["targets"][0]["stale"] == 3
    assert "`goldwire resync t --stale` mends it" in live.run("status").stdout
    live.run("resync", "t", "--stale")
    assert table(live, "city") == [("Ann",), ("Bob",), ("Cy",)]
    assert live.json("status")["targets"][0]["stale"] == 0


def test_a_contract_that_changes_before_the_settings_have_reached_the_target_drops_nothing_of_them(live: Any) -> None:
    change(live, "city: city}", "city: name}")
    live.run("apply")
    change(live, "deselect: true", "deselect: true, edges: none")
    live.run("apply")
    live.run("run", "--until-caught-up")
    assert table(live, "city") == [("Ann",), ("Bob",), ("Cy",)]


def test_an_open_resync_is_not_dropped_for_a_smaller_one(live: Any) -> None:
    change(live, "deselect: true", "deselect: true, masks: {email: redact}")
    resync = live.json("apply")["targets"][0]["resync"]
    assert f"resync {resync} of target t is open" in live.fails("resync", "t", "--entity", "s/1", code=3)
    live.run("run", "--until-caught-up")
    assert [row[2] for row in table(live)] == ["REDACTED"] * 3
    assert live.json("resync", "t", "--entity", "s/1")["state"] == "done"


def test_a_running_relay_with_older_settings_leaves_a_resync_to_the_next_one(live: Any) -> None:
    running = live.start("run")
    with closing(SqliteStore(live.folder / "store.db")) as store:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not runs_elsewhere(store, "t"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    change(live, "city: city}", "city: name}")
    live.run("apply")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_SECONDS)
    assert live.json("resync", "list")[0]["state"] == "open"
    live.run("run", "--until-caught-up")
    assert table(live, "city") == [("Ann",), ("Bob",), ("Cy",)]


def test_a_table_that_was_emptied_is_filled_again(live: Any) -> None:
    with closing(sqlite3.connect(live.folder / "out.db")) as connection:
        connection.execute("DELETE FROM t")
        connection.commit()
    planned = live.json("resync", "t", "--dry-run")
    assert planned["effects"]["changes"] == 3
    assert table(live) == []
    live.run("resync", "t")
    assert len(table(live)) == 3
    assert live.json("resync", "t", "--entity", "s/2")["resent"] == 1
    assert "no entity is known" in live.fails("resync", "t", "--entity", "s/9", code=11)


def test_a_target_ahead_of_a_restored_store_is_reached(live: Any) -> None:
    before = (live.folder / "store.db").read_bytes()
    (live.folder / "b.csv").write_text(ROWS.replace("Rome", "Ulm").replace("Oslo", "Ulm"))
    live.run("ingest", "s", "b.csv")
    live.run("run", "--until-caught-up")
    for name in ("store.db-wal", "store.db-shm"):
        (live.folder / name).unlink(missing_ok=True)
    (live.folder / "store.db").write_bytes(before)
    assert table(live, "city") == [("Ulm",)] * 3
    live.run("resync", "t", "--why", "restored")
    assert table(live, "city") == [("Rome",), ("Oslo",), ("Rome",)]
    with closing(SqliteStore(live.folder / "store.db")) as store:
        assert list(store.damages()) == []
        assert {row.version for row in store.heads()} == {3}


def test_a_resync_can_be_shown_and_cancelled(live: Any) -> None:
    change(live, "deselect: true", "deselect: true, masks: {email: redact}")
    resync = live.json("apply")["targets"][0]["resync"]
    shown = live.run("resync", "show", resync).stdout
    assert "t, open; revision 2, what looks different" in shown
    assert live.json("resync", "cancel", resync)["cancelled"]
    live.run("run", "--until-caught-up")
    assert table(live)[0][2] == "ann@x.org"
    assert live.json("status")["targets"][0]["stale"] == 3
    assert "had ended: cancelled" in live.run("resync", "cancel", resync).stdout
    assert "there is no resync" in live.fails("resync", "show", "never", code=11)
