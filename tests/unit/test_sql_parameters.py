"""SQL of ours binds sequences to plain question marks: Python takes `?1` for a name, and refuses a sequence for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
NUMBERED = re.compile(r"(?:[=<>(,+]|LIMIT|OFFSET) ?\?\d")


@pytest.mark.parametrize("sql", ["WHERE a = ?1", "l.seq <= ?4)", "VALUES (?1, ?2)", "LIMIT ?3"])
def test_a_numbered_parameter_is_found(sql: str) -> None:
    assert NUMBERED.search(sql)


def test_no_query_numbers_its_parameters() -> None:
    assert [file.name for file in SOURCES if NUMBERED.search(file.read_text(encoding="utf-8"))] == []
