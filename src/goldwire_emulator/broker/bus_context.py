"""What all entities of the Service Bus share: the store, the time, the way to one another, and when something falls due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.broker.message import NewMessage
from goldwire_emulator.broker.store import Store
from goldwire_emulator.clock import Clock


class Inlet(Protocol):
    """An entity that messages can be put into: a queue, a topic, or from within a subscription."""

    def accept(self, message: NewMessage, now_ms: int) -> None:
        """Store a message that is due, or hand it on."""
        ...


class BusContext:
    """Shared by all entities of one namespace.

    Attributes:
        store: holds everything.
        limits: the quotas.
        due_ms: when something falls due next, at the earliest; None: nothing does.
        advance: does what has fallen due; set by the namespace.
    """

    def __init__(self, store: Store, limits: Limits, clock: Clock) -> None:
        self.store = store
        self.limits = limits
        self.clock = clock
        self._inlets: dict[str, Inlet] = {}
        self._sooner: list[Callable[[], None]] = []
        self.due_ms: int | None = 0
        self.advance: Callable[[], object] = lambda: None
        store.on_undo(lambda: self.fall_due(0))

    def now_ms(self) -> int:
        """The time, in POSIX milliseconds."""
        return int(self.clock.now() * 1000)

    def fall_due(self, at_ms: int | None) -> None:
        """Remember that something falls due at this time."""
        if at_ms is not None and (self.due_ms is None or at_ms < self.due_ms):
            self.due_ms = at_ms
            for tell in self._sooner:
                tell()

    def catch_up(self) -> None:
        """Do what has fallen due, so that what follows sees the entities as of now.

        Within a transaction it does nothing: the caller has caught up before, and a refusal must not undo what fell due.
        """
        if not self.store.in_transaction and self.due_ms is not None and self.due_ms <= self.now_ms():
            self.advance()

    def on_sooner(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when something falls due earlier than was known."""
        self._sooner.append(tell)

    def entity(self, name: str) -> int:
        """The row of an entity, made if it is not there."""
        with self.store.transaction() as database:
            database.execute("INSERT INTO entities (name) VALUES (?) ON CONFLICT DO NOTHING", (name.lower(),))
            return int(database.execute("SELECT id FROM entities WHERE name = ?", (name.lower(),)).fetchone()[0])

    def add_inlet(self, name: str, inlet: Inlet) -> None:
        """Make an entity known to those that forward to it."""
        self._inlets[name.lower()] = inlet

    def forward(self, name: str, message: NewMessage, now_ms: int) -> None:
        """Put a message into another entity, which the configuration has checked to be there."""
        self._inlets[name.lower()].accept(message, now_ms)
