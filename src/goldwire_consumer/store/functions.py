"""Keeps the guard anywhere else, by functions of the subscriber: a document database, another SQL server, a cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Generic, NoReturn, TypeVar

from goldwire_consumer.dead_letter import DeadLetter
from goldwire_consumer.errors import TryAgainError
from goldwire_consumer.message import Position
from goldwire_consumer.verdict import Held

T = TypeVar("T")


class FunctionStore(Generic[T]):
    """A store made of three functions. It has no table of dead letters: give the consumer somewhere else for them.

    Attributes:
        keeps_letters: it has no table of dead letters.
    """

    keeps_letters = False

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[T]],
        read: Callable[[T, str], Held | None],
        write: Callable[[T, str, Held | None, Held], bool],
        *,
        checkpoint: Callable[[T, Position], None] | None = None,
        unavailable: tuple[type[Exception], ...] = (),
    ) -> None:
        """Say how.

        Args:
            begin: opens a transaction that commits at the end of its block and rolls back when it raises; it gives what the
                other functions and the handler write with.
            read: returns what is kept of an entity id.
            write: keeps the last argument of an entity id, provided that the one before is still what is kept; says whether.
            checkpoint: keeps how far a partition was processed, where that is not left to the broker.
            unavailable: errors that say that the database is away.
        """
        self._begin = begin
        self._read = read
        self._write = write
        self._checkpoint = checkpoint
        self._unavailable = unavailable

    @contextlib.contextmanager
    def transaction(self) -> Iterator[FunctionTransaction[T]]:
        """Open a transaction of the subscriber."""
        with self._begin() as connection:
            yield FunctionTransaction(connection, self._read, self._write, self._checkpoint)

    def is_unavailable(self, error: Exception) -> bool:
        """Whether it is one of the errors that were named."""
        return isinstance(error, self._unavailable)


class FunctionTransaction(Generic[T]):
    """One transaction of a `FunctionStore`.

    Attributes:
        connection: what `begin` gave.
    """

    def __init__(
        self,
        connection: T,
        read: Callable[[T, str], Held | None],
        write: Callable[[T, str, Held | None, Held], bool],
        checkpoint: Callable[[T, Position], None] | None,
    ) -> None:
        self.connection = connection
        self._read = read
        self._write = write
        self._checkpoint = checkpoint

    def expect(self, entity_ids: Collection[str]) -> None:
        """Do nothing: each is read when it is asked for."""

    def held(self, entity_id: str) -> Held | None:
        """Return what is kept of an entity."""
        return self._read(self.connection, entity_id)

    def hold(self, entity_id: str, before: Held | None, after: Held) -> None:
        """Keep `after`.

        Raises:
            TryAgainError: `write` said no.
        """
        if not self._write(self.connection, entity_id, before, after):
            raise TryAgainError(f"entity {entity_id}: another consumer applies its events at the same time")

    def check(self) -> None:
        """Do nothing: the end of `begin`'s block decides."""

    def checkpoint(self, position: Position) -> None:
        """Keep how far a partition was processed, where there is a function for it."""
        if self._checkpoint is not None:
            self._checkpoint(self.connection, position)

    def bury(self, letter: DeadLetter) -> None:  # noqa: ARG002 - the port's signature, here and below
        """Never called; see `keeps_letters`."""
        _no_letters()

    def unbury(self, fingerprint: str) -> None:
        """Do nothing: there is none."""

    def waits(self, entity_id: str, above: int) -> bool:  # noqa: ARG002
        """Return that none is known to wait."""
        return False

    def next_waiting(self, entity_id: str) -> DeadLetter | None:  # noqa: ARG002
        """Return none."""
        return None

    def letters(
        self,
        entity_id: str | None,  # noqa: ARG002
        *,
        after: DeadLetter | None = None,  # noqa: ARG002
        limit: int | None = None,  # noqa: ARG002
    ) -> list[DeadLetter]:
        """Never called; see `keeps_letters`."""
        _no_letters()

    def erase(self, entity_id: str, version: int) -> None:
        """Do nothing: there is none."""


def _no_letters() -> NoReturn:
    raise AssertionError("a store of functions has no table of dead letters; look at `keeps_letters` first")
