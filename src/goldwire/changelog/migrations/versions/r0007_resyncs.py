"""Rows of the log that are addressed to one target, and the records of the resyncs that append them.

It breaks: older code would send such a row to every target.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import BREAKS

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
effect = BREAKS


def upgrade() -> None:
    """Add the column with its index, and the table."""
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("log", sa.Column("addressed_to", sa.Text))
    addressed = sa.text("addressed_to IS NOT NULL")
    op.create_index("log_addressed", "log", ["seq", "addressed_to"], sqlite_where=addressed)
    op.create_table(
        "resync",
        sa.Column("no", big, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_index("resync_target", "resync", ["target", "no"])
