"""The page of faults names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))))


def test_the_page_names_a_test_for_each_kind() -> None:
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    without = [row for row in rows if not row.startswith(("| Kind", "|--")) and "`tests/" not in row]
    assert without == []
    assert len(rows) > 15


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_names_is_there(name: str) -> None:
    path, _, function = name.partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {function or 'test_'}" in source
