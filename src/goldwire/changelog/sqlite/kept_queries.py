"""The statements of the SQLite engine about what is kept as it was applied, the same for each of four tables, and of intake."""

# ruff: noqa: S608 - what is put into a statement are the names of this very file

from __future__ import annotations

from typing import NamedTuple


class KeptStatements(NamedTuple):
    """What is asked of one table; a table of targets takes the target first."""

    newest: str
    """The number and the document that were kept last."""
    insert: str
    all: str
    """Number, moment and document, oldest first."""


def _statements(table: str, *, of_a_target: bool) -> KeptStatements:
    where = " WHERE target = ?" if of_a_target else ""
    names, marks = ("target, ", "?, ") if of_a_target else ("", "")
    return KeptStatements(
        f"SELECT number, document FROM {table}{where} ORDER BY number DESC LIMIT 1",
        f"INSERT INTO {table} ({names}number, kept_at, document) VALUES ({marks}?, ?, ?)",
        f"SELECT number, kept_at, document FROM {table}{where} ORDER BY number",
    )


SETTINGS = _statements("target_settings", of_a_target=True)
PLACEMENTS = _statements("placement", of_a_target=True)
MASTERING_RULES = _statements("mastering_rules", of_a_target=False)
CONFIGURATIONS = _statements("configuration", of_a_target=False)

INTAKE = "SELECT source, rows, rejected, versions, merges, unmerges, last_at FROM intake ORDER BY source"
ADD_INTAKE = """
INSERT INTO intake (source, rows, rejected, versions, merges, unmerges, last_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source) DO UPDATE SET rows = rows + excluded.rows, rejected = rejected + excluded.rejected,
versions = versions + excluded.versions, merges = merges + excluded.merges, unmerges = unmerges + excluded.unmerges,
last_at = max(last_at, excluded.last_at)
"""
