"""Laws of the broker, whatever is done with it: nothing is lost, what was completed never comes again, sessions keep order."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from goldwire_emulator.broker import refusals
from goldwire_emulator.broker.entities import QueueSettings
from support.broker_world import BrokerWorld, message, texts

LOCK_MS = 10_000
WORK = QueueSettings(name="work", lock_ms=LOCK_MS, max_delivery_count=4)
CHATS = QueueSettings(name="chats", lock_ms=LOCK_MS, max_delivery_count=1000, requires_session=True)
SETTLEMENTS = st.sampled_from(["complete", "abandon", "release", "defer", "dead_letter", "renew"])


class QueueLaws(RuleBasedStateMachine):
    """A queue used at random by receivers that may be slow, under restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = BrokerWorld(Path(self.folder.name))
        self.sent: list[str] = []
        self.completed: set[str] = set()
        self.held: dict = {}
        self.deferred: dict[int, str] = {}
        self.open()

    def open(self) -> None:
        self.broker = self.world.open(WORK, durable=True)
        self.queue = self.broker.service_bus.queue("work")
        self.dead = self.broker.service_bus.queue("work/$deadletterqueue")

    @rule(count=st.integers(1, 3), later=st.booleans())
    def send(self, count, later) -> None:
        names = [f"m{len(self.sent) + number}" for number in range(count)]
        due = self.world.now_ms + LOCK_MS if later else None
        self.broker.service_bus.entrance("work").send([message(name, due_at_ms=due) for name in names])
        self.sent += names

    @rule(count=st.integers(1, 3))
    def receive(self, count) -> None:
        self.take(self.queue.receive(count))

    def take(self, found) -> None:
        now = {text for text, until in self.held.values() if until > self.world.now_ms}
        assert not now & set(texts(found)), "no message has two holders"
        assert not self.completed & set(texts(found)), "what was completed never comes again"
        numbers = [each.sequence_number for each in found]
        assert numbers == sorted(numbers)
        for each in found:
            self.held[each.lock_token] = (each.payload.decode(), self.world.now_ms + LOCK_MS)

    @precondition(lambda self: self.held)
    @rule(what=SETTLEMENTS, choice=st.randoms(use_true_random=False))
    def settle(self, what, choice: random.Random) -> None:
        token = choice.choice(list(self.held))
        text, until = self.held.pop(token)
        number = next(each.sequence_number for each in self.queue.peek(0, 999) + self.dead.peek(0, 999)
                      if each.payload.decode() == text) if text not in self.completed else 0  # fmt: skip
        try:
            getattr(self.queue, what)(token)
        except refusals.MessageLockLostError:
            assert until <= self.world.now_ms, "a lock is lost only when its time is over"
            return
        assert until > self.world.now_ms, "a lock that is over settles nothing"
        if what == "complete":
            self.completed.add(text)
        elif what == "defer":
            self.deferred[number] = text
        elif what == "renew":
            self.held[token] = (text, self.world.now_ms + LOCK_MS)

    @precondition(lambda self: self.deferred)
    @rule(choice=st.randoms(use_true_random=False))
    def receive_deferred(self, choice: random.Random) -> None:
        number = choice.choice(sorted(self.deferred))
        try:
            self.take(self.queue.receive_deferred([number]))
        except refusals.MessageNotFoundError:
            # Held, completed, or given up: the census below says that it is not lost.
            return

    @rule(seconds=st.sampled_from([1, 5, 11]))
    def wait(self, seconds) -> None:
        self.world.pass_time(seconds)

    @rule()
    def restart(self) -> None:
        self.broker.close()
        self.open()
        self.held = {token: (text, 0) for token, (text, _) in self.held.items()}

    @invariant()
    def every_message_is_somewhere_once(self) -> None:
        there = Counter(texts(self.queue.peek(0, 9999)) + texts(self.dead.peek(0, 9999)))
        assert there == Counter(name for name in self.sent if name not in self.completed)

    def teardown(self) -> None:
        self.world.close()
        self.folder.cleanup()


class SessionLaws(RuleBasedStateMachine):
    """Receivers that take sessions, finish some messages, lose locks; each completes strictly in the order it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = BrokerWorld(Path(self.folder.name))
        self.sent = {session: [] for session in "abc"}
        self.done = {session: [] for session in "abc"}
        self.locks: dict = {}
        self.lost: set[str] = set()
        self.open()

    def open(self) -> None:
        self.broker = self.world.open(CHATS, durable=True)
        self.queue, self.sessions = self.broker.service_bus.queue("chats"), self.broker.service_bus.sessions["chats"]

    @rule(sessions=st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
    def send(self, sessions) -> None:
        batch = []
        for session in sessions:
            text = f"{session}{len(self.sent[session])}"
            self.sent[session].append(text)
            batch.append(message(text, session_id=session))
        self.broker.service_bus.entrance("chats").send(batch)

    @rule()
    def accept(self) -> None:
        lock = self.sessions.accept(None, "someone", lambda: None)
        if lock is None:
            waiting = {session for session in "abc" if len(self.done[session]) < len(self.sent[session])}
            assert waiting <= {session for session in self.locks if self.sessions.holds(self.locks[session])}
        else:
            held = self.locks.get(lock.session_id)
            assert held is None or not self.sessions.holds(held), "no session has two holders"
            self.locks[lock.session_id] = lock

    @precondition(lambda self: self.locks)
    @rule(choice=st.randoms(use_true_random=False), count=st.integers(1, 3))
    def work(self, choice: random.Random, count) -> None:
        session = choice.choice(sorted(self.locks))
        lock = self.locks[session]
        if not self.sessions.holds(lock):
            del self.locks[session]
            return
        found = self.queue.receive(count, session=session)
        expected = self.sent[session][len(self.done[session]) :][: len(found)]
        assert texts(found) == expected, "a session's messages come in the order they were sent, and none is left out"
        for each in found[: choice.randint(0, len(found))]:
            self.queue.complete(each.lock_token)
            self.done[session].append(each.payload.decode())
        self.sessions.release(lock)
        del self.locks[session]

    @rule(seconds=st.sampled_from([1, 6, 11]))
    def wait(self, seconds) -> None:
        self.world.pass_time(seconds)

    @rule()
    def restart(self) -> None:
        self.broker.close()
        self.locks.clear()
        self.open()

    @invariant()
    def nothing_is_lost(self) -> None:
        for session in "abc":
            assert texts(self.queue.peek(0, 9999, session)) == self.sent[session][len(self.done[session]) :]

    def teardown(self) -> None:
        self.world.close()
        self.folder.cleanup()


TestQueueLaws = pytest.mark.slow(QueueLaws.TestCase)
TestSessionLaws = pytest.mark.slow(SessionLaws.TestCase)
TestQueueLaws.settings = TestSessionLaws.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
