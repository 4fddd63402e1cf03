"""Files whose rows have no time: what is read later counts, whatever the clock showed."""

from __future__ import annotations

import json
from pathlib import Path

from goldwire.clock import SystemClock
from goldwire.config.reader import load
from goldwire.services.application import Application


class SetClock(SystemClock):
    """Shows what it is set to."""

    shown = 0.0

    def now(self) -> float:
        return self.shown


CONFIGURATION = """
types:
  Customer:
    attributes: {name: {}}
sources:
  crm: {system: crm, type: Customer, id: id, attributes: {name: name}}
  erp: {system: erp, type: Customer, id: id, entity_id: hub, attributes: {name: name}}
"""


def name_of(application: Application) -> str:
    (head,) = application.store.heads()
    return str(json.loads(head.state)["attributes"]["name"]["value"])


def test_what_was_read_last_counts_although_the_clock_was_set_back(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    for number, name in enumerate(("Ada", "Ada", "Bea")):
        (tmp_path / f"{number}.csv").write_text(f"id,name\n1,{name}\n")
    clock = SetClock()
    # The second reading is far ahead and commits nothing, so the log does not know how late it was; then the clock is right.
    for number, (shown, versions) in enumerate(((1_800_000_000.0, 1), (1_900_000_000.0, 0), (1_800_000_060.0, 1))):
        clock.shown = shown
        with Application(load(tmp_path / "goldwire.yaml"), clock) as application:
            assert application.ingest_service().files("crm", [tmp_path / f"{number}.csv"]).versions == versions
    with Application(load(tmp_path / "goldwire.yaml"), clock) as application:
        assert name_of(application) == "Bea"


def test_reading_from_python_is_never_dated_before_the_newest_change(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    (tmp_path / "crm.csv").write_text("id,name,hub\n1,Ada,hub:1\n")
    (tmp_path / "erp.csv").write_text("id,name,hub\nA,Bea,hub:1\n")
    clock = SetClock()
    with Application(load(tmp_path / "goldwire.yaml"), clock) as application:
        clock.shown = 1_900_000_000.0
        application.ingest_service().files("erp", [tmp_path / "erp.csv"])
        clock.shown = 1_800_000_000.0
        (tmp_path / "erp.csv").write_text("id,name,hub\nB,Cem,hub:1\n")
        application.ingest_service().files("erp", [tmp_path / "erp.csv"])
        assert name_of(application) == "Cem", "two records of one entity: the most recent wins"
