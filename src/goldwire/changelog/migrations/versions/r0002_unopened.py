"""Why a target could not be opened, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import EXPANDS

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
effect = EXPANDS


def upgrade() -> None:
    """Add both to what is known of a target; nothing is known of them yet."""
    op.add_column("target_cursor", sa.Column("unopened", sa.Text))
    op.add_column("target_cursor", sa.Column("unopened_since", sa.Text))
