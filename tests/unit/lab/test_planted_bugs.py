from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from goldwire_lab.planted import ALL_BUGS, score
from goldwire_lab.planted_bugs import PLANTED_BUGS
from goldwire_lab.planted_bugs_fresh import FRESH_BUGS, KIT_BUGS
from goldwire_lab.uncaught_bugs import NOT_CAUGHT

ROOT = Path(__file__).parents[3]
EVERY = {**ALL_BUGS, **KIT_BUGS}


@pytest.mark.parametrize("name", sorted(EVERY))
def test_the_passage_that_a_planted_bug_replaces_stands_once_in_its_module(name: str) -> None:
    module, before, after = EVERY[name]
    text = (ROOT / "src").joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert text.count(before) == 1
    assert before != after
    compile(text.replace(before, after), module, "exec")


def test_no_bug_is_planted_twice() -> None:
    assert len(EVERY) == len(PLANTED_BUGS) + len(FRESH_BUGS) + len(KIT_BUGS)
    assert [change for change, times in Counter(EVERY.values()).items() if times > 1] == []


def test_there_are_120_planted_bugs_and_half_of_them_were_chosen_by_fresh_eyes() -> None:
    assert len(EVERY) >= 120
    assert 2 * (len(FRESH_BUGS) + len(KIT_BUGS)) >= len(EVERY)


@pytest.mark.parametrize("name", sorted(NOT_CAUGHT))
def test_what_the_simulation_lets_pass_names_a_unit_test_that_there_is(name: str) -> None:
    assert name in EVERY
    file, _, test = NOT_CAUGHT[name].partition("::")
    files = [ROOT / file, *(ROOT / "src" / "goldwire" / "testing").glob("*_suite*.py")]  # a suite's tests are inherited
    trees = [ast.parse(each.read_text(encoding="utf-8")) for each in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test.rpartition("::")[2].partition("[")[0] in functions


def test_the_page_shows_the_score() -> None:
    assert score() in (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8"), (
        "run `python -m goldwire_lab.planted --score` and put what it prints into docs/simulation.md"
    )
