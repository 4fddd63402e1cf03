"""A checksum for each record, from its next change on: none is computed here.

To fill in the records that are there would hold the write lock for as long as that takes, and relays that run meanwhile would
end as busy. Code of the schema before goes on: a record that it adds has no checksum, and one that it changes loses it by a
trigger. The trigger stands here as it was, whatever becomes of it later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import EXPANDS

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
effect = EXPANDS

_TRIGGER = """
CREATE TRIGGER record_unchecked AFTER UPDATE OF entity_no, entity_type, body, match_keys ON record
WHEN new.checksum IS old.checksum AND new.checksum IS NOT NULL
BEGIN UPDATE record SET checksum = NULL WHERE no = new.no; END
"""


def upgrade() -> None:
    """Add the column, and let the trigger look after it."""
    op.add_column("record", sa.Column("checksum", sa.BigInteger().with_variant(sa.Integer, "sqlite")))
    op.execute(_TRIGGER)
