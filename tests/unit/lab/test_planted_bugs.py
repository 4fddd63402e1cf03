from __future__ import annotations

from pathlib import Path

import pytest

from goldwire_lab.planted_bugs import PLANTED_BUGS

SOURCES = Path(__file__).parents[3] / "src"


@pytest.mark.parametrize("name", sorted(PLANTED_BUGS))
def test_the_passage_that_a_planted_bug_replaces_stands_once_in_its_module(name: str) -> None:
    module, before, after = PLANTED_BUGS[name]
    text = SOURCES.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert text.count(before) == 1
    assert before != after
