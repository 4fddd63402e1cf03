"""What a person last let pass a target's guards.

It breaks: older code cannot read revisions that say by which rule their deltas are made, and would make others of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import BREAKS

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
effect = BREAKS


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "consent",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
