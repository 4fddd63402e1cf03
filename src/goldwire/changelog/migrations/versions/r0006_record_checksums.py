"""A checksum for each record: what the rows hold now is taken for what was written.

Code of the schema before goes on: a record that it adds has no checksum, and one that it changes loses it by a trigger.
The formula and the trigger stand here as they were, whatever becomes of them later.
"""

from __future__ import annotations

from zlib import crc32

import sqlalchemy as sa
from alembic import op
from msgspec import msgpack

from goldwire.changelog.migrations import EXPANDS

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
effect = EXPANDS

PAGE = 2_000
"""How many rows are in memory at once."""

_COLUMNS = ("no", "system", "id", "entity_no", "entity_type", "body", "match_keys")
_TRIGGER = """
CREATE TRIGGER record_unchecked AFTER UPDATE OF entity_no, entity_type, body, match_keys ON record
WHEN new.checksum IS old.checksum AND new.checksum IS NOT NULL
BEGIN UPDATE record SET checksum = NULL WHERE no = new.no; END
"""


def upgrade() -> None:
    """Add the column, compute what stands in it, and let the trigger look after it."""
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("record", sa.Column("checksum", big))
    table = sa.table("record", *map(sa.column, _COLUMNS), sa.column("checksum"))
    page = sa.select(*[table.c[column] for column in _COLUMNS]).order_by(table.c.no).limit(PAGE)
    update = table.update().where(table.c.no == sa.bindparam("of")).values(checksum=sa.bindparam("sum"))
    connection = op.get_bind()
    rows = connection.execute(page).all()
    while rows:
        connection.execute(update, [{"of": row[0], "sum": crc32(msgpack.encode(tuple(row)))} for row in rows])
        rows = connection.execute(page.where(table.c.no > rows[-1][0])).all()
    op.execute(_TRIGGER)
