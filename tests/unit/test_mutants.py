"""The runner of mutants: which tests it chooses, how it brings a mutant in, and the list of those that change nothing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from coverage import CoverageData

ROOT = Path(__file__).parents[2]
SOURCE = """LIMIT = 3


def within(number: int, limit: int = LIMIT) -> bool:
    return number < limit


def all_within(numbers: list[int]) -> bool:
    return all(within(number) for number in numbers)
"""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / "mutants" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def selection() -> ModuleType:
    return script("selection")


@pytest.fixture(scope="module")
def forks() -> ModuleType:
    return script("forks")


@pytest.fixture(scope="module")
def report() -> ModuleType:
    return script("report")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one source file and one test file, measured: one test for each function."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "limits.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_limits.py").touch()
    data = CoverageData(str(tmp_path / "coverage.db"))
    for context, lines in (("", {1, 4, 8}), ("test_one|run", {5}), ("TestMany::test_all|run", {5, 9})):
        data.set_context(f"tests/test_limits.py::{context}" if context else "")
        data.add_lines({"src/limits.py": lines})
    data.write()
    (tmp_path / "junit.xml").write_text(
        '<testsuite><testcase classname="tests.test_limits" name="test_one" time="0.2"/>'
        '<testcase classname="tests.test_limits.TestMany" name="test_all" time="0.1"/></testsuite>',
        encoding="utf-8",
    )
    return tmp_path


def chosen(selection: ModuleType, root: Path, line: int, budget_seconds: float = 10, left: int = 0) -> list[str]:
    found = selection.Selection(root, root / "coverage.db", root / "junit.xml", budget_seconds)
    tests, left_out = found.tests({"file": "src/limits.py", "room": "limits", "first_line": line, "last_line": line})
    assert left_out == left
    return [test.partition("::")[2] for test in tests]


def test_a_mutant_gets_the_tests_that_run_its_lines_the_quickest_first(selection: ModuleType, measured: Path) -> None:
    assert chosen(selection, measured, 5) == ["TestMany::test_all", "test_one"]
    assert chosen(selection, measured, 9) == ["TestMany::test_all"]


def test_what_goes_beyond_the_budget_is_left_out(selection: ModuleType, measured: Path) -> None:
    assert chosen(selection, measured, 5, budget_seconds=0.25, left=1) == ["TestMany::test_all"]


def test_a_mutant_outside_functions_gets_the_tests_that_run_what_it_defines(selection: ModuleType, measured: Path) -> None:
    assert chosen(selection, measured, 4) == ["TestMany::test_all"]  # line 9 names `within`


def test_a_default_stands_outside_the_function(selection: ModuleType, measured: Path) -> None:
    file = measured / "src" / "limits.py"
    assert [line for line in range(1, 10) if selection.in_function(file, line)] == [5, 9]


def test_a_loaded_function_becomes_the_mutant(forks: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "limits.py"
    file.write_text(SOURCE, encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(SOURCE, str(file), "exec"), names)
    within, all_within = names["within"], names["all_within"]
    assert isinstance(within, FunctionType)
    assert isinstance(all_within, FunctionType)
    assert (within(3), all_within([2, 3])) == (False, False)
    assert forks.exchange(file, SOURCE.replace("number < limit", "number <= limit"), [within, all_within])
    assert (within(3), all_within([2, 3])) == (True, True)


def test_what_changes_no_function_is_not_taken_for_a_mutant(forks: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "limits.py"
    file.write_text(SOURCE, encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(SOURCE, str(file), "exec"), names)
    assert not forks.exchange(file, SOURCE.replace("LIMIT = 3", "LIMIT = 4"), [names["within"]])


def test_an_endless_mutant_counts_as_killed_and_an_equivalent_one_does_not_count(report: ModuleType) -> None:
    counts = {"goldwire/event": report.Counter(killed=7, timeout=1, survived=2, equivalent=5)}
    assert "| goldwire/event | 15 | 8 | 2 | 0 | 5 | 80.0 % |" in report.table(counts)


def test_each_mutant_that_changes_nothing_can_still_be_made_and_has_a_reason(report: ModuleType) -> None:
    for each in report.equivalents():
        text = [line.strip() for line in (ROOT / each["file"]).read_text(encoding="utf-8").splitlines()]
        assert set(each["before"].splitlines()) <= set(text), each
        assert len(each["reason"]) > 10
        assert each["before"] != each["after"]
    assert len({json.dumps(each) for each in report.equivalents()}) == len(report.equivalents())
