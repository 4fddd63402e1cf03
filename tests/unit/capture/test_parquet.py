"""Parquet rows become facts, with dates and decimals as exact text."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from goldwire.capture.fact import RejectedRow
from goldwire.capture.reader import read_file
from goldwire.capture.source_spec import SourceSpec
from goldwire.errors import InputError

SPEC = SourceSpec("crm", "Customer", id="id")


def written(tmp_path: Path, columns: Any) -> Any:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def test_rows_become_facts_with_their_types(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "id": [1, 2],
            "name": [" Ada ", None],
            "born": [dt.date(1815, 12, 10), None],
            "seen": [dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None],
            "balance": [Decimal("10.50"), None],
            "tags": [["a", "b"], None],
        },
    )
    facts = list(read_file(path, SPEC, 0))
    assert facts[0].attributes == {
        "name": b'"Ada"', "born": b'"1815-12-10"', "seen": b'"2026-01-02T03:04:05.000000Z"', "balance": b'"10.50"',
        "tags": b'["a","b"]',
    }  # fmt: skip
    assert set(facts[1].attributes.values()) == {b"null"}
    assert facts[1].origin.endswith("in.parquet:2")


def test_a_time_column_gives_the_time_of_observation(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": ["1"], "seen": [dt.datetime(2026, 1, 2, 3, 4, 5)]})  # noqa: DTZ001 - as Parquet has it
    (fact,) = read_file(path, SourceSpec("crm", "Customer", id="id", observed_at="seen"), 0)
    assert fact.observed_at == "2026-01-02T03:04:05.000000Z"


def test_bad_values_are_rejected_row_by_row(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": ["1", "2", None, "4"], "v": [float("nan"), float("inf"), 1.0, 1.5]})
    entries = list(read_file(path, SPEC, 0))
    assert [each.field if isinstance(each, RejectedRow) else "fact" for each in entries] == ["v", "v", "id", "fact"]


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="Parquet"):
        list(read_file(path, SPEC, 0))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column `id`"):
        list(read_file(written(tmp_path, {"key": [1]}), SPEC, 0))
