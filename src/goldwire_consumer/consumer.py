"""Takes messages one after another or in batches: applies each event once, sets poison aside, keeps the checkpoint with it.

Everything that one message causes is one transaction of the subscriber's database: what the handler writes, the guard, the
checkpoint, the dead letter. A batch is one transaction as long as nothing is odd in it, else its messages go one by one.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Self, TypeVar

from goldwire_consumer.dead_letter import DeadLetter, fingerprint
from goldwire_consumer.dead_lettering import Aside
from goldwire_consumer.errors import PoisonError, RejectedError, StoppedError, TryAgainError
from goldwire_consumer.event import Event
from goldwire_consumer.guard import APPLIED, Outcome
from goldwire_consumer.message import Message, read
from goldwire_consumer.settings import Settings
from goldwire_consumer.store.base import Store, Transaction
from goldwire_consumer.verdict import Held, Verdict, decide, taken

T = TypeVar("T")

Handler = Callable[[Event, T], None]
"""Writes what an event says, with the connection that it is given, and neither commits nor rolls back. It may raise
`RejectedError` (the event is poison) and `TryAgainError`; any other error is tried again, and poison after some attempts."""

_LOG = logging.getLogger("goldwire_consumer")
_LETTERS_AT_ONCE = 50
"""How many dead letters a redrive holds in memory."""


class Result(NamedTuple):
    """What became of one message."""

    message: Message
    outcome: Outcome
    event: Event | None
    """None where it could not be read."""
    letter: DeadLetter | None
    """With `PARKED` and `DEAD`."""


class _OddError(Exception):
    """A message of a batch needs to be looked at by itself; the transaction of the batch was rolled back."""

    def __init__(self, index: int) -> None:
        self.index = index


class Consumer(Generic[T]):
    """Processes the messages of one stream. Not for use by several threads at a time: each has a `sibling`."""

    def __init__(
        self,
        store: Store[T],
        handler: Handler[T],
        settings: Settings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Put together.

        Args:
            store: the database with the guard.
            handler: see `Handler`.
            settings: see `Settings`.
            sleep: waits between attempts.

        Raises:
            ValueError: dead letters are to go to a table, and the store has none.
        """
        self.settings = settings or Settings()
        if self.settings.dead_letters == "table" and not store.keeps_letters:
            raise ValueError("this store has no table of dead letters: set Settings.dead_letters to a function")
        self._store = store
        self._handler = handler
        self._sleep = sleep
        self._aside = Aside(store, self.settings)

    def sibling(self) -> Self:
        """Return a consumer with the same store, handler and settings, for another thread."""
        return type(self)(self._store, self._handler, self.settings, sleep=self._sleep)

    def process(self, messages: Iterable[Message]) -> list[Result]:
        """Process messages in order; the caller acknowledges them after this returns.

        Returns:
            a result for each, in order.

        Raises:
            GapDetected: where the settings say so.
            TooManyDeadLettersError: see `Settings`.
            TryAgainError: the database is away, or another one changes the same entity. Messages before the one that failed
                may be done already; to give all of them again does no harm.
        """
        waiting = list(messages)
        results: list[Result] = []
        count = len(waiting)
        while waiting:
            try:
                results += self._together(waiting[:count])
            except _OddError as odd:
                count = odd.index
                if count:
                    continue
                results.append(self._alone(waiting[0]))
                count = 1
            waiting = waiting[count:]
            count = len(waiting)
        return results

    def redrive(self, entity_id: str | None = None) -> Counter[Outcome]:
        """Process the dead letters of the store again, of one entity or of all; what succeeds is removed from them.

        Args:
            entity_id: whose; None for every dead letter.

        Returns:
            how many had which outcome; those that are `PARKED` or `DEAD` remain.

        Raises:
            ValueError: the store has no table of dead letters.
            TryAgainError: the database is away.
        """
        if not self._store.keeps_letters:
            raise ValueError("this store has no table of dead letters; hand them to `process` from where they are")
        outcomes: Counter[Outcome] = Counter()
        last = None
        while True:
            with self._store.transaction() as transaction:
                letters = transaction.letters(entity_id, after=last, limit=_LETTERS_AT_ONCE)
            for last in letters:
                self._aside.end_row()
                outcomes[self._alone(last.message, again=last).outcome] += 1
            if len(letters) < _LETTERS_AT_ONCE:
                return outcomes

    def _together(self, messages: list[Message]) -> list[Result]:
        """Process messages in one transaction.

        Raises:
            _OddError: one of them is not simply applied or ignored; nothing was done.
            StoppedError: of the handler, or because it ended the transaction.
        """
        results: list[Result] = []
        events = _read_all(messages)
        try:
            positions = {}
            with self._store.transaction() as transaction:
                transaction.expect({event.entity_id for event in events})
                for message, event in zip(messages, events, strict=True):
                    results.append(self._simply(transaction, message, event))
                    if message.position is not None:
                        positions[message.position[:2]] = message.position
                for position in positions.values():
                    transaction.checkpoint(position)
        except StoppedError:
            raise
        except Exception as error:
            # at commit it can be any of them
            raise _OddError(len(results) if len(results) < len(messages) else 0) from error
        self._aside.end_row()
        return results

    def _simply(self, transaction: Transaction[T], message: Message, event: Event) -> Result:
        held = transaction.held(event.entity_id)
        verdict = decide(event, held)
        if verdict in {Verdict.GAP, Verdict.WAIT} or (held is not None and held.parked):
            raise _OddError(0)  # also what is ignored: perhaps a crash came between it and what waited for it
        return Result(message, self._take(transaction, event, held, verdict), event, None)

    def _take(self, transaction: Transaction[T], event: Event, held: Held | None, verdict: Verdict) -> Outcome:
        """Write the guard, then what the event says, so that a second consumer waits before its handler does anything."""
        if event.reason == "erased":  # also when it comes late
            transaction.erase(event.entity_id, event.version)
        if verdict is Verdict.IGNORE:
            return Outcome.IGNORED
        if verdict is Verdict.LINK and held is not None:
            transaction.hold(event.entity_id, held, held._replace(hash=event.hash))
            return Outcome.IGNORED
        parked = held is not None and held.parked and transaction.waits(event.entity_id, event.version)
        transaction.hold(event.entity_id, held, taken(event, parked=parked))
        self._handler(event, transaction.connection)
        transaction.check()
        if verdict is Verdict.HEAL:
            text = "entity %s: an event before version %d was lost; this one made up for it"
            _LOG.warning(text, event.entity_id, event.version)
        return APPLIED[verdict]

    def _alone(self, message: Message, again: DeadLetter | None = None) -> Result:
        """Process one message in a transaction of its own, then what waited for it."""
        result = self._tried(message, again)
        if result.outcome not in {Outcome.PARKED, Outcome.DEAD}:
            self._aside.end_row()
        if result.event is not None and result.outcome is not Outcome.DEAD and again is None and self._store.keeps_letters:
            self._follow(result.event.entity_id)
        return result

    def _tried(self, message: Message, again: DeadLetter | None) -> Result:
        """Try one message as often as the settings say."""
        for attempt in range(1, self.settings.attempts + 1):
            if attempt > 1:
                self._sleep(self.settings.backoff_seconds * 2 ** (attempt - 2))
            try:
                return self._once(message, again)
            except StoppedError:
                raise
            except PoisonError as error:
                return self._bury(message, error, again)
            except TryAgainError as error:
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - whatever a handler raises is sorted here
                failure = error
        if isinstance(failure, TryAgainError):
            raise failure
        if self._store.is_unavailable(failure):
            raise TryAgainError(f"the database is away or busy: {type(failure).__name__}") from failure
        # the text of an error from elsewhere can quote a value, so only its type is named
        _LOG.error("the handler failed %d times at %s: %s", self.settings.attempts, message.source, type(failure).__name__)
        text = f"the handler raised {type(failure).__name__} in each of {self.settings.attempts} attempts"
        return self._bury(message, RejectedError(text), again)

    def _once(self, message: Message, again: DeadLetter | None) -> Result:
        event = read(message)
        with self._store.transaction() as transaction:
            held = transaction.held(event.entity_id)
            verdict = decide(event, held)
            if verdict in {Verdict.GAP, Verdict.WAIT}:
                letter = self._aside.park(transaction, message, event, held, again)
                result = Result(message, Outcome.PARKED, event, letter)
            else:
                outcome = self._take(transaction, event, held, verdict)
                if again is not None or (held is not None and held.parked):
                    transaction.unbury(fingerprint(message.body))
                result = Result(message, outcome, event, None)
            if message.position is not None:
                transaction.checkpoint(message.position)
        return result

    def _bury(self, message: Message, poison: PoisonError, again: DeadLetter | None) -> Result:
        event = read(message) if poison.kind == "rejected" else None
        return Result(message, Outcome.DEAD, event, self._aside.bury(message, poison, event, again))

    def _follow(self, entity_id: str) -> None:
        """Apply the events of an entity that waited, as long as each follows the last one."""
        while True:
            with self._store.transaction() as transaction:
                letter = transaction.next_waiting(entity_id)
            if letter is None:
                return
            if self._tried(letter.message, letter).outcome in {Outcome.PARKED, Outcome.DEAD}:
                return


def _read_all(messages: list[Message]) -> list[Event]:
    events = []
    for index, message in enumerate(messages):
        try:
            events.append(read(message))
        except Exception as error:
            raise _OddError(index) from error
    return events
