"""A checkpoint store for the Event Hubs SDK in the subscriber's own SQLite or PostgreSQL.

The port is the SDK's `CheckpointStore`. Ownership of a partition is claimed by compare and swap on its `etag`, as the SDK asks
for: of two clients that claim at once, one wins.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from goldwire_consumer.extra import extra
from goldwire_consumer.message import Position
from goldwire_consumer.store.base import Store
from goldwire_consumer.store.sql import SqlTransaction

with extra("azure"):
    from azure.eventhub import CheckpointStore

C = TypeVar("C")

Row = dict[str, Any]


class SqlCheckpointStore(CheckpointStore):
    """Keeps ownership and checkpoints in the tables of a `SqliteStore` or a `PostgresStore`."""

    def __init__(self, store: Store[Any]) -> None:
        """Use the tables of a store.

        Args:
            store: the one of the consumer, so that a checkpoint can stand in its transaction.
        """
        self._store = store
        self._watch: Callable[[str, str, str], bool] | None = None

    def watch(self, allows: Callable[[str, str, str], bool] | None) -> None:
        """Ask this before partitions are claimed, each time.

        Args:
            allows: given namespace, hub and consumer group, returns whether partitions may be claimed now; None: they may.
        """
        self._watch = allows

    def list_ownership(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, **_: Any
    ) -> Iterable[Row]:
        """Return who owns which partition; see the SDK's `CheckpointStore`."""
        named = _named(fully_qualified_namespace, eventhub_name, consumer_group)
        statement = "SELECT partition_id, owner, etag, modified_seconds FROM goldwire_ownership WHERE source = ?"
        with self._store.transaction() as transaction:
            rows = _sql(transaction).run(statement, (source_of(*named.values()),)).fetchall()
        return [
            {**named, "partition_id": row[0], "owner_id": row[1], "etag": row[2], "last_modified_time": row[3]} for row in rows
        ]

    def claim_ownership(self, ownership_list: Iterable[Row], **_: Any) -> Iterable[Row]:
        """Claim partitions, and return those that were won; see the SDK's `CheckpointStore`."""
        claims = sorted(ownership_list, key=lambda one: str(one["partition_id"]))
        if claims and self._watch is not None and not self._watch(*parts_of(claims[0])):
            return []
        with self._store.transaction() as transaction:
            return [claim for claim in claims if _claim(_sql(transaction), claim)]

    def update_checkpoint(self, checkpoint: Row, **_: Any) -> None:
        """Keep a checkpoint outside of a consumer's transaction; see the SDK's `CheckpointStore`."""
        with self._store.transaction() as transaction:
            transaction.checkpoint(
                Position(_source(checkpoint), checkpoint["partition_id"], checkpoint["offset"], checkpoint["sequence_number"])
            )

    def list_checkpoints(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, **_: Any
    ) -> Iterable[Row]:
        """Return the checkpoints of a hub; see the SDK's `CheckpointStore`."""
        named = _named(fully_qualified_namespace, eventhub_name, consumer_group)
        statement = "SELECT partition_id, read_to, sequence FROM goldwire_checkpoint WHERE source = ?"
        with self._store.transaction() as transaction:
            rows = _sql(transaction).run(statement, (source_of(*named.values()),)).fetchall()
        return [{**named, "partition_id": row[0], "offset": row[1], "sequence_number": row[2]} for row in rows]

    def forget(self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str) -> int:
        """Forget the checkpoints of a consumer group: its subscribers begin at their `starting_position` again.

        End them first, or they go on where they are and write new ones. To go back to a checkpoint that was kept, hand what
        `list_checkpoints` gave to `update_checkpoint`.

        Returns:
            how many partitions had one.
        """
        source = source_of(fully_qualified_namespace, eventhub_name, consumer_group)
        with self._store.transaction() as transaction:
            _sql(transaction).run("DELETE FROM goldwire_stream WHERE source = ?", (source,))
            return _sql(transaction).run("DELETE FROM goldwire_checkpoint WHERE source = ?", (source,)).rowcount

    def identity(self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str) -> str | None:
        """Return which hub the checkpoints are of; None where that was not kept."""
        source = source_of(fully_qualified_namespace, eventhub_name, consumer_group)
        with self._store.transaction() as transaction:
            row = _sql(transaction).run("SELECT identity FROM goldwire_stream WHERE source = ?", (source,)).fetchone()
        return None if row is None else str(row[0])

    def keep_identity(self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str, identity: str) -> None:
        """Keep which hub the checkpoints are of from now on."""
        source = source_of(fully_qualified_namespace, eventhub_name, consumer_group)
        with self._store.transaction() as transaction:
            _sql(transaction).run(
                "INSERT INTO goldwire_stream (source, identity) VALUES (?, ?) "
                "ON CONFLICT (source) DO UPDATE SET identity = excluded.identity",
                (source, identity),
            )


def source_of(namespace: str, hub: str, consumer_group: str) -> str:
    """Return how the checkpoints of one hub and consumer group are named; names there are not case-sensitive."""
    return f"{namespace}/{hub}/{consumer_group}".lower()


def _named(namespace: str, hub: str, consumer_group: str) -> dict[str, str]:
    return {"fully_qualified_namespace": namespace, "eventhub_name": hub, "consumer_group": consumer_group}


def parts_of(row: Row) -> tuple[str, str, str]:
    """Return namespace, hub and consumer group of a row of the SDK."""
    return row["fully_qualified_namespace"], row["eventhub_name"], row["consumer_group"]


def _source(row: Row) -> str:
    return source_of(*parts_of(row))


def _sql(transaction: Any) -> SqlTransaction[Any]:
    if not isinstance(transaction, SqlTransaction):
        raise TypeError("the checkpoint store needs a SqliteStore or a PostgresStore")
    return transaction


def _claim(sql: SqlTransaction[Any], claim: Row) -> bool:
    """Claim one partition; a claim that is won gets its new etag and time."""
    before, etag, now = claim.get("etag"), str(uuid.uuid4()), time.time()
    key = (_source(claim), claim["partition_id"])
    if before is None:
        done = sql.run(
            "INSERT INTO goldwire_ownership (source, partition_id, owner, etag, modified_seconds) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (source, partition_id) DO NOTHING",
            (*key, claim["owner_id"], etag, now),
        )
    else:
        done = sql.run(
            "UPDATE goldwire_ownership SET owner = ?, etag = ?, modified_seconds = ? "
            "WHERE source = ? AND partition_id = ? AND etag = ?",
            (claim["owner_id"], etag, now, *key, before),
        )
    if done.rowcount == 1:
        claim["etag"], claim["last_modified_time"] = etag, now
    return bool(done.rowcount == 1)
