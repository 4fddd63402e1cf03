"""What libraries log and Python warns of is one line, which names the place and withholds the text."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest

from goldwire.observability.library_lines import take_over_libraries


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level, warnings.showwarning, sys.excepthook
    yield
    root.handlers, root.level, warnings.showwarning, sys.excepthook = before


def spoken(log_format: Literal["console", "json"], capsys: pytest.CaptureFixture[str], level: str = "warning") -> list[str]:
    take_over_libraries(log_format, level)
    logging.getLogger("driver.sql").error("Failing row contains (%s)", "Ada")
    logging.getLogger("driver.sql").info("Ada again")
    try:
        int("Ada")
    except ValueError:
        logging.getLogger("driver.sql").exception("Ada\nfailed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        take_over_libraries(log_format, level)
        warnings.warn("Ada is deprecated", DeprecationWarning, stacklevel=1)
    logging.getLogger("goldwire_consumer").warning("a word of our own")
    return capsys.readouterr().err.splitlines()


def test_each_line_is_json_and_none_quotes_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    lines = spoken("json", capsys)
    assert "Ada" not in "".join(lines)
    read = [json.loads(line) for line in lines]
    assert [line["level"] for line in read] == ["error", "error", "warning", "warning"]
    assert read[0]["logger"] == "driver.sql"
    assert read[1]["error"] == "ValueError"
    assert read[2]["category"] == "DeprecationWarning"
    assert read[2]["where"].startswith("test_library_lines.py:")
    assert read[3]["event"] == "a word of our own"


def test_people_read_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    lines = spoken("console", capsys)
    assert len(lines) == 4
    assert "Ada" not in "".join(lines)
    assert "[error] a library logged something" in lines[0]
    assert "logger=driver.sql" in lines[0]


def test_a_level_leaves_lines_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line)["level"] for line in spoken("json", capsys, "error")] == ["error", "error", "warning"]


def test_a_defect_is_one_line_with_its_place_and_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    take_over_libraries("json", "warning")
    try:
        _ = {}["Ada"]
    except KeyError as error:
        sys.excepthook(KeyError, error, error.__traceback__)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["error"], found["level"]) == ("KeyError", "error")
    assert found["at"][0].startswith("test_library_lines.py:")
    assert "Ada" not in line
