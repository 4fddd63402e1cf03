"""How much was ever taken in from each source, and what a target said to have lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import EXPANDS

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
effect = EXPANDS  # what older code takes in is not counted, and nothing else rests on the count


def upgrade() -> None:
    """Add the table and the columns; what was taken in before is not known."""
    op.add_column("target_cursor", sa.Column("loss", sa.Text))
    op.add_column("target_cursor", sa.Column("loss_since", sa.Text))
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "intake",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("rows", big, nullable=False),
        sa.Column("rejected", big, nullable=False),
        sa.Column("versions", big, nullable=False),
        sa.Column("merges", big, nullable=False),
        sa.Column("unmerges", big, nullable=False),
        sa.Column("last_at", sa.Text, nullable=False),
    )
