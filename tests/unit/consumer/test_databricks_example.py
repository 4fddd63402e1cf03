"""The views of Synapse name columns that the table has, with types that fit, and no row that is gone; the notebook compiles."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from goldwire_consumer.spark.rows import COLUMNS

EXAMPLE = Path(__file__).parents[3] / "examples" / "databricks"
SQL = (EXAMPLE / "synapse_view.sql").read_text(encoding="utf-8")
VIEWS = re.findall(r"CREATE OR ALTER VIEW (\w+) AS\n(.*?);\nGO", SQL, re.DOTALL)
FITS = {"string": "VARCHAR", "bigint": "BIGINT"}


def declared(view: str) -> dict[str, str]:
    """The columns that a view reads from the files, with their types."""
    [columns] = re.findall(r"\) WITH \(\n(.*?)\n *\) AS held", view, re.DOTALL)
    return dict(re.findall(r"(\w+) (\w+)", columns))


def test_there_are_views_over_delta_and_parquet_and_of_what_is_gone() -> None:
    assert [name for name, _ in VIEWS] == ["customers", "customers_of_parquet", "customers_gone"]


@pytest.mark.parametrize(("name", "view"), VIEWS, ids=[name for name, _ in VIEWS])
def test_a_view_reads_columns_that_the_table_has(name: str, view: str) -> None:
    columns = declared(view)
    assert {column: FITS[COLUMNS[column]] for column in columns} == columns
    used = set(re.findall(r"\b(?:held|newest)\.(\w+)", view)) - {"age"}
    assert used <= columns.keys(), name
    assert view.count("(") == view.count(")")


@pytest.mark.parametrize(("name", "view"), VIEWS, ids=[name for name, _ in VIEWS])
def test_a_view_shows_either_what_lives_or_what_is_gone(name: str, view: str) -> None:
    conditions = re.findall(r"\.gone IS (NOT NULL|NULL)", view)
    assert conditions == (["NOT NULL"] if name == "customers_gone" else ["NULL"])
    assert ("PARQUET" in view) == ("ORDER BY held.writes DESC" in view and "age = 1" in view)


def test_the_notebook_is_one_without_results_and_its_cells_compile() -> None:
    notebook = json.loads((EXAMPLE / "golden_records.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        ast.parse("".join(cell["source"]))
