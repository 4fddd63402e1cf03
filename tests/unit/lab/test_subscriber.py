"""The figure of the kit for subscribers and its floor do the same work."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.errors import ConfigError
from goldwire_lab.bench import sample
from goldwire_lab.bench import subscriber as subscribing
from goldwire_lab.bench.setting import Setting

ENTITIES = 2 * subscribing.BATCH + 1


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    with sample.application(tmp_path, tmp_path / "store.db", {}) as application:
        for _ in sample.fill(application.store, range(ENTITIES), ENTITIES):
            pass
    folder = tmp_path / "figure"
    folder.mkdir()
    return Setting(folder, tmp_path / "store.db", ENTITIES, 1, lambda _: None)


@pytest.mark.slow
def test_the_kit_and_the_floor_leave_the_same_table(setting: Setting) -> None:
    figure = subscribing.subscriber(setting)
    assert (figure.events, figure.rounds) == (ENTITIES, 1)
    floor, kit = (customers(setting.folder / f"{name}-0.db") for name in ("floor", "kit"))
    assert len(floor) == ENTITIES
    assert floor == kit


def test_without_the_kit_the_figure_names_the_package(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "goldwire_consumer", None)  # as where it is not installed
    assert not subscribing.installed()
    with pytest.raises(ConfigError, match=r"pip install \./src/goldwire_consumer"):
        subscribing.subscriber(setting)


def customers(file: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM customer ORDER BY id").fetchall()
