"""How messages come into a queue or a topic: checked, without duplicates, now or when they are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

from goldwire_emulator.broker import message_rows as rows
from goldwire_emulator.broker.bus_context import BusContext
from goldwire_emulator.broker.message import Edits, MessageState, NewMessage
from goldwire_emulator.broker.message_rows import Row
from goldwire_emulator.broker.refusals import (
    ArgumentError,
    MessageNotFoundError,
    NotAllowedError,
    RefusalError,
    TooLargeError,
)
from goldwire_emulator.broker.throttle import Throttle

MAX_ID_CHARACTERS = 128
RETRY_MS = 1000
"""When a scheduled message that could not be stored is tried again."""


class Entrance:
    """What senders of one queue or topic see.

    Args:
        context: what it shares with the other entities.
        name: of the queue or topic.
        duplicate_window_ms: how long a message id is remembered; None: not at all.
        needs_session: every message must have a session id.
        deliver: stores a message that is due.
    """

    def __init__(
        self,
        context: BusContext,
        name: str,
        *,
        duplicate_window_ms: int | None,
        needs_session: bool,
        deliver: Callable[[NewMessage, int], None],
    ) -> None:
        self.name = name
        self.throttle = Throttle(context.clock, context.limits.ingress_per_second)
        self._context = context
        self._database = context.store.database
        self._id = context.entity(name)
        self._window_ms = duplicate_window_ms
        self._needs_session = needs_session
        self._deliver = deliver
        context.add_inlet(name, self)

    @property
    def max_message_bytes(self) -> int:
        """The largest message or batch it takes."""
        return self._context.limits.max_message_bytes

    def send(self, messages: Sequence[NewMessage]) -> None:
        """Take all of the messages or none; a duplicate is taken and forgotten, as the service does it.

        Raises:
            RefusalError: see its kinds; nothing was stored.
        """
        self._check(messages)
        now_ms = self._context.now_ms()
        with self._context.store.transaction():
            for message in map(_with_id, messages):
                if message.due_at_ms is not None and message.due_at_ms > now_ms:
                    self._schedule(message, message.due_at_ms, now_ms)
                else:
                    self.accept(message, now_ms)

    def schedule(self, messages: Sequence[NewMessage]) -> list[int]:
        """Take messages for later; return the numbers by which they can be cancelled.

        Raises:
            RefusalError: see its kinds; nothing was stored.
        """
        self._check(messages)
        now_ms = self._context.now_ms()
        with self._context.store.transaction():
            return [
                self._schedule(each, now_ms if each.due_at_ms is None else each.due_at_ms, now_ms)
                for each in map(_with_id, messages)
            ]

    def cancel(self, sequence_numbers: Sequence[int]) -> None:
        """Forget scheduled messages.

        Raises:
            MessageNotFoundError: one of them is not there, or was due already; nothing was cancelled.
        """
        self._context.catch_up()
        with self._context.store.transaction():
            for number in sequence_numbers:
                found = rows.select(self._database, "m.entity = ? AND m.sequence = ? AND m.state = 2", (self._id, number))
                if not found:
                    raise MessageNotFoundError(f"'{self.name}' has no scheduled message {number}")
                rows.remove_row(self._database, found[0])

    def accept(self, message: NewMessage, now_ms: int) -> None:
        """Store a message that is due, unless it is a duplicate."""
        if self._is_new(message, now_ms):
            self._deliver(message, now_ms)

    def activate(self, row: Row, now_ms: int) -> None:
        """A scheduled message is due: it arrives as if it were sent now, with a new number."""
        message = rows.as_new(self._database, row)
        try:
            with self._context.store.transaction():
                rows.remove_row(self._database, row)
                self._deliver(_arriving(message), now_ms)
        except RefusalError:
            # It is full, or a subscription of it is. Nothing may be lost, so it is tried again.
            self._database.execute("UPDATE messages SET due_at_ms = ? WHERE id = ?", (now_ms + RETRY_MS, row.id))

    def _check(self, messages: Sequence[NewMessage]) -> None:
        self._context.catch_up()
        size = sum(len(message.payload) for message in messages)
        if size > self.max_message_bytes:
            raise TooLargeError(f"{size} bytes are more than '{self.name}' takes at once: {self.max_message_bytes}")
        for message in messages:
            for kind, text in (("message id", message.message_id), ("session id", message.session_id)):
                if text is not None and len(text) > MAX_ID_CHARACTERS:
                    raise ArgumentError(f"a {kind} has {len(text)} characters, more than {MAX_ID_CHARACTERS}")
            if self._needs_session and not message.session_id:
                raise NotAllowedError(f"'{self.name}' has sessions: give the message a session id")
        self.throttle.take(len(messages), f"'{self.name}'")

    def _schedule(self, message: NewMessage, due_at_ms: int, now_ms: int) -> int:
        if not self._is_new(message, now_ms):
            return rows.next_sequence(self._database, self._id)
        sequence, _ = rows.admit_next(self._database, self._id, len(message.payload))
        body = rows.add_body(self._database, message)
        session = message.session_id if self._needs_session else None
        row = Row(
            id=0, sequence=sequence, origin_sequence=sequence, state=MessageState.SCHEDULED, session=session,
            enqueued_at_ms=now_ms, due_at_ms=due_at_ms, expires_at_ms=None, life_ms=message.time_to_live_ms, deliveries=0,
            lock_token=None, locked_until_ms=None, dead_letter_source=None, edits=None, body=body, size=len(message.payload),
            entity=self._id,
        )  # fmt: skip
        rows.add_row(self._database, row)
        self._context.fall_due(due_at_ms)
        return sequence

    def _is_new(self, message: NewMessage, now_ms: int) -> bool:
        """Return whether the message id was not seen within the window, and remember it from now on."""
        if self._window_ms is None or message.message_id is None:
            return True
        key, forget_at_ms = (self._id, message.message_id), now_ms + self._window_ms
        self._database.execute("DELETE FROM seen WHERE entity = ? AND message_id = ? AND forget_at_ms <= ?", (*key, now_ms))
        added = self._database.execute("INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (*key, forget_at_ms))
        self._context.fall_due(forget_at_ms)
        return added.rowcount == 1


def _with_id(message: NewMessage) -> NewMessage:
    """Give an id to a message that came without one, as the service does: the JavaScript SDK cannot settle one without."""
    return message if message.message_id is not None else message.edited(Edits(system={"message_id": uuid4().hex}))


def _arriving(message: NewMessage) -> NewMessage:
    """The same message, numbered anew where it arrives."""
    return NewMessage(
        payload=message.payload,
        system=message.system,
        application=message.application,
        time_to_live_ms=message.time_to_live_ms,
    )
