"""A rejects file ends at its limit and says so; older ones beside the store do not pile up."""

from __future__ import annotations

import json
from pathlib import Path

from goldwire.capture.fact import RejectedRow
from goldwire.capture.rejects import RejectsFile
from goldwire.changelog.location import StoreLocation


def test_a_file_ends_at_its_limit_with_a_line_that_says_how_many_more_there_were(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(path, limit_bytes=300) as rejects:
        for number in range(100):
            rejects.write(RejectedRow(f"crm.csv:{number}", "name", "is missing"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == rejects.count + 1
    assert rejects.count + rejects.left_out == 100
    assert lines[-1]["reason"].startswith(f"this file ends at its limit of 300 bytes, and {rejects.left_out} more rows")
    assert sum(len(line) + 1 for line in path.read_text().splitlines()[:-1]) <= 300


def test_a_file_below_its_limit_ends_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(path) as rejects:
        rejects.write(RejectedRow("crm.csv:2", "name", "is missing"))
    assert (len(path.read_text().splitlines()), rejects.left_out) == (1, 0)


def test_the_oldest_files_beside_the_store_are_those_that_go_and_named_ones_stay(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path / "store.db")
    files = [location.rejects(f"2026-11-{day:02d}T100000.000000Z") for day in range(1, 8)]
    for file in (*files, tmp_path / "rejects-mine.jsonl"):
        file.write_text("")
    assert location.older_rejects(5) == files[:2]
    assert location.older_rejects(7) == []
