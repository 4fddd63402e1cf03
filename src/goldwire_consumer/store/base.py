"""The port between the consumer and the subscriber's database."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from goldwire_consumer.dead_letter import DeadLetter
from goldwire_consumer.message import Position
from goldwire_consumer.verdict import Held

T_co = TypeVar("T_co", covariant=True)


class Transaction(Protocol[T_co]):
    """One transaction; everything in it becomes durable together, or not at all."""

    @property
    def connection(self) -> T_co:
        """What the handler writes with."""

    def expect(self, entity_ids: Collection[str]) -> None:
        """Note for which entities `held` will be asked, so that one query can answer for all."""

    def held(self, entity_id: str) -> Held | None:
        """Return what is kept of an entity; see `Guard`."""

    def hold(self, entity_id: str, before: Held | None, after: Held) -> None:
        """Keep `after`; see `Guard`."""

    def check(self) -> None:
        """See that what was written will be kept; see `Guard`."""

    def checkpoint(self, position: Position) -> None:
        """Keep how far a partition was processed."""

    def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter; the same one again replaces it."""

    def unbury(self, fingerprint: str) -> None:
        """Remove a dead letter, if there is one."""

    def waits(self, entity_id: str, above: int) -> bool:
        """Whether dead letters of kind `gap` or `parked` with a higher version wait for this entity."""

    def next_waiting(self, entity_id: str) -> DeadLetter | None:
        """Return the dead letter of kind `gap` or `parked` of this entity with the lowest version."""

    def letters(self, entity_id: str | None, *, after: DeadLetter | None = None, limit: int | None = None) -> list[DeadLetter]:
        """Return dead letters of one entity or of all, by entity and version.

        Args:
            entity_id: whose; None for all.
            after: only those that come after this one, which may be gone meanwhile.
            limit: the most that are returned.
        """

    def erase(self, entity_id: str, version: int) -> None:
        """Remove the dead letters of an entity up to a version, because they hold what is to be forgotten.

        Those of kind `altered` go whatever version they state, because that may be what was altered.
        """


class Store(Protocol[T_co]):
    """A database with the guard in it."""

    @property
    def keeps_letters(self) -> bool:
        """Whether it has a table of dead letters; without one `bury` and what reads them are never called."""

    def transaction(self) -> AbstractContextManager[Transaction[T_co]]:
        """Open a transaction that commits at the end of the block, and rolls back when it raises."""

    def is_unavailable(self, error: Exception) -> bool:
        """Whether an error says that the database is away or busy, so that the message is not to blame."""
