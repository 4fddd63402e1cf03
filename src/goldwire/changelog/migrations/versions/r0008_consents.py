"""What a person last let pass a target's guards.

Code of the schema before goes on: it knows no guards, and asks for no yes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import EXPANDS

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
effect = EXPANDS


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "consent",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
