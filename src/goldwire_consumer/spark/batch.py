"""Makes the function that a Spark stream calls for each batch: verify, reduce, set poison aside, merge into the table.

The guard stands in the table, so nothing depends on the number of a batch: one that runs again after a crash, or after the
stream's checkpoint was lost, finds what it wrote and ignores it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from goldwire_consumer.guard import Outcome
from goldwire_consumer.spark.letters import keep_letters
from goldwire_consumer.spark.partitions import COUNTED, REDUCED, VERIFIED, reduce, verify
from goldwire_consumer.spark.rows import COLUMNS
from goldwire_consumer.spark.table import SCHEMA, EntityTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_LOG = logging.getLogger("goldwire_consumer")
_NAMED = 20
"""How many entities with a gap the log names."""
_NO_ROW = f"CAST(NULL AS STRUCT<{SCHEMA}>) AS held"
_SUMS = [f"sum({name}) AS {name}" for name in (*COUNTED, "followed")]


class BatchSummary(Struct, frozen=True, kw_only=True):
    """What became of the messages of one batch."""

    batch_id: int
    """Of Spark."""
    outcomes: Counter[Outcome]
    """How many messages had which; together they are all messages that had a body."""
    followed: int
    """Events of earlier batches that waited and were applied now."""
    rows: int
    """How many rows of the table were written."""


def foreach_batch(
    table: EntityTable,
    dead_letters: str,
    *,
    body: str = "value",
    headers: str | None = None,
    source: str | None = None,
    dead_letters_max: int | None = 1_000,
    persist: bool = True,
    on_batch: Callable[[BatchSummary], None] | None = None,
) -> Callable[[DataFrame, int], None]:
    """Return the function for `DataStreamWriter.foreachBatch`.

    Args:
        table: where the entities are kept. One stream and one Goldwire target to a table: each target has chains of its own.
        dead_letters: a folder, as Spark writes it, for what is poison. It holds content of records.
        body: SQL expression for the event's bytes or text; a message without a body is passed over.
        headers: SQL expression for what travels beside it: a map, or Kafka's array of `key` and `value`. None: not checked.
        source: SQL expression for where a message came from, for people, such as `concat(topic, '/', partition, '@', offset)`.
        dead_letters_max: more poison in a batch ends the stream, because the fault is then likely here; None: never.
        persist: keep what was computed until the batch is merged. False where Spark refuses to, as serverless compute of
            Databricks does: messages are then verified and reduced several times, with the same result.
        on_batch: called after a batch was merged. A crash after it can repeat the batch, and the call.

    Returns:
        the function. It raises `TooManyDeadLettersError`, and `TryAgainError` where another stream writes the table; Spark then
        ends the query, and runs the same batch again when it is started again.
    """

    def take(batch: DataFrame, batch_id: int) -> None:
        messages = batch.selectExpr(
            f"CAST({body} AS BINARY) AS body",
            f"{headers or 'CAST(NULL AS MAP<STRING, STRING>)'} AS headers",
            f"CAST({source or 'NULL'} AS STRING) AS source",
        )
        verified = messages.where("body IS NOT NULL").mapInArrow(verify, _declared(VERIFIED))
        with _kept(verified, persist=persist):
            dead = keep_letters(verified.where("event IS NULL"), dead_letters, dead_letters_max)
            events = verified.where("event IS NOT NULL").select("entity_id", "event")
            reduced = _reduced(table, events)
            with _kept(reduced, persist=persist):
                summary = _merge(table, reduced, batch_id, dead)
        if on_batch is not None:
            on_batch(summary)

    return take


@contextmanager
def _kept(rows: DataFrame, *, persist: bool) -> Iterator[None]:
    if persist:
        rows.persist()
    try:
        yield
    finally:
        if persist:
            rows.unpersist()


def _reduced(table: EntityTable, events: DataFrame) -> DataFrame:
    """Bring the events of each entity together with its row, in one partition and one after another, and reduce them."""
    held = table.held(events.select("entity_id").distinct()).selectExpr(
        "entity_id", "CAST(NULL AS BINARY) AS event", f"struct({', '.join(COLUMNS)}) AS held"
    )
    both = events.selectExpr("entity_id", "event", _NO_ROW).unionByName(held)
    return both.repartition("entity_id").sortWithinPartitions("entity_id").mapInArrow(reduce, _declared(REDUCED))


def _merge(table: EntityTable, reduced: DataFrame, batch_id: int, dead: int) -> BatchSummary:
    [sums] = reduced.selectExpr(*_SUMS, "count_if(changed) AS rows").collect()
    if sums["parked"]:
        _warn_of_gaps(reduced)
    if sums["rows"]:
        table.merge(reduced.where("changed").select(*COLUMNS), sums["rows"])
    outcomes = Counter({Outcome(name): sums[name] or 0 for name in COUNTED} | {Outcome.DEAD: dead})
    return BatchSummary(batch_id=batch_id, outcomes=+outcomes, followed=sums["followed"] or 0, rows=sums["rows"])


def _warn_of_gaps(reduced: DataFrame) -> None:
    for row in reduced.where("parked > 0").select("entity_id", "version").limit(_NAMED).collect():
        text = "entity %s: an event after version %d is missing, and what follows it waits. Ask for a replay of this entity"
        _LOG.warning(text, row["entity_id"], row["version"])


def _declared(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())
