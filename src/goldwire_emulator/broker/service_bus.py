"""The Service Bus namespace of the broker: its queues, topics and subscriptions, and what falls due in them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import msgspec

from goldwire_emulator.broker import message_rows as rows
from goldwire_emulator.broker.bus_context import BusContext
from goldwire_emulator.broker.entities import (
    Limits,
    QueueSettings,
    ReceivingSettings,
    RuleSettings,
    SubscriptionSettings,
    TopicSettings,
)
from goldwire_emulator.broker.entrance import Entrance
from goldwire_emulator.broker.fixed import Fixed, keep_fixed
from goldwire_emulator.broker.message import MessageState, NewMessage
from goldwire_emulator.broker.message_queue import DEAD_LETTER_SUFFIX, MessageQueue
from goldwire_emulator.broker.refusals import NotFoundError
from goldwire_emulator.broker.rules import DEFAULT_RULE, Rules
from goldwire_emulator.broker.sessions import Sessions
from goldwire_emulator.broker.store import Store
from goldwire_emulator.clock import Clock

SUBSCRIPTIONS = "/subscriptions/"

_T = TypeVar("_T")
# `live` holds the entities of the configuration: what others still hold in the store has no time.
_DUE = "m.due_at_ms <= ? AND m.entity IN (SELECT entity FROM live) ORDER BY m.due_at_ms, m.sequence"
_LOCK_ENDED = "m.locked_until_ms <= ? AND m.entity IN (SELECT entity FROM live) ORDER BY m.locked_until_ms, m.sequence"
_EXPIRED = "m.expires_at_ms <= ? AND m.state = 0 AND m.lock_token IS NULL AND m.entity IN (SELECT entity FROM live)"
_NEXT_DUES = (
    "SELECT min(due_at_ms) FROM messages WHERE due_at_ms IS NOT NULL AND entity IN (SELECT entity FROM live)",
    "SELECT min(locked_until_ms) FROM messages WHERE locked_until_ms IS NOT NULL AND entity IN (SELECT entity FROM live)",
    (
        "SELECT min(expires_at_ms) FROM messages WHERE expires_at_ms IS NOT NULL AND state = 0 AND lock_token IS NULL "
        "AND entity IN (SELECT entity FROM live)"
    ),
    "SELECT min(forget_at_ms) FROM seen",
)


class MessageCounts(NamedTuple):
    """How many messages an entity holds."""

    active: int
    """Those that are locked or deferred included."""
    scheduled: int
    dead: int
    """In its dead-letter queue."""


class Subscription:
    """A subscription's rules, which outlive a restart as long as the configuration does not change them.

    Args:
        context: what it shares with the other entities.
        queue: holds its messages.
        settings: how it is set up.

    Raises:
        ArgumentError: a rule's SQL is not of the language.
    """

    def __init__(self, context: BusContext, queue: MessageQueue, settings: SubscriptionSettings) -> None:
        self.queue = queue
        self._context = context
        self.rules = self._opened(settings.rules or (DEFAULT_RULE,))

    def _opened(self, configured: tuple[RuleSettings, ...]) -> Rules:
        text = msgspec.json.encode(configured).decode()
        database = self._context.store.database
        known = database.execute("SELECT configured_rules FROM entities WHERE id = ?", (self.queue.id,)).fetchone()[0]
        if known != text:
            self._keep(Rules(configured))
            with self._context.store.transaction():
                database.execute("UPDATE entities SET configured_rules = ? WHERE id = ?", (text, self.queue.id))
        query = "SELECT rule FROM rules WHERE subscription = ? ORDER BY position"
        kept = database.execute(query, (self.queue.id,)).fetchall()
        return Rules(msgspec.json.decode(rule, type=RuleSettings) for (rule,) in kept)

    def _keep(self, rules: Rules) -> None:
        with self._context.store.transaction() as database:
            database.execute("DELETE FROM rules WHERE subscription = ?", (self.queue.id,))
            lines = [(self.queue.id, at, msgspec.json.encode(rule).decode()) for at, rule in enumerate(rules.settings())]
            database.executemany("INSERT INTO rules VALUES (?, ?, ?)", lines)
        self.rules = rules

    def add_rule(self, settings: RuleSettings) -> None:
        """Add a rule; errors as in `Rules.with_rule`."""
        self._keep(self.rules.with_rule(settings))

    def remove_rule(self, name: str) -> None:
        """Remove a rule; errors as in `Rules.without_rule`."""
        self._keep(self.rules.without_rule(name))


class ServiceBus:
    """All queues and topics.

    Attributes:
        entrances: what can be sent to, by path in lower case.
        queues: what can be received from, by path in lower case: queues, subscriptions and dead-letter queues.
        sessions: the sessions of each of `queues`, by the same path.
        subscriptions: by path in lower case.

    Raises:
        InputError: the store holds one of them with something that cannot change.
    """

    def __init__(
        self, store: Store, queues: Iterable[QueueSettings], topics: Iterable[TopicSettings], limits: Limits, clock: Clock
    ) -> None:
        self.context = BusContext(store, limits, clock)
        self.context.advance = self.advance
        self.entrances: dict[str, Entrance] = {}
        self.queues: dict[str, MessageQueue] = {}
        self.sessions: dict[str, Sessions] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self._store = store
        for queue in queues:
            self._add_queue(queue)
        for topic in topics:
            self._add_topic(topic)
        self._by_id = {queue.id: queue for queue in self.queues.values()}
        self._entrance_by_id = {self.context.entity(path): entrance for path, entrance in self.entrances.items()}
        self._recover()

    def _add_queue(self, settings: QueueSettings) -> None:
        fixed = Fixed("queue", settings.requires_session, settings.duplicate_window_ms is not None)
        keep_fixed(self.context, f"queue '{settings.name}'", settings.name, fixed)
        queue = self._add_receiving(settings.name, settings)
        self.entrances[settings.name.lower()] = Entrance(
            self.context,
            settings.name,
            duplicate_window_ms=settings.duplicate_window_ms,
            needs_session=settings.requires_session,
            deliver=queue.accept,
        )

    def _add_receiving(self, path: str, settings: ReceivingSettings) -> MessageQueue:
        plain = ReceivingSettings(name=settings.name, lock_ms=settings.lock_ms)
        dead_letters = MessageQueue(self.context, path + DEAD_LETTER_SUFFIX, plain, numbered_with=path)
        queue = MessageQueue(self.context, path, settings, dead_letters=dead_letters)
        for each in (dead_letters, queue):
            self.queues[each.path.lower()] = each
            self.sessions[each.path.lower()] = Sessions(self.context, each)
        return queue

    def _add_topic(self, settings: TopicSettings) -> None:
        location = f"topic '{settings.name}'"
        fixed = Fixed("topic", requires_duplicate_detection=settings.duplicate_window_ms is not None)
        keep_fixed(self.context, location, settings.name, fixed)
        subscriptions = []
        for each in settings.subscriptions:
            path = f"{settings.name}{SUBSCRIPTIONS}{each.name}"
            fixed = Fixed("subscription", each.requires_session)
            keep_fixed(self.context, f"subscription '{each.name}' of {location}", path, fixed)
            subscriptions.append(Subscription(self.context, self._add_receiving(path, each), each))
            self.subscriptions[path.lower()] = subscriptions[-1]
        topic = _TopicEntity(self.context, settings, subscriptions)
        self.entrances[settings.name.lower()] = Entrance(
            self.context,
            settings.name,
            duplicate_window_ms=settings.duplicate_window_ms,
            needs_session=False,
            deliver=topic.deliver,
        )

    def _recover(self) -> None:
        """Free all locks after a restart; a delivery that the broker's end cut off is not the receiver's failure."""
        with self._store.transaction() as database:
            database.execute("UPDATE messages SET lock_token = NULL, locked_until_ms = NULL WHERE lock_token IS NOT NULL")
            database.execute("CREATE TEMP TABLE live (entity INTEGER PRIMARY KEY)")
            entities = [(entity,) for entity in {*self._by_id, *self._entrance_by_id}]
            database.executemany("INSERT INTO live VALUES (?)", entities)

    def entrance(self, path: str) -> Entrance:
        """What can be sent to.

        Raises:
            NotFoundError: there is no such queue or topic.
        """
        return _found(self.entrances, path, "queue or topic")

    def queue(self, path: str) -> MessageQueue:
        """What can be received from.

        Raises:
            NotFoundError: there is no such queue or subscription.
        """
        return _found(self.queues, path, "queue or subscription")

    def counts(self, path: str) -> MessageCounts:
        """Count the messages of a queue or subscription.

        Raises:
            NotFoundError: there is none.
        """
        queue = self.queue(path)
        dead = 0 if queue.dead_letters is None else queue.dead_letters.count()
        return MessageCounts(
            queue.count(MessageState.ACTIVE, MessageState.DEFERRED), queue.count(MessageState.SCHEDULED), dead
        )  # fmt: skip

    def subscription(self, path: str) -> Subscription:
        """What has rules.

        Raises:
            NotFoundError: there is no such subscription.
        """
        return _found(self.subscriptions, path, "subscription")

    def together(self) -> AbstractContextManager[Any]:
        """Commit everything that is done within it at once; all of it sees the entities as of its beginning."""
        self.context.catch_up()
        return self._store.transaction()

    def lose_locks(self) -> None:
        """End every lock, of messages and of sessions, as if its time had run out: what a slow receiver meets."""
        with self._store.transaction() as database:
            database.execute("UPDATE messages SET locked_until_ms = 0 WHERE locked_until_ms IS NOT NULL")
        for sessions in self.sessions.values():
            sessions.lose_locks()
        self.context.fall_due(0)
        self.advance()

    def advance(self) -> int | None:
        """Do what has fallen due; return when the next thing does, in POSIX milliseconds."""
        now_ms = self.context.now_ms()
        if self.context.due_ms is not None and self.context.due_ms <= now_ms:
            self.context.due_ms = None
            session_ends = [sessions.advance(now_ms) for sessions in self.sessions.values()]
            with self._store.transaction() as database:
                for row in rows.select(database, _DUE, (now_ms,)):
                    self._entrance_by_id[row.entity].activate(row, now_ms)
                for row in rows.select(database, _LOCK_ENDED, (now_ms,)):
                    self._by_id[row.entity].unlock([row], failed=True)
                for row in rows.select(database, _EXPIRED, (now_ms,)):
                    self._by_id[row.entity].expire(row)
                database.execute("DELETE FROM seen WHERE forget_at_ms <= ?", (now_ms,))
                nexts = [database.execute(query).fetchone()[0] for query in _NEXT_DUES]
            for due in (*session_ends, *nexts):
                self.context.fall_due(due)
        return self.context.due_ms


class _TopicEntity:
    def __init__(self, context: BusContext, settings: TopicSettings, subscriptions: list[Subscription]) -> None:
        self._context = context
        self._settings = settings
        self._subscriptions = subscriptions
        self._id = context.entity(settings.name)

    def deliver(self, message: NewMessage, now_ms: int) -> None:
        """Give every subscription the copies that its rules select; a message that none selects is gone."""
        lives = [each for each in (message.time_to_live_ms, self._settings.default_time_to_live_ms) if each is not None]
        with self._context.store.transaction() as database:
            sequence = message.origin_sequence or rows.next_sequence(database, self._id)
            numbered = msgspec.structs.replace(message, time_to_live_ms=min(lives, default=None), origin_sequence=sequence)
            copies = [(each, copy) for each in self._subscriptions for copy in each.rules.copies(numbered)]
            if copies:
                body = rows.add_body(database, message)
                held = [subscription.queue.accept_copy(copy, now_ms, body) for subscription, copy in copies]
                rows.keep_body(database, body, sum(held))


def _found(where: dict[str, _T], path: str, kind: str) -> _T:
    entity = where.get(path.strip("/").lower())
    if entity is None:
        raise NotFoundError(f"there is no {kind} '{path}'; name it in Config.json")
    return entity
