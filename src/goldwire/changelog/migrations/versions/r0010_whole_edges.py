"""Edges that replace others stand beside those that do not, in what is kept of a record.

It breaks: older code would take the mark of the first for a part of the edge. Nothing is rewritten: what was kept before has no
mark, and counts as it did.
"""

from __future__ import annotations

from goldwire.changelog.migrations import BREAKS

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
effect = BREAKS


def upgrade() -> None:
    """Change nothing: only what older code may read is another."""
