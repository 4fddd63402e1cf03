"""What people read: short lines, and numbers with the right noun."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from goldwire.cli.output import counted, fitted, table
from goldwire.config.model import LogConfig
from goldwire.observability.logs import set_up_logs


def test_one_takes_the_singular_and_every_other_number_the_plural() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 5_000)] == ["0 rows", "1 row", "2 rows", "5,000 rows"]
    assert [counted(n, "entity", "entities") for n in (1, 2)] == ["1 entity", "2 entities"]


def test_what_a_stranger_wrote_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(("reason",), [("nö\x1b[31m why\nsecond\x9b\u202e line",)])
    assert "nö [31m why second   line" in capsys.readouterr().out


@pytest.fixture
def _logs_as_before() -> Any:
    yield
    structlog.reset_defaults()


ATTEMPT = {
    "reason": "the connection was refused", "entity": "goldwire:entity:c98a7af53f29897a6bd6e5cff2cfd151", "version": 1,
    "entity_type": "Customer", "event_type": "EntityChanged", "attempt": 2, "bytes": 819,
    "correlation_id": "ingest-f3291393-4b08-47ef-b780-4dd27fa3216a", "target": "shop",
}  # fmt: skip


@pytest.mark.usefixtures("_logs_as_before")
@pytest.mark.parametrize(("items", "names_it"), [(1, True), (5, False)])
def test_a_line_for_people_is_short_and_names_an_entity_only_where_it_is_about_one(
    items: int, names_it: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs(LogConfig().format, LogConfig().level)
    structlog.get_logger("goldwire.relay").warning("unavailable", items=items, **ATTEMPT)
    (line,) = capsys.readouterr().err.splitlines()
    assert "[warning] unavailable target=shop" in line
    assert "reason='the connection was refused'" in line
    assert ("c98a7af53f29897a6bd6e5cff2cfd151" in line) is names_it
    assert "ingest-" not in line
    assert len(line) < 200


@pytest.mark.usefixtures("_logs_as_before")
def test_a_line_for_machines_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json", LogConfig().level)
    structlog.get_logger("goldwire.relay").warning("unavailable", items=5, **ATTEMPT)
    assert json.loads(capsys.readouterr().err).items() >= ATTEMPT.items()


COLUMNS = ("target", "kind", "last attempt")
ROWS = [("a-long-target-name", "service_bus", "the receiver cannot be reached"), ("x", None, "")]


def test_columns_share_a_width_without_breaking_a_word_or_say_that_they_cannot() -> None:
    assert fitted([10, 30], [10, 5], 100) == [10, 30]
    assert fitted([10, 30], [10, 5], 20) == [10, 10]
    assert fitted([20, 30], [5, 5], 20) == [10, 10]
    assert fitted([10, 30], [10, 11], 20) is None


@pytest.mark.parametrize(("width", "is_table"), [(200, True), (62, True), (40, False), (24, False)])
def test_a_table_that_does_not_fit_becomes_a_list_of_fields(
    width: int, is_table: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table(COLUMNS, ROWS)
    shown = capsys.readouterr().out
    for word in ("a-long-target-name", "service_bus", *["the", "receiver", "cannot", "be", "reached"]):
        assert word in shown.split()
    assert max(len(line) for line in shown.splitlines()) <= max(width, 14 + len("a-long-target-name"))
    assert shown.startswith("target  ")
    assert ("a-long-target-name" in shown.splitlines()[0]) is not is_table
