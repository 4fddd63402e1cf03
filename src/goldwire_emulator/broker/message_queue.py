"""What messages are received from: a queue's, a subscription's or a dead-letter queue's stock, and its locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

import msgspec

from goldwire_emulator.broker import message_rows as rows
from goldwire_emulator.broker.bus_context import BusContext
from goldwire_emulator.broker.entities import ReceivingSettings
from goldwire_emulator.broker.message import Edits, MessageState, NewMessage, StoredMessage
from goldwire_emulator.broker.message_rows import Row
from goldwire_emulator.broker.refusals import (
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    QuotaError,
    RefusalError,
    SessionLockLostError,
)
from goldwire_emulator.broker.waiters import Waiting

DEAD_LETTER_SUFFIX = "/$deadletterqueue"
REASON = "DeadLetterReason"
DESCRIPTION = "DeadLetterErrorDescription"
NO_EDITS = Edits()
_MOST_BYTES = 1 << 20

_FREE = "m.entity = ? AND m.state = 0 AND m.lock_token IS NULL AND m.session IS NULL ORDER BY m.sequence LIMIT ?"
_FREE_IN_SESSION = "m.entity = ? AND m.session = ? AND m.state = 0 AND m.lock_token IS NULL ORDER BY m.sequence LIMIT ?"
_DEFERRED = "m.entity = ? AND m.sequence = ? AND m.state = 1 AND m.lock_token IS NULL AND m.session IS ?"
_FROM = "m.entity = ? AND m.sequence >= ? AND (? IS NULL OR m.session = ?) ORDER BY m.sequence LIMIT ?"


class MessageQueue:
    """Holds messages until a receiver is done with them.

    Args:
        context: what it shares with the other entities.
        path: its address, such as `orders` or `events/subscriptions/crm`.
        settings: how it is set up.
        dead_letters: where dead letters go; None: this is a dead-letter queue itself.
        numbered_with: the path of the entity whose sequence numbers it uses; a dead letter keeps its number.
    """

    def __init__(
        self,
        context: BusContext,
        path: str,
        settings: ReceivingSettings,
        *,
        dead_letters: MessageQueue | None = None,
        numbered_with: str | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self.dead_letters = dead_letters
        self.waiting = Waiting()
        self._context = context
        self._database = context.store.database
        self.id = context.entity(path)
        self._numbers = context.entity(numbered_with or path)

    def accept(self, message: NewMessage, now_ms: int) -> None:
        """Store a message that is due, or hand it on where the entity forwards.

        Raises:
            NotAllowedError: it has no session, and the entity has.
            QuotaError: the entity is full.
        """
        if self.settings.forward_to:
            self._context.forward(self.settings.forward_to, message, now_ms)
            return
        with self._context.store.joined():
            self._put(message, now_ms, rows.add_body(self._database, message))

    def accept_copy(self, message: NewMessage, now_ms: int, body: int) -> bool:
        """Store a copy of a topic's message, whose body is stored already, or hand it on; return whether it holds it."""
        if self.settings.forward_to:
            self._context.forward(self.settings.forward_to, message, now_ms)
            return False
        if self.settings.requires_session and message.session_id is None and self.dead_letters is not None:
            reason = Edits(application={REASON: "Session id is null.", DESCRIPTION: "The subscription has sessions."})
            return self.dead_letters.accept_copy(message.edited(reason), now_ms, body)
        self._put(message, now_ms, body)
        return True

    def _put(self, message: NewMessage, now_ms: int, body: int) -> None:
        session = message.session_id if self.settings.requires_session else None
        if self.settings.requires_session and not session:
            raise NotAllowedError(f"'{self.path}' has sessions: give the message a session id")
        size = len(message.payload)
        sequence, held = self._admit(size)
        if held > self._context.limits.max_entity_bytes:
            raise QuotaError(f"'{self.path}' is full: it holds up to {self._context.limits.max_entity_bytes} bytes")
        lives = [life for life in (message.time_to_live_ms, self.settings.default_time_to_live_ms) if life is not None]
        # In a dead-letter queue nothing expires.
        life = min(lives) if lives and self.dead_letters is not None else None
        row = Row(
            id=0, sequence=sequence, origin_sequence=message.origin_sequence or sequence, state=MessageState.ACTIVE,
            session=session, enqueued_at_ms=now_ms, due_at_ms=None, expires_at_ms=None if life is None else now_ms + life,
            life_ms=life, deliveries=0, lock_token=None, locked_until_ms=None, dead_letter_source=message.dead_letter_source,
            edits=rows.packed(message.edits), body=body, size=size, entity=self.id,
        )  # fmt: skip
        rows.add_row(self._database, row)
        self._context.fall_due(row.expires_at_ms)
        self.waiting.wake()

    def _admit(self, size: int) -> tuple[int, int]:
        if self._numbers == self.id:
            return rows.admit_next(self._database, self.id, size)
        return rows.next_sequence(self._database, self._numbers), rows.admit(self._database, self.id, size)

    def receive(self, limit: int, *, session: str | None = None, delete: bool = False) -> list[StoredMessage]:
        """The next messages, locked or deleted.

        Args:
            limit: at most so many, and fewer where they are large.
            session: of this session only; the caller holds its lock.
            delete: they are gone with this (receive and delete).
        """
        self._context.catch_up()
        condition, values = (_FREE, (self.id, limit)) if session is None else (_FREE_IN_SESSION, (self.id, session, limit))
        with self._context.store.joined():
            return self._hand_out(_fitting(rows.select(self._database, condition, values)), delete=delete)

    def receive_deferred(
        self, sequence_numbers: Sequence[int], *, session: str | None = None, delete: bool = False
    ) -> list[StoredMessage]:
        """Deferred messages by their numbers, locked or deleted.

        Raises:
            MessageNotFoundError: one of them is not there, not deferred, or locked.
        """
        self._context.catch_up()
        found = [self._deferred(number, session) for number in dict.fromkeys(sequence_numbers)]
        with self._context.store.joined():
            return self._hand_out(found, delete=delete)

    def _deferred(self, number: int, session: str | None) -> Row:
        row = next(iter(rows.select(self._database, _DEFERRED, (self.id, number, session))), None)
        if row is not None and row.expires_at_ms is not None and row.expires_at_ms <= self._context.now_ms():
            self.expire(row)
            row = None
        if row is None:
            raise MessageNotFoundError(f"'{self.path}' has no deferred message {number} that is free")
        return row

    def _hand_out(self, found: list[Row], *, delete: bool) -> list[StoredMessage]:
        messages = rows.stored(self._database, found)
        if delete:
            for row in found:
                rows.remove_row(self._database, row)
            return messages
        # A session's messages are locked as long as the session is.
        until = None if self.settings.requires_session else self._context.now_ms() + self.settings.lock_ms
        locked = [msgspec.structs.replace(each, lock_token=uuid4(), locked_until_ms=until) for each in messages]
        self._database.executemany(
            "UPDATE messages SET lock_token = ?, locked_until_ms = ? WHERE id = ?",
            [
                (each.lock_token.bytes if each.lock_token else None, until, row.id)
                for each, row in zip(locked, found, strict=True)
            ],
        )
        if locked:
            self._context.fall_due(until)
        return locked

    def peek(self, from_sequence: int, limit: int, session: str | None = None) -> list[StoredMessage]:
        """Messages from this number on in any state, locked or not, without touching them."""
        self._context.catch_up()
        now_ms = self._context.now_ms()
        found = rows.select(self._database, _FROM, (self.id, from_sequence, session, session, limit))
        alive = _fitting(row for row in found if row.expires_at_ms is None or row.expires_at_ms > now_ms)
        return [msgspec.structs.replace(each, lock_token=None) for each in rows.stored(self._database, alive)]

    def count(self, *states: MessageState) -> int:
        """Return how many messages are in these states, locked or not; without any, all that are here."""
        found = dict(self._database.execute("SELECT state, count(*) FROM messages WHERE entity = ? GROUP BY state", (self.id,)))
        return sum(number for state, number in found.items() if not states or state in states)

    def renew(self, token: UUID) -> int:
        """Lock a message anew; return until when, in POSIX milliseconds.

        Raises:
            MessageLockLostError: the lock is not held any more.
        """
        row = self._locked(token)
        until = self._context.now_ms() + self.settings.lock_ms
        with self._context.store.transaction():
            self._database.execute("UPDATE messages SET locked_until_ms = ? WHERE id = ?", (until, row.id))
        self._context.fall_due(until)
        return until

    def complete(self, token: UUID) -> None:
        """Done: the message is gone.

        Raises:
            MessageLockLostError: the lock is not held any more.
            SessionLockLostError: the session's lock is not held any more.
        """
        row = self._locked(token)
        with self._context.store.joined():
            rows.remove_row(self._database, row)

    def release(self, token: UUID) -> None:
        """Give a message back as if it had not been received; errors as in `complete`."""
        self.unlock([self._locked(token)], failed=False)

    def abandon(self, token: UUID, edits: Edits = NO_EDITS) -> None:
        """Give a message back after a failure: it counts; errors as in `complete`."""
        row = self._locked(token)
        with self._context.store.transaction():
            self.unlock([self._edited(row, edits)], failed=True)

    def defer(self, token: UUID, edits: Edits = NO_EDITS) -> None:
        """Put a message aside: it is received by its number only; errors as in `complete`."""
        row = self._locked(token)
        with self._context.store.transaction():
            self._edited(row, edits)
            self._database.execute(
                "UPDATE messages SET state = 1, lock_token = NULL, locked_until_ms = NULL WHERE id = ?", (row.id,)
            )

    def dead_letter(self, token: UUID, edits: Edits = NO_EDITS) -> None:
        """Give a message up; the edits say why. Errors as in `complete`.

        Raises:
            NotAllowedError: this is a dead-letter queue already.
        """
        self.bury(self._locked(token), edits)

    def _locked(self, token: UUID) -> Row:
        self._context.catch_up()
        found = rows.select(self._database, "m.lock_token = ? AND m.entity = ?", (token.bytes, self.id))
        if found:
            return found[0]
        if self.settings.requires_session:
            raise SessionLockLostError(f"the session's lock in '{self.path}' is not held any more; accept the session again")
        raise MessageLockLostError(f"the lock of the message in '{self.path}' is not held any more; receive it again")

    def _edited(self, row: Row, edits: Edits) -> Row:
        if not edits:
            return row
        packed = rows.packed(rows.edits_of(row).then(edits))
        with self._context.store.transaction():
            self._database.execute("UPDATE messages SET edits = ? WHERE id = ?", (packed, row.id))
        return msgspec.structs.replace(row, edits=packed)

    def unlock(self, held: Sequence[Row], *, failed: bool) -> None:
        """Make messages free again; one that failed too often is dead-lettered."""
        with self._context.store.transaction():
            for row in held:
                deliveries = row.deliveries + failed
                self._database.execute(
                    "UPDATE messages SET lock_token = NULL, locked_until_ms = NULL, deliveries = ? WHERE id = ?",
                    (deliveries, row.id),
                )
                if failed and self.dead_letters is not None and deliveries >= self.settings.max_delivery_count:
                    text = f"Message could not be consumed after {deliveries} delivery attempts."
                    self.bury(
                        msgspec.structs.replace(row, deliveries=deliveries),
                        Edits(application={REASON: "MaxDeliveryCountExceeded", DESCRIPTION: text}),
                    )
                elif row.state is MessageState.ACTIVE:
                    self._context.fall_due(row.expires_at_ms)
        self.waiting.wake()

    def expire(self, row: Row) -> None:
        """End a message's life: dead-lettered where the entity asks for it, else gone."""
        if self.settings.dead_letter_expired and self.dead_letters is not None:
            text = "The message expired and was dead lettered."
            self.bury(row, Edits(application={REASON: "TTLExpiredException", DESCRIPTION: text}))
        else:
            with self._context.store.transaction():
                rows.remove_row(self._database, row)

    def bury(self, row: Row, edits: Edits) -> None:
        """Move a message to the dead-letter queue, or to where dead letters are forwarded.

        Raises:
            NotAllowedError: this is a dead-letter queue already.
        """
        if self.dead_letters is None:
            raise NotAllowedError(f"'{self.path}' is a dead-letter queue: complete its messages, or send them anew")
        with self._context.store.transaction():
            row = self._edited(row, edits)
            if self.settings.forward_dead_letters_to and self._forward_dead_letter(row):
                return
            self._database.execute(
                "UPDATE messages SET entity = ?, state = 0, session = NULL, lock_token = NULL, locked_until_ms = NULL, "
                "expires_at_ms = NULL, life_ms = NULL WHERE id = ?",
                (self.dead_letters.id, row.id),
            )
            move = "UPDATE entities SET bytes = bytes + ? WHERE id = ?"
            self._database.executemany(move, [(-row.size, self.id), (row.size, self.dead_letters.id)])
        self.dead_letters.waiting.wake()

    def _forward_dead_letter(self, row: Row) -> bool:
        message = rows.as_new(self._database, row)
        sent = msgspec.structs.replace(message, dead_letter_source=self.path, time_to_live_ms=None)
        try:
            with self._context.store.transaction():
                rows.remove_row(self._database, row)
                self._context.forward(self.settings.forward_dead_letters_to, sent, self._context.now_ms())
        except RefusalError:
            return False  # it stays in the dead-letter queue of this entity
        return True


def _fitting(found: Iterable[Row]) -> list[Row]:
    """As many of the rows as are read into memory at once: one, and more while they are small."""
    fitting: list[Row] = []
    size = 0
    for row in found:
        fitting.append(row)
        size += row.size
        if size >= _MOST_BYTES:
            break
    return fitting
