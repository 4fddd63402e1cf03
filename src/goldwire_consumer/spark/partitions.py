"""What Spark's executors do with the rows of one partition: verify messages, and reduce the events of each entity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from goldwire_consumer.dead_letter import dead_letter
from goldwire_consumer.errors import PoisonError
from goldwire_consumer.guard import Outcome
from goldwire_consumer.message import Message, read, wire_headers
from goldwire_consumer.spark.arrow import arrow_schema
from goldwire_consumer.spark.reduction import reduce_entity
from goldwire_consumer.spark.rows import COLUMNS, from_cells, read_event, to_cells, write_event

LETTER = {
    "fingerprint": "string",
    "kind": "string",
    "text": "string",
    "entity_id": "string",
    "version": "bigint",
    "body": "binary",
    "headers": "map<string,string>",
    "source": "string",
    "recorded_at": "string",
}
"""The columns of a dead letter, in the order of its fields."""
VERIFIED = {**LETTER, "event": "binary"}
"""What `verify` returns: `event` where the message is good, else the columns of a dead letter."""
COUNTED = ("applied", "joined", "healed", "ignored", "parked")
"""The outcomes that `reduce` counts."""
REDUCED = {**COLUMNS, "changed": "boolean", "followed": "bigint", **dict.fromkeys(COUNTED, "bigint")}
"""What `reduce` returns: the row of the table for each entity, and what became of its events."""
_ROWS_AT_ONCE = 1_000


def verify(batches: Iterator[Any]) -> Iterator[Any]:
    """Read and verify messages; for `DataFrame.mapInArrow`.

    Args:
        batches: record batches with `body`, `headers` (a map, or pairs of `key` and `value` as Kafka has them; may be null)
            and `source` (text, may be null).

    Yields:
        record batches with the columns of `VERIFIED`, a row for each message.
    """
    return _gathered((_verified(row) for batch in batches for row in batch.to_pylist()), VERIFIED)


def reduce(batches: Iterator[Any]) -> Iterator[Any]:
    """Reduce events to rows of the table; for `DataFrame.mapInArrow`.

    Args:
        batches: record batches with `entity_id`, by which they are ordered, and either `event` or `held`: the cells of a row of
            the table, as often as there are rows of the entity.

    Yields:
        record batches with the columns of `REDUCED`, a row for each entity that has an event.
    """
    rows = (row for batch in batches for row in batch.to_pylist())
    groups = (list(group) for _, group in groupby(rows, itemgetter("entity_id")))
    return _gathered((_reduced(group) for group in groups if any(row["event"] is not None for row in group)), REDUCED)


def _verified(row: Mapping[str, Any]) -> dict[str, Any]:
    message = Message(body=bytes(row["body"]), headers=_headers(row["headers"]), source=row["source"] or "")
    try:
        event = read(message)
    except PoisonError as poison:
        letter = dead_letter(message, poison.kind, str(poison), poison.entity_id, poison.version)
        return {**msgspec.structs.asdict(letter), "headers": list(letter.headers.items()), "event": None}
    return {**dict.fromkeys(LETTER), "entity_id": event.entity_id, "event": write_event(event)}


def _headers(cell: Any) -> dict[str, str]:
    pairs = ((one["key"], one["value"]) if isinstance(one, dict) else one for one in cell or ())
    return wire_headers(dict(pairs))


def _reduced(group: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [row["held"] for row in group if row["held"] is not None]
    held = from_cells(max(rows, key=itemgetter("writes"))) if rows else None
    events = [read_event(bytes(row["event"])) for row in group if row["event"] is not None]
    reduction = reduce_entity(held, events)
    counts = {name: reduction.outcomes[Outcome(name)] for name in COUNTED}
    return {**to_cells(reduction.row), "changed": reduction.changed, "followed": reduction.followed, **counts}


def _gathered(rows: Iterable[dict[str, Any]], columns: Mapping[str, str]) -> Iterator[Any]:
    """Return rows as record batches, so that a partition need not fit into memory."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - Spark brings it where this runs

    schema = arrow_schema(columns)
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) >= _ROWS_AT_ONCE:
            yield pa.RecordBatch.from_pylist(waiting, schema=schema)
            waiting.clear()
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=schema)
