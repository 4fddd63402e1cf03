"""Sessions: a receiver holds one at a time, in it messages come in order, and it keeps a state of its own.

Locks live in memory: when the broker ends, its connections end, and so do their locks.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from goldwire_emulator.broker import message_rows as rows
from goldwire_emulator.broker.bus_context import BusContext
from goldwire_emulator.broker.message_queue import MessageQueue
from goldwire_emulator.broker.refusals import NotAllowedError, SessionCannotBeLockedError, SessionLockLostError

_HELD = "m.entity = ? AND m.session = ? AND m.lock_token IS NOT NULL"
_OCCUPIED = """
SELECT session FROM messages WHERE entity = ? AND session IS NOT NULL AND state = 0
UNION SELECT session FROM sessions WHERE entity = ? AND state IS NOT NULL ORDER BY session
"""
_STATE_SET = "SELECT session FROM sessions WHERE entity = ? AND updated_at_ms > ? ORDER BY session"


class SessionLock(msgspec.Struct):
    """One receiver's hold on a session.

    Attributes:
        session_id: the session.
        holder: names the receiver, such as its link.
        locked_until_ms: when it ends unless it is renewed.
        lost: called when it ended without being released.
    """

    session_id: str
    holder: str
    locked_until_ms: int
    lost: Callable[[], None]


class Sessions:
    """The sessions of one queue or subscription.

    Args:
        context: what it shares with the other entities.
        queue: whose messages they are.
    """

    def __init__(self, context: BusContext, queue: MessageQueue) -> None:
        self._context = context
        self._queue = queue
        self._database = context.store.database
        self._locks: dict[str, SessionLock] = {}

    def accept(self, session_id: str | None, holder: str, lost: Callable[[], None]) -> SessionLock | None:
        """Lock a session.

        Args:
            session_id: None: the one with the oldest free message among those that no receiver holds.
            holder: names the receiver.
            lost: called when the lock ends without being released.

        Returns:
            None if no session was free; one that is named is always found.

        Raises:
            SessionCannotBeLockedError: another receiver holds the session that was named.
            NotAllowedError: the entity has no sessions.
        """
        if not self._queue.settings.requires_session:
            raise NotAllowedError(f"'{self._queue.path}' has no sessions: receive from it without one")
        self._context.catch_up()
        found = self._next_free() if session_id is None else session_id
        if found is None:
            return None
        if found in self._locks:
            raise SessionCannotBeLockedError(f"another receiver holds session '{found}' of '{self._queue.path}'")
        until = self._context.now_ms() + self._queue.settings.lock_ms
        lock = self._locks[found] = SessionLock(found, holder, until, lost)
        self._context.fall_due(until)
        return lock

    def _next_free(self) -> str | None:
        query = (
            "SELECT session FROM messages WHERE entity = ? AND session IS NOT NULL AND state = 0 AND lock_token IS NULL "
            "ORDER BY sequence"
        )
        found = self._database.execute(query, (self._queue.id,))
        free = next((session for (session,) in found if session not in self._locks), None)
        found.close()
        return free

    def holds(self, lock: SessionLock) -> bool:
        """Whether the lock still holds."""
        self._context.catch_up()
        return self._locks.get(lock.session_id) is lock

    def check(self, session_id: str, holder: str | None = None) -> SessionLock:
        """The lock on a session.

        Raises:
            SessionLockLostError: this receiver does not hold it.
        """
        self._context.catch_up()
        lock = self._locks.get(session_id)
        if lock is None or (holder is not None and lock.holder != holder):
            raise SessionLockLostError(f"the lock on session '{session_id}' of '{self._queue.path}' is lost; accept it again")
        return lock

    def renew(self, session_id: str, holder: str | None = None) -> int:
        """Lock a session anew; return until when, in POSIX milliseconds; errors as in `check`."""
        lock = self.check(session_id, holder)
        lock.locked_until_ms = self._context.now_ms() + self._queue.settings.lock_ms
        self._context.fall_due(lock.locked_until_ms)
        return lock.locked_until_ms

    def release(self, lock: SessionLock) -> None:
        """Give a session back: what was received and not settled is free again, and that does not count as a failure."""
        if self._locks.get(lock.session_id) is lock:
            self._end(lock, failed=False)

    def _end(self, lock: SessionLock, *, failed: bool) -> None:
        held = rows.select(self._database, _HELD, (self._queue.id, lock.session_id))
        self._queue.unlock(held, failed=failed)
        del self._locks[lock.session_id]  # last: if the store fails, it is tried again

    def lose_locks(self) -> None:
        """Let the time of every lock be over."""
        for lock in self._locks.values():
            lock.locked_until_ms = 0

    def advance(self, now_ms: int) -> int | None:
        """End the locks whose time is over; return when the next one ends."""
        for lock in [lock for lock in self._locks.values() if lock.locked_until_ms <= now_ms]:
            self._end(lock, failed=True)
            lock.lost()
        return min((lock.locked_until_ms for lock in self._locks.values()), default=None)

    def state(self, session_id: str, holder: str | None = None) -> bytes | None:
        """The session's state; errors as in `check`."""
        self.check(session_id, holder)
        query = "SELECT state FROM sessions WHERE entity = ? AND session = ?"
        found = self._database.execute(query, (self._queue.id, session_id)).fetchone()
        return None if found is None else found[0]

    def set_state(self, session_id: str, state: bytes | None, holder: str | None = None) -> None:
        """Keep a state, or none; errors as in `check`."""
        self.check(session_id, holder)
        with self._context.store.transaction() as database:
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, "
                "updated_at_ms = excluded.updated_at_ms",
                (self._queue.id, session_id, state, self._context.now_ms()),
            )

    def names(self, updated_after_ms: int | None, skip: int, top: int) -> list[str]:
        """Sessions with a message or a state; or those whose state was set after a time."""
        self._context.catch_up()
        if updated_after_ms is None:
            found = self._database.execute(_OCCUPIED, (self._queue.id, self._queue.id))
        else:
            found = self._database.execute(_STATE_SET, (self._queue.id, updated_after_ms))
        return [session for (session,) in found][skip : skip + top]
