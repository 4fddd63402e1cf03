"""The log of one partition of an event hub: append, read, find, forget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goldwire_emulator.broker.port import Event, NewEvent, PartitionState, Position
from goldwire_emulator.broker.refusals import ArgumentError
from goldwire_emulator.broker.store import Store

_PARTITION_SHIFT = 40
"""An event's row is its partition's number above and its sequence number below this bit: adjacent events are adjacent rows."""
_BEFORE_ALL = "-1"


class EventLog:
    """One partition.

    Args:
        store: holds it.
        row: its row in `partitions`.
    """

    def __init__(self, store: Store, row: int) -> None:
        self._store = store
        self._row = row
        self._base = row << _PARTITION_SHIFT
        self._wakes: list[Callable[[], None]] = []
        self.reread()
        store.on_undo(self.reread)

    def reread(self) -> None:
        """Take the partition's state from the store."""
        query = "SELECT next_sequence, next_offset, last_offset, last_enqueued_at_ms FROM partitions WHERE id = ?"
        row: tuple[int, int, int | None, int | None] | None = self._store.database.execute(query, (self._row,)).fetchone()
        if row is None:
            return  # the start that made the partition was undone
        self._next, self._next_offset, self._last_offset, self._last_ms = row
        first = self._store.database.execute(
            "SELECT min(position) FROM events WHERE position >= ? AND position < ?", (self._base, self._base + self._next)
        ).fetchone()[0]
        self._begin = int(self._next if first is None else first - self._base)

    def append(self, events: Sequence[NewEvent], now_ms: int) -> tuple[int, int]:
        """Append all events; return the first and the last sequence number."""
        first, enqueued = self._next, max(now_ms, self._last_ms or 0)
        sequence, offset, last_offset = self._next, self._next_offset, self._last_offset
        rows = []
        for event in events:
            rows.append((self._base + sequence, offset, enqueued, event.partition_key, event.payload))
            sequence, last_offset, offset = sequence + 1, offset, offset + len(event.payload)
        with self._store.transaction() as database:
            database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
            database.execute(
                "UPDATE partitions SET next_sequence = ?, next_offset = ?, last_offset = ?, last_enqueued_at_ms = ? "
                "WHERE id = ?",
                (sequence, offset, last_offset, enqueued, self._row),
            )
            self._next, self._next_offset, self._last_offset, self._last_ms = sequence, offset, last_offset, enqueued
        for wake in tuple(self._wakes):
            wake()
        return first, sequence - 1

    def read(self, from_sequence: int, limit: int, max_bytes: int) -> list[Event]:
        """Events from this sequence number on, or from the oldest that is held."""
        start = max(from_sequence, self._begin)
        if start >= self._next or limit <= 0:
            return []
        events: list[Event] = []
        size = 0
        rows = self._store.database.execute(
            "SELECT position, start, enqueued_at_ms, key, payload FROM events WHERE position >= ? AND position < ? "
            "ORDER BY position LIMIT ?",
            (self._base + start, self._base + self._next, limit),
        )
        for index, offset, enqueued_at_ms, key, payload in rows:
            events.append(Event(index - self._base, str(offset), enqueued_at_ms, key, payload))
            size += len(payload)
            if size >= max_bytes:
                break
        rows.close()
        return events

    def state(self) -> PartitionState:
        """What the partition holds now."""
        offset = _BEFORE_ALL if self._last_offset is None else str(self._last_offset)
        return PartitionState(self._begin, self._next - 1, offset, self._last_ms, self._begin == self._next)

    def start(self, position: Position) -> int:
        """The sequence number to read from.

        Raises:
            ArgumentError: the value is not of its kind.
        """
        if position.by == "latest":
            return self._next
        try:
            value = int(position.value)
        except ValueError:
            raise ArgumentError(f"'{position.value}' is no position by {position.by}: give a whole number") from None
        last = {"sequence_number": self._next - 1, "offset": -1 if self._last_offset is None else self._last_offset}
        if position.by in last and value > last[position.by]:
            raise ArgumentError(f"the {position.by} {value} was never given: the last one is {last[position.by]}")
        if position.by == "sequence_number":
            return max(0, value if position.inclusive else value + 1)
        column = "start" if position.by == "offset" else "enqueued_at_ms"
        return self._first_at(column, value if position.inclusive else value + 1)

    def _first_at(self, column: str, least: int) -> int:
        """The first sequence number whose column, which rises with it, is at least this."""
        low, high = self._begin, self._next
        while low < high:
            middle = (low + high) // 2
            # The column is one of two constants of this module.
            query = f"SELECT {column} FROM events WHERE position = ?"  # noqa: S608 - no outside text gets in
            if self._store.database.execute(query, (self._base + middle,)).fetchone()[0] >= least:
                high = middle
            else:
                low = middle + 1
        return low

    def forget(self, before_ms: int) -> None:
        """Remove events that were enqueued before this time."""
        keep = self._first_at("enqueued_at_ms", before_ms)
        if keep > self._begin:
            with self._store.transaction() as database:
                database.execute("DELETE FROM events WHERE position >= ? AND position < ?", (self._base, self._base + keep))
                self._begin = keep

    def oldest_ms(self) -> int | None:
        """When the oldest event that is held was enqueued."""
        row = self._store.database.execute(
            "SELECT enqueued_at_ms FROM events WHERE position = ?", (self._base + self._begin,)
        ).fetchone()
        return None if row is None or self._begin == self._next else int(row[0])

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every append, until the returned function is called."""
        self._wakes.append(wake)

        def stop() -> None:
            if wake in self._wakes:
                self._wakes.remove(wake)

        return stop
