"""A checksum for each row of the log and each control row.

An older store has none: what its rows hold now is taken for what was written. Every row is written again, so for as long as
this takes the store needs about as much room again. The formula stands here as it was, whatever becomes of it later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op
from msgspec import msgpack

from goldwire.changelog.migrations import BREAKS

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
effect = BREAKS

PAGE = 2_000
"""How many rows are in memory at once."""

_LOG = (
    "seq", "entity_id", "entity_type", "version", "kind", "committed_at", "correlation_id", "state", "changed", "merged_into",
    "entity_no",
)  # fmt: skip
_CONTROL = (
    "slot", "version", "seq", "presence", "hash", "previous_hash", "base_version", "revision", "remote_id", "settled_at",
    "outcome",
)  # fmt: skip


def upgrade() -> None:
    """Add the columns, and compute what stands in them."""
    _fill("log", _LOG, lambda row: crc32(msgpack.encode(row[:-1]), row[-1]))
    _fill("control", _CONTROL, lambda row: crc32(msgpack.encode(row)))


def _fill(name: str, columns: tuple[str, ...], checksum: Callable[[tuple[Any, ...]], int]) -> None:
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column(name, sa.Column("checksum", big, nullable=False, server_default=sa.text("0")))
    table = sa.table(name, *map(sa.column, columns), sa.column("checksum"))
    key = table.c[columns[0]]
    page = sa.select(*[table.c[column] for column in columns]).order_by(key).limit(PAGE)
    update = table.update().where(key == sa.bindparam("of")).values(checksum=sa.bindparam("sum"))
    connection = op.get_bind()
    rows = connection.execute(page).all()
    while rows:
        connection.execute(update, [{"of": row[0], "sum": checksum(tuple(row))} for row in rows])
        rows = connection.execute(page.where(key > rows[-1][0])).all()
