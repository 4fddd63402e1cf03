"""Which code may still use the store: the oldest schema revision of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import BREAKS

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
effect = BREAKS  # code from before asks in no transaction whether it still may


def upgrade() -> None:
    """Add the table; the upgrade itself writes its row."""
    op.create_table("schema_compatibility", sa.Column("oldest_code", sa.Text, primary_key=True))
