"""The first published schema: nothing to change, since a store is created from `goldwire.changelog.schema`."""

from __future__ import annotations

from goldwire.changelog.migrations import EXPANDS

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
effect = EXPANDS


def upgrade() -> None:
    """Change nothing: there is no older store."""
