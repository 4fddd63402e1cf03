"""Sets messages aside: poison as dead letters, and what waits behind a gap; ends the run where too much is poison.

Each is one transaction together with the mark that its entity waits, and with the checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from goldwire_consumer.dead_letter import DeadLetter, LetterKind, dead_letter, fingerprint
from goldwire_consumer.errors import PoisonError, StoppedError, TooManyDeadLettersError, TryAgainError
from goldwire_consumer.event import Event
from goldwire_consumer.message import Message
from goldwire_consumer.settings import Settings
from goldwire_consumer.store.base import Store, Transaction
from goldwire_consumer.verdict import Held, gap

T = TypeVar("T")
News = TypeVar("News")

_LOG = logging.getLogger("goldwire_consumer")
_NOTHING = Held(0, None)


class Aside(Generic[T]):
    """Where the messages of one consumer go that are not applied."""

    def __init__(self, store: Store[T], settings: Settings) -> None:
        """Put together.

        Args:
            store: the database with the guard, and with the dead letters where it keeps them.
            settings: see `Settings`.
        """
        self._store = store
        self._settings = settings
        self._dead_in_a_row: set[tuple[str, str]] = set()
        """Source and fingerprint: what comes again while something else is away is still the same message."""

    def end_row(self) -> None:
        """Forget the poison in a row: a message went well."""
        self._dead_in_a_row.clear()

    def park(
        self, transaction: Transaction[T], message: Message, event: Event, held: Held | None, again: DeadLetter | None
    ) -> DeadLetter:
        """Let an event wait behind a gap, or stop.

        Args:
            transaction: in which the message is processed.
            message: what holds the event.
            event: verified.
            held: what the guard keeps of its entity.
            again: the dead letter that the message comes from, which then stays as it is.

        Raises:
            GapDetected: where the settings say so.
            TryAgainError: a function of the settings failed.
        """
        if again is not None:
            return again
        news = gap(event, held)
        known = held is not None and held.parked
        if not known:
            _LOG.error("%s", news)
            if self._settings.on_gap == "stop":
                raise news
            if callable(self._settings.on_gap):
                _ask(self._settings.on_gap, news)
        kind: LetterKind = "parked" if known else "gap"
        waits = f"entity {event.entity_id}: version {event.version} waits, because one before it is missing"
        letter = dead_letter(message, kind, waits if known else str(news), event.entity_id, event.version)
        transaction.hold(event.entity_id, held, (held or _NOTHING)._replace(parked=True))
        self._set_aside(transaction, letter)
        return letter

    def bury(self, message: Message, poison: PoisonError, event: Event | None, again: DeadLetter | None) -> DeadLetter:
        """Make a dead letter of a message, in a transaction of its own, and let what follows of its entity wait.

        Args:
            message: as it came.
            poison: why.
            event: the event in it, where that is proven.
            again: the dead letter that the message comes from.

        Raises:
            TooManyDeadLettersError: see `Settings`.
            TryAgainError: the database is away, or a function of the settings failed.
        """
        self._refuse_too_many(message, poison)
        entity_id, version = (poison.entity_id, poison.version) if event is None else (event.entity_id, event.version)
        letter = dead_letter(message, poison.kind, str(poison), entity_id, version)
        _LOG.error("dead letter (%s) from %s: %s", letter.kind, message.source, letter.text)
        try:
            letter = self._kept(message, letter, event, again)
        except Exception as error:
            if self._store.is_unavailable(error):
                raise TryAgainError(f"the database is away or busy: {type(error).__name__}") from error
            raise
        if self._settings.dead_letters_in_a_row_max is not None:
            self._dead_in_a_row.add((message.source, letter.fingerprint))
        return letter

    def _refuse_too_many(self, message: Message, poison: PoisonError) -> None:
        limit = self._settings.dead_letters_in_a_row_max
        count = len(self._dead_in_a_row | {(message.source, fingerprint(message.body))})
        if limit is not None and count > limit:
            raise TooManyDeadLettersError(
                f"{count} messages in a row are poison, the last one because: {poison}. "
                "See what is wrong, then start again; the last one was not set aside"
            )

    def _kept(self, message: Message, letter: DeadLetter, event: Event | None, again: DeadLetter | None) -> DeadLetter:
        """Keep a dead letter, and return it as it was kept: without an identity that this database cannot hold.

        That is one too long for an index, say, or with a character that it does not take.
        """
        try:
            self._keep(message, letter, event, again)
        except (StoppedError, TryAgainError):
            raise
        except Exception as error:
            if self._store.is_unavailable(error):
                raise
            text = f"the database cannot keep what the message says of itself: {type(error).__name__}"
            letter = dead_letter(message, letter.kind, text, None, None)
            self._keep(message, letter, None, again)
        return letter

    def _keep(self, message: Message, letter: DeadLetter, event: Event | None, again: DeadLetter | None) -> None:
        """Set a dead letter aside, mark its entity, and count the message as done."""
        with self._store.transaction() as transaction:
            if event is not None:
                held = transaction.held(event.entity_id)
                transaction.hold(event.entity_id, held, (held or _NOTHING)._replace(parked=True))
            if again is None or again.kind != letter.kind:
                self._set_aside(transaction, letter)
            if message.position is not None:
                transaction.checkpoint(message.position)

    def _set_aside(self, transaction: Transaction[T], letter: DeadLetter) -> None:
        if self._settings.dead_letters == "table":
            transaction.bury(letter)
        elif callable(self._settings.dead_letters):
            _ask(self._settings.dead_letters, letter)


def _ask(function: Callable[[News], None], news: News) -> None:
    """Call a function of the subscriber; its failure is no fault of the message."""
    try:
        function(news)
    except (StoppedError, TryAgainError):
        raise
    except Exception as error:
        raise TryAgainError(f"{getattr(function, '__name__', 'a function of the settings')} failed") from error
