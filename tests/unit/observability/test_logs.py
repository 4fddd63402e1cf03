"""Log lines: short for people, whole for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from goldwire.config.model import LogConfig
from goldwire.observability.logs import set_up_logs


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
