"""What a `where` does that its author may not expect is reported: at `apply`, in the log, and as a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from goldwire.observability.metrics import Recorder
from goldwire.services.application import Application
from goldwire.services.delivery import run_targets

CONFIGURATION = """\
store: {path: goldwire.db}
types:
  Customer:
    attributes: {name: {}, city: {}}
sources:
  crm:
    system: crm
    type: Customer
    id: id
    attributes: {name: name, city: city}
contracts:
  seen:
    golden: false
    where: '%s'
targets:
  events:
    kind: file
    contract: seen
    settings: {path: events.jsonl}
    delivery: {mode: %s}
"""


def application(folder: Path, where: str, mode: str = "latest") -> Application:
    (folder / "goldwire.yaml").write_text(CONFIGURATION % (where, mode))
    return Application.of(folder / "goldwire.yaml")


def test_each_evaluation_without_a_result_is_counted_and_each_reason_logged_once(tmp_path: Path) -> None:
    (tmp_path / "crm.csv").write_text("id,name,city\n1,bob,Oslo\n2,eve,Rome\n3,bob,\n")
    recorder = Recorder()
    told: list[Any] = []
    with capture_logs() as lines, application(tmp_path, 'a.city > 1.0 || a.name == "ann"') as it:
        it.apply_service().run(check=False)
        it.ingest_service().files("crm", [tmp_path / "crm.csv"])
        run_targets(
            it.relays(recorder),
            ["events"],
            until_caught_up=True,
            progress=lambda name, cursor: told.append((name, cursor.filtered)),
            failed=lambda name, error: told.append((name, error)),
        )
    assert told == [("events", 1)]  # what a record lacks is no fault; the two others are dead letters
    assert recorder.registry.get_sample_value("goldwire_where_errors_total", {"target": "events"}) == 2
    warned = [line for line in lines if line["log_level"] == "warning"]
    assert [(line["target"], line["reason"]) for line in warned] == [("events", "`>` does not take string and double")]
    assert "Oslo" not in str(lines) + generate_latest(recorder.registry).decode()


@pytest.mark.parametrize(
    ("where", "mode", "warned"),
    [('"city" in changed', "latest", True), ('"city" in changed', "every", False), ('a.city == "Oslo"', "latest", False)],
)
def test_apply_warns_where_changed_may_miss_versions_that_are_superseded(
    tmp_path: Path, where: str, mode: str, warned: bool
) -> None:
    with application(tmp_path, where, mode) as it:
        for check in (True, False):
            (applied,) = it.apply_service().run(check=check)
            assert bool(applied.warnings) is warned
            assert all("mode: every" in warning and "seen" in warning for warning in applied.warnings)
