"""Tables of their own for what stood as documents under names: settings, placements, mastering rules, configurations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from goldwire.changelog.migrations import BREAKS

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
effect = BREAKS

_OF_A_TARGET = {"target_settings": "target ", "placement": "place "}
_OF_THE_STORE = {"mastering_rules": "mastered under", "configuration": "configuration"}


def upgrade() -> None:
    """Make the tables, take over what Goldwire kept, and drop the table of documents: Goldwire wrote no other names."""
    document = sa.table("document", *map(sa.column, ("name", "number", "saved_at", "document")))
    kept = (document.c.number, document.c.saved_at, document.c.document)
    names = ("number", "kept_at", "document")
    for table, prefix in _OF_A_TARGET.items():
        op.create_table(table, sa.Column("target", sa.Text, primary_key=True), *_columns())
        target = sa.func.substr(document.c.name, len(prefix) + 1)
        found = sa.select(target, *kept).where(sa.func.substr(document.c.name, 1, len(prefix)) == prefix)
        op.execute(_table(table, ("target", *names)).insert().from_select(["target", *names], found))
    for table, name in _OF_THE_STORE.items():
        op.create_table(table, *_columns())
        found = sa.select(*kept).where(document.c.name == name)
        op.execute(_table(table, names).insert().from_select(list(names), found))
    op.drop_table("document")


def _columns() -> list[sa.Column[object]]:
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return [
        sa.Column("number", big, primary_key=True),
        sa.Column("kept_at", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    ]


def _table(name: str, columns: tuple[str, ...]) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))
