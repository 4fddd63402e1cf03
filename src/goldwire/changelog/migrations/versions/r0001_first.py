"""The first published schema: nothing to change, since a store is created from `goldwire.changelog.schema`."""

from __future__ import annotations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: there is no older store."""
