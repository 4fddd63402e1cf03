"""The benchmark measures what it says: every event counted, every figure beside its floor. Never how long it took."""

from __future__ import annotations

from typing import Any

import pytest

from goldwire_lab.bench import sql

BROKERS = ["target kafka", "target event_hubs", "target event_hubs, kafka", "target service_bus"]
CEILINGS = ["emulator, event_hubs", "emulator, service_bus"]
KIT = "kit, subscriber"
SQL = [name.removeprefix("sql-").replace("-", ", ") for name in sql.installed()]
RELAYS = ["relay to memory", "relay to file", "ingest", "webhook, single", "webhook, arrays"]
THROUGHPUT = [*RELAYS, *BROKERS, KIT, *[f"sql, {name}" for name in SQL], *CEILINGS]
AIMS = {
    "relay to memory": ["at most 2 × the floor", "more than 25,000 events/s a core"],
    "relay to file": [],
    "ingest": ["more than 10,000 facts/s"],
    "webhook, single": [],
    "webhook, arrays": ["more than 20,000 events/s"],
    **{name: ["at most 1.3 × the floor"] for name in BROKERS},
    **{f"sql, {name}": ["at most 2 × the floor"] for name in SQL},
    **{name: [] for name in (KIT, *CEILINGS)},
}


@pytest.fixture
def report(shell: Any) -> dict[str, Any]:
    """What a quick run reports."""
    found: dict[str, Any] = shell.json("bench", "--quick")
    assert list((shell.folder / "bench-out").iterdir()) == [], "it cleans up after itself"
    return found


def test_a_quick_run_accounts_for_every_event_and_sets_a_floor_beside_every_figure(report: dict[str, Any]) -> None:
    assert [one["name"] for one in report["throughput"]] == THROUGHPUT
    for one in report["throughput"]:
        assert (one["events"], one["rounds"]) == (2_000, 1)
        assert one["floor"]
        assert one["floor_cpu_seconds"] > 0
        assert one["ratio"] == pytest.approx(one["cpu_seconds"] / one["floor_cpu_seconds"])
        assert one["events_per_core_second"] == pytest.approx(100_000 / one["cpu_seconds"])
        assert [aim["text"] for aim in one["aims"]] == AIMS[one["name"]]
        assert {aim["verdict"] for aim in one["aims"]} <= {"met", "missed"}
    assert report["throughput"][0]["plain_ratio"] > 0

    recovery = report["recovery"]
    assert recovery["log_rows"] == 20_000
    assert recovery["events"] == 2_000
    assert 0 < recovery["settled_before_kill"] <= recovery["sent_before_kill"] < recovery["events"], "killed in the middle"
    assert (recovery["missing"], recovery["repeated"], recovery["ledger_balances"]) == (0, 0, True)
    assert [aim["verdict"] for aim in recovery["aims"]] == ["met"]

    memory = report["memory"]
    assert memory["log_rows"] == 20_000
    assert memory["resident_bytes_most"] >= memory["resident_bytes_last"] > 0


def test_one_figure_can_be_had_alone_and_is_told_in_words(shell: Any) -> None:
    told = shell.run("bench", "--quick", "--only", "memory").stdout
    assert "relay to memory" in told
    assert "× floor" in told
    assert "ingest" not in told
    assert "Resident memory" not in told


def test_a_figure_that_does_not_exist_is_named(shell: Any) -> None:
    done = shell.run("bench", "--only", "memorry", code=2)
    assert "did you mean 'memory'?" in done.stderr
