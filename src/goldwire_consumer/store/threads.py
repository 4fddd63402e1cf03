"""Keeps one connection for each thread that asks, and closes those of threads that have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """A connection of either driver."""

    def close(self) -> None:
        """Close it; no harm if it is closed."""


C = TypeVar("C", bound=Closable)


class ThreadConnections(Generic[C]):
    """Connections to one database: a thread always gets its own, and never that of another."""

    def __init__(self, connect: Callable[[], C], *, sound: Callable[[C], bool] = lambda _: True) -> None:
        """Say how to connect.

        Args:
            connect: opens a connection that any thread may close.
            sound: whether one can still be used; else another is opened.
        """
        self._connect = connect
        self._sound = sound
        self._opened: dict[threading.Thread, C] = {}
        self._lock = threading.Lock()

    def own(self) -> C:
        """Return the connection of this thread."""
        thread = threading.current_thread()
        found = self._opened.get(thread)
        if found is None or not self._sound(found):
            found = self._connect()
            with self._lock:
                left = [one for one in self._opened if not one.is_alive()]
                gone = [self._opened.pop(one) for one in left]
                self._opened[thread] = found
            for one in gone:
                one.close()
        return found

    def close(self) -> None:
        """Close all of them; who asks afterwards gets a new one."""
        with self._lock:
            opened, self._opened = self._opened, {}
        for connection in opened.values():
            connection.close()
