"""Takes messages one after another or in batches: applies each event once, sets poison aside, keeps the checkpoint with it.

Everything that one message causes is one transaction of the subscriber's database: what the handler writes, the guard, the
checkpoint, the dead letter. A batch is one transaction as long as nothing is odd in it, else its messages go one by one.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, Literal, NamedTuple, Self, TypeVar

from msgspec import Struct

from goldwire_consumer.apply import APPLIED, Outcome
from goldwire_consumer.dead_letter import DeadLetter, LetterKind, dead_letter, fingerprint
from goldwire_consumer.errors import (
    GapDetected,
    PoisonError,
    RejectedError,
    StoppedError,
    TooManyDeadLettersError,
    TryAgainError,
)
from goldwire_consumer.event import Event
from goldwire_consumer.judge import Held, Verdict, gap, judge, taken
from goldwire_consumer.message import Message, read
from goldwire_consumer.store.base import Store, Transaction

T = TypeVar("T")

Handler = Callable[[Event, T], None]
"""Writes what an event says, with the connection that it is given, and neither commits nor rolls back. It may raise
`RejectedError` (the event is poison) and `TryAgainError`; any other error is tried again, and poison after some attempts."""

_LOG = logging.getLogger("goldwire_consumer")
_NOTHING = Held(0, None)
_LETTERS_AT_ONCE = 50
"""How many dead letters a redrive holds in memory."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a subscriber can decide."""

    on_gap: Literal["park", "stop"] | Callable[[GapDetected], None] = "park"
    """`park`: the event waits as a dead letter, and so does what follows of its entity, until the missing event, a full one or
    a tombstone comes. `stop`: raise `GapDetected`. A function is told once for each gap, to ask for a replay, before the event
    is parked; it can be told again after a crash, and may raise to stop."""
    dead_letters: Literal["table", "returned"] | Callable[[DeadLetter], None] = "table"
    """`table`: in the store. A function: told before the message counts as done, perhaps twice. `returned`: only in the result,
    for whoever hands messages in and has a place for them, such as Service Bus."""
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
        self._dead_in_a_row: set[tuple[str, str]] = set()
        """Source and fingerprint: what comes again while something else is away is still the same message."""

    def sibling(self) -> Self:
        """Return a consumer with the same store, handler and settings, for another thread."""
        return type(self)(self._store, self._handler, self.settings, sleep=self._sleep)

    def process(self, messages: Iterable[Message]) -> list[Result]:
        """Process messages in order; whoever calls acknowledges them after this returns.

        Returns:
            a result for each, in order.

        Raises:
            GapDetected: where the settings say so.
            TooManyDeadLettersError: see `Settings`.
            TryAgainError: the database is away, or somebody else changes the same entity. Messages before the one that failed
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
                self._dead_in_a_row.clear()
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
        self._dead_in_a_row.clear()
        return results

    def _simply(self, transaction: Transaction[T], message: Message, event: Event) -> Result:
        held = transaction.held(event.entity_id)
        verdict = judge(event, held)
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
            self._dead_in_a_row.clear()
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
        # the text of a stranger's error can quote a value, so that only its type is told
        _LOG.error("the handler failed %d times at %s: %s", self.settings.attempts, message.source, type(failure).__name__)
        text = f"the handler raised {type(failure).__name__} in each of {self.settings.attempts} attempts"
        return self._bury(message, RejectedError(text), again)

    def _once(self, message: Message, again: DeadLetter | None) -> Result:
        event = read(message)
        with self._store.transaction() as transaction:
            held = transaction.held(event.entity_id)
            verdict = judge(event, held)
            if verdict in {Verdict.GAP, Verdict.WAIT}:
                result = self._park(transaction, message, event, held, again)
            else:
                outcome = self._take(transaction, event, held, verdict)
                if again is not None or (held is not None and held.parked):
                    transaction.unbury(fingerprint(message.body))
                result = Result(message, outcome, event, None)
            if message.position is not None:
                transaction.checkpoint(message.position)
        return result

    def _park(
        self, transaction: Transaction[T], message: Message, event: Event, held: Held | None, again: DeadLetter | None
    ) -> Result:
        """Let an event wait behind a gap, or stop."""
        news = gap(event, held)
        if again is not None:
            return Result(message, Outcome.PARKED, event, again)
        known = held is not None and held.parked
        if not known:
            _LOG.error("%s", news)
            if self.settings.on_gap == "stop":
                raise news
            if callable(self.settings.on_gap):
                _ask(self.settings.on_gap, news)
        kind: LetterKind = "parked" if known else "gap"
        waits = f"entity {event.entity_id}: version {event.version} waits, because one before it is missing"
        letter = dead_letter(message, kind, waits if known else str(news), event.entity_id, event.version)
        transaction.hold(event.entity_id, held, (held or _NOTHING)._replace(parked=True))
        self._set_aside(transaction, letter)
        return Result(message, Outcome.PARKED, event, letter)

    def _bury(self, message: Message, poison: PoisonError, again: DeadLetter | None) -> Result:
        """Make a dead letter of a message, and let what follows of its entity wait."""
        self._refuse_too_many(message, poison)
        event = read(message) if poison.kind == "rejected" else None
        entity_id, version = (poison.entity_id, poison.version) if event is None else (event.entity_id, event.version)
        letter = dead_letter(message, poison.kind, str(poison), entity_id, version)
        _LOG.error("dead letter (%s) from %s: %s", letter.kind, message.source, letter.text)
        try:
            letter = self._kept(message, letter, event, again)
        except Exception as error:
            if self._store.is_unavailable(error):
                raise TryAgainError(f"the database is away or busy: {type(error).__name__}") from error
            raise
        if self.settings.dead_letters_in_a_row_max is not None:
            self._dead_in_a_row.add((message.source, letter.fingerprint))
        return Result(message, Outcome.DEAD, event, letter)

    def _refuse_too_many(self, message: Message, poison: PoisonError) -> None:
        limit = self.settings.dead_letters_in_a_row_max
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
        if self.settings.dead_letters == "table":
            transaction.bury(letter)
        elif callable(self.settings.dead_letters):
            _ask(self.settings.dead_letters, letter)

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


Told = TypeVar("Told")


def _ask(function: Callable[[Told], None], news: Told) -> None:
    """Call a function of the subscriber; its failure is no fault of the message."""
    try:
        function(news)
    except (StoppedError, TryAgainError):
        raise
    except Exception as error:
        raise TryAgainError(f"{getattr(function, '__name__', 'a function of the settings')} failed") from error
