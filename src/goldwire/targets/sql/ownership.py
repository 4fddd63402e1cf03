"""Keeps beside the fence which target of which store writes a table, so that no other one does."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Connection
from sqlalchemy.sql.selectable import TableClause

from goldwire.errors import ConfigError

_MARK = "goldwire:store:"
"""Begins, where an entity id stands otherwise, the row that says who writes the table."""

_NAME_LIMIT = 120
"""A longer name of a target is kept as its hash: the column may take 200 characters."""


class Owner(Struct, frozen=True):
    """Who writes a table."""

    store_id: str
    target: str

    @property
    def text(self) -> str:
        """As it is kept."""
        name = self.target
        if len(name) > _NAME_LIMIT:
            name = f"sha256-{sha256(name.encode()).hexdigest()}"
        return f"{_MARK}{self.store_id}:{name}"


def claim(connection: Connection, tombs: TableClause, spellings: Sequence[str], owner: Owner) -> None:
    """Keep who writes a table from now on, in a transaction that holds the lock of a table of this target.

    Args:
        connection: in that transaction.
        tombs: the table of tombstones.
        spellings: the table with the schema in which it is, and what older releases may have called it.
        owner: who writes it.

    Raises:
        ConfigError: another target writes it, or another store does; the text holds the statement that gives it free.
    """
    ours = tombs.c.target_table.in_(spellings) & tombs.c.entity_id.like(f"{_MARK}%")
    held = sorted(map(tuple, connection.execute(sa.select(tombs.c.entity_id, tombs.c.target_table).where(ours))))
    if not held:
        row = {"target_table": spellings[0], "entity_id": owner.text, "timestamp": "", "version": 0}
        connection.execute(sa.insert(tombs), [row])
    others = [one for one in held if one[0] != owner.text]
    if not others:
        return
    text, table = others[0]
    store_id, _, name = text.removeprefix(_MARK).partition(":")
    who = f"target '{name}' of this store" if store_id == owner.store_id else "another store"
    where = f"target_table = '{table}' AND entity_id LIKE '{_MARK}%'"
    mend = f"DELETE FROM {tombs.fullname} WHERE {where}"  # noqa: S608 - is shown to a person, with names of the configuration
    raise ConfigError(
        f"target '{owner.target}': table {table} is written by {who}, and each would take the other's records for its own; "
        f"give it a table of its own. If nothing else writes it any more, run: {mend}; then `goldwire resync {owner.target}`"
    )
