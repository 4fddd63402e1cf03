"""The simulation draws every setting that a person can make of a target, and the page about it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldwire_lab.simulation.coverage import BLOCKS, OF_A_TARGET, drawn, tables
from goldwire_lab.simulation.drawn_settings import NOT_DRAWN

PAGE = Path(__file__).parents[3] / "docs" / "simulation.md"
FIELDS = [f"{struct.__name__}.{name}" for struct in BLOCKS for name in struct.__struct_fields__]


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return drawn()


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*FIELDS, *OF_A_TARGET])
def test_a_setting_is_drawn_or_has_a_reason_why_not(found: dict[str, set[str]], setting: str) -> None:
    assert (len(found[setting]) > 1) != (setting in NOT_DRAWN), "drawn and excepted, or neither"


def test_every_exception_is_about_a_setting_that_there_is() -> None:
    assert NOT_DRAWN.keys() <= set(FIELDS)


@pytest.mark.slow
def test_the_page_about_the_simulation_has_the_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [line for line in tables().splitlines() if line and line not in text.splitlines()]
    assert missing == [], "copy the output of `python -m goldwire_lab.simulation.coverage` to docs/simulation.md"
