"""The rows of messages: one for each copy that an entity holds, and one body that the copies of a topic share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from goldwire_emulator.broker.message import Edits, MessageState, NewMessage, StoredMessage

COLUMNS = (
    "m.id, m.sequence, m.origin_sequence, m.state, m.session, m.enqueued_at_ms, m.due_at_ms, m.expires_at_ms, m.life_ms, "
    "m.deliveries, m.lock_token, m.locked_until_ms, m.dead_letter_source, m.edits, m.body, m.size, m.entity"
)
"""What `Row` is made of; the table is called `m`."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row of `messages`, without its body; the names are the columns'."""

    id: int
    sequence: int
    origin_sequence: int
    state: MessageState
    session: str | None
    enqueued_at_ms: int
    due_at_ms: int | None
    expires_at_ms: int | None
    life_ms: int | None
    deliveries: int
    lock_token: bytes | None
    locked_until_ms: int | None
    dead_letter_source: str | None
    edits: bytes | None
    body: int
    size: int
    entity: int


class _Fields(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a message beside its encoded form."""

    system: dict[str, object]
    application: dict[str, object]
    time_to_live_ms: int | None


def add_body(database: sqlite3.Connection, message: NewMessage, *, holders: int = 1) -> int:
    """Store what so many copies of a message share; return its row."""
    fields = _Fields(message.system, message.application, message.time_to_live_ms)
    made = database.execute(
        "INSERT INTO bodies (holders, fields, payload) VALUES (?, ?, ?)",
        (holders, msgspec.msgpack.encode(fields), message.payload),
    )
    return int(made.lastrowid or 0)


def keep_body(database: sqlite3.Connection, body: int, holders: int) -> None:
    """Say how many copies share a body; without any it goes."""
    if holders:
        database.execute("UPDATE bodies SET holders = ? WHERE id = ?", (holders, body))
    else:
        database.execute("DELETE FROM bodies WHERE id = ?", (body,))


def add_row(database: sqlite3.Connection, row: Row) -> None:
    """Store one copy; the row's id is ignored, and its body counts it already."""
    database.execute(
        "INSERT INTO messages (sequence, origin_sequence, state, session, enqueued_at_ms, due_at_ms, expires_at_ms, life_ms, "
        "deliveries, lock_token, locked_until_ms, dead_letter_source, edits, body, size, entity) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        msgspec.structs.astuple(row)[1:],
    )


def remove_row(database: sqlite3.Connection, row: Row) -> None:
    """Remove one copy, and the body with the last of them."""
    database.execute("DELETE FROM messages WHERE id = ?", (row.id,))
    database.execute("UPDATE entities SET bytes = bytes - ? WHERE id = ?", (row.size, row.entity))
    if database.execute("DELETE FROM bodies WHERE id = ? AND holders = 1", (row.body,)).rowcount == 0:
        database.execute("UPDATE bodies SET holders = holders - 1 WHERE id = ?", (row.body,))


def next_sequence(database: sqlite3.Connection, entity: int) -> int:
    """Take the entity's next sequence number."""
    query = "UPDATE entities SET next_sequence = next_sequence + 1 WHERE id = ? RETURNING next_sequence - 1"
    return int(database.execute(query, (entity,)).fetchone()[0])


def admit(database: sqlite3.Connection, entity: int, size: int) -> int:
    """Count what comes into an entity; return how many bytes it holds now."""
    query = "UPDATE entities SET bytes = bytes + ? WHERE id = ? RETURNING bytes"
    return int(database.execute(query, (size, entity)).fetchone()[0])


def admit_next(database: sqlite3.Connection, entity: int, size: int) -> tuple[int, int]:
    """Do both at once; return the sequence number and the bytes."""
    sequence, held = database.execute(
        "UPDATE entities SET next_sequence = next_sequence + 1, bytes = bytes + ? WHERE id = ? "
        "RETURNING next_sequence - 1, bytes",
        (size, entity),
    ).fetchone()
    return int(sequence), int(held)


def select(database: sqlite3.Connection, condition: str, values: Iterable[object]) -> list[Row]:
    """The rows that meet a condition, which is text of this package, never of outside."""
    query = f"SELECT {COLUMNS} FROM messages m WHERE {condition}"  # noqa: S608 - the condition is a constant of a caller here
    return [Row(row[0], row[1], row[2], MessageState(row[3]), *row[4:]) for row in database.execute(query, tuple(values))]


def stored(database: sqlite3.Connection, rows: Sequence[Row]) -> list[StoredMessage]:
    """The messages of these rows, with their bodies."""
    return [
        _stored(row, database.execute("SELECT payload FROM bodies WHERE id = ?", (row.body,)).fetchone()[0]) for row in rows
    ]


def _stored(row: Row, payload: bytes) -> StoredMessage:
    return StoredMessage(
        sequence_number=row.sequence,
        origin_sequence_number=row.origin_sequence,
        state=row.state,
        session_id=row.session,
        enqueued_at_ms=row.enqueued_at_ms,
        due_at_ms=row.due_at_ms,
        expires_at_ms=row.expires_at_ms,
        time_to_live_ms=row.life_ms,
        delivery_count=row.deliveries,
        lock_token=None if row.lock_token is None else UUID(bytes=row.lock_token),
        locked_until_ms=row.locked_until_ms,
        dead_letter_source=row.dead_letter_source,
        payload=payload,
        edits=edits_of(row),
    )


def edits_of(row: Row) -> Edits:
    """What was changed on a copy."""
    return Edits() if row.edits is None else msgspec.msgpack.decode(row.edits, type=Edits)


def packed(edits: Edits) -> bytes | None:
    """As it stands in a row."""
    return msgspec.msgpack.encode(edits) if edits else None


def as_new(database: sqlite3.Connection, row: Row) -> NewMessage:
    """A stored copy as a message that can be sent on, with its edits."""
    fields, payload = database.execute("SELECT fields, payload FROM bodies WHERE id = ?", (row.body,)).fetchone()
    kept = msgspec.msgpack.decode(fields, type=_Fields)
    message = NewMessage(
        payload=payload,
        system=kept.system,
        application=kept.application,
        time_to_live_ms=kept.time_to_live_ms,
        dead_letter_source=row.dead_letter_source,
        origin_sequence=row.origin_sequence,
    )
    return message.edited(edits_of(row))
