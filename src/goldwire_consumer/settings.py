"""What a subscriber can decide: what happens at a gap, where dead letters go, how often a failure is tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from goldwire_consumer.dead_letter import DeadLetter
from goldwire_consumer.errors import GapDetected


class Settings(Struct, frozen=True, kw_only=True):
    """What a subscriber can decide."""

    on_gap: Literal["park", "stop"] | Callable[[GapDetected], None] = "park"
    """`park`: the event waits as a dead letter, and so does what follows of its entity, until the missing event, a full one or
    a tombstone comes. `stop`: raise `GapDetected`. A function is called once for each gap, to ask for a replay, before the
    event is parked; it can be called again after a crash, and may raise to stop."""
    dead_letters: Literal["table", "returned"] | Callable[[DeadLetter], None] = "table"
    """`table`: in the store. A function: called before the message counts as done, perhaps twice. `returned`: only in the
    result, for a caller that hands messages in and keeps them elsewhere, such as Service Bus."""
    dead_letters_in_a_row_max: int | None = 100
    """More poison in a row than this raises `TooManyDeadLettersError`, because the fault is then likely here; None: never."""
    attempts: int = 5
    """How often a handler's unexpected error is tried before the event is poison, and an absent database before giving up."""
    backoff_seconds: float = 0.1
    """Before the second attempt; doubled for each one more."""

    def __post_init__(self) -> None:
        """Refuse what would be misunderstood: a word with a slip in it must not lose dead letters.

        Raises:
            ValueError: a setting is none of those that there are; it says which.
        """
        words = {"on_gap": ("park", "stop"), "dead_letters": ("table", "returned")}
        for name, known in words.items():
            value = getattr(self, name)
            if value not in known and not callable(value):
                raise ValueError(f"Settings.{name} is {value!r}: give {known[0]!r}, {known[1]!r} or a function")
        if self.attempts < 1:
            raise ValueError(f"Settings.attempts is {self.attempts}: give 1 or more")
        if self.dead_letters_in_a_row_max is not None and self.dead_letters_in_a_row_max < 0:
            raise ValueError(f"Settings.dead_letters_in_a_row_max is {self.dead_letters_in_a_row_max}: give 0 or more, or None")
