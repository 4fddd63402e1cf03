"""Two subscribers built on the kit share a topic: killed at any step, robbed of partitions, sent things twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from sqlite3 import Connection

import msgspec
from topic import Topic

import goldwire.targets.clients.backplane
from goldwire_consumer.consumer import Consumer
from goldwire_consumer.event import Event
from goldwire_consumer.fold import Record, fold
from goldwire_consumer.guard import Outcome
from goldwire_consumer.message import Message, Position, wire_headers
from goldwire_consumer.store.sqlite import SqliteStore
from goldwire_lab.simulation.faults import SimulatedCrash
from goldwire_lab.simulation.witness import Held

WRONG = {Outcome.JOINED, Outcome.HEALED, Outcome.PARKED, Outcome.DEAD}
"""What a subscriber that was there from the start must never report, because nothing was lost."""

KILLED, FLAKY = 0.02, 0.02
"""Chances for one call of the handler: the process ends in the middle of a batch; an error that goes away by itself."""
KILLED_AFTER, CHECKPOINT_LOST, STOLEN, AGAIN, UNDER_WAY = 0.1, 0.1, 0.15, 0.2, 0.4
"""Chances for one batch: killed between commit and checkpoint, and so on; `AGAIN`: it begins with older messages."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS customer (entity_id TEXT PRIMARY KEY, version INTEGER, record TEXT)",
    "CREATE TABLE IF NOT EXISTS applied (number INTEGER PRIMARY KEY, entity_id TEXT, version INTEGER)",
)


class Group:
    """A consumer group of two subscribers that write to one database.

    Args:
        topic: makes the topic, given what to tell when a partition grows.
        path: the subscribers' database.
        random: the seed's.
        later: calls a function after some seconds of virtual time.
        report: called with each broken promise.
    """

    def __init__(
        self,
        topic: Callable[[Callable[[int], None]], Topic],
        path: Path,
        random: Random,
        later: Callable[[float, Callable[[], None]], object],
        report: Callable[[str], None],
    ) -> None:
        self.calm = False
        self.topic = topic(self.grown)
        self._random, self._later, self._report = random, later, report
        self._kept_here = random.random() < 0.5
        """Whether the checkpoint stands in the subscribers' database, or at the broker."""
        count = len(self.topic.partitions)
        self._owner = [random.randrange(2) for _ in range(count)]
        self._epoch = [0] * count
        self._next = [0] * count
        self._busy = [False] * count
        self._checkpoint = [0] * count
        self._path = path
        self._stores = [SqliteStore(path), SqliteStore(path)]
        self._lives = [0, 0]
        with self._stores[0].transaction() as transaction:
            for statement in TABLES:
                transaction.connection.execute(statement)
        self._consumers = [self._consumer(0), self._consumer(1)]

    def close(self) -> None:
        """Close the database."""
        for store in self._stores:
            store.close()

    def grown(self, partition: int) -> None:
        """A partition has news; its owner reads after a while, sooner or later than the other partitions."""
        delay = self._random.choice((0.0, 0.1, 5.0, 300.0))
        self._later(delay, lambda: self._guarded(lambda: self._read(partition)))

    def drain(self) -> None:
        """Read every partition to its end, without faults."""
        self.calm = True
        for partition, log in enumerate(self.topic.partitions):
            self._taken_over(partition)
            while self._next[partition] < len(log):
                self._guarded(lambda partition=partition: self._read(partition))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever falls over here is a finding
            self._report(f"{self.topic.name}: a subscriber fell over: {type(error).__name__}: {error}")
            self._next = [len(log) for log in self.topic.partitions]

    def _happened(self, what: str) -> None:
        self.topic.happened[what] += 1

    # --- one subscriber

    def _consumer(self, subscriber: int) -> Consumer[Connection]:
        return Consumer(self._stores[subscriber], self._handle, sleep=lambda _: None)

    def _handle(self, event: Event, connection: Connection) -> None:
        if not self.calm and self._random.random() < KILLED:
            self._happened("killed in a batch")
            raise SimulatedCrash("subscriber: in a batch")
        query = "SELECT record FROM customer WHERE entity_id = ?"
        found = connection.execute(query, (event.entity_id,)).fetchone()
        before = msgspec.json.decode(found[0], type=Record) if found is not None and found[0] is not None else None
        after = fold(before, event)
        record = None if after is None else msgspec.json.encode(after).decode()
        connection.execute("INSERT OR REPLACE INTO customer VALUES (?, ?, ?)", (event.entity_id, event.version, record))
        if not self.calm and self._random.random() < FLAKY:
            self._happened("handler failed once")
            raise OSError("this goes away by itself")
        connection.execute("INSERT INTO applied (entity_id, version) VALUES (?, ?)", (event.entity_id, event.version))

    def _die(self, subscriber: int) -> None:
        """A new process takes the place of the one that was killed, and starts at the checkpoints."""
        self._lives[subscriber] += 1
        self._stores[subscriber].close()
        self._stores[subscriber] = SqliteStore(self._path)
        self._consumers[subscriber] = self._consumer(subscriber)
        for partition, owner in enumerate(self._owner):
            if owner == subscriber:
                self._taken_over(partition)
                self.grown(partition)

    # --- one partition

    def _read(self, partition: int) -> None:
        """Fetch a batch and process it, at once or after a while, in which the partition may be stolen."""
        random = self._random
        if not self.calm and random.random() < STOLEN:
            self._owner[partition] ^= 1
            self._happened("stolen in a batch" if self._busy[partition] else "stolen")
            self._taken_over(partition)
        log, start = self.topic.partitions[partition], self._next[partition]
        if self._busy[partition] or start >= len(log):
            return
        end = min(len(log), start + random.choice((1, 3, 10, 100)))
        if not self.calm and random.random() < AGAIN:
            start = random.randint(0, start)
            self._happened("delivered again")
        batch = [self._message(partition, offset) for offset in range(start, end)]
        self._next[partition] = end
        owner, epoch = self._owner[partition], self._epoch[partition]
        life = self._lives[owner]

        def process() -> None:
            if life == self._lives[owner]:
                self._process(partition, owner, epoch, batch)

        if not self.calm and random.random() < UNDER_WAY:
            self._busy[partition] = True
            self._later(random.choice((1.0, 60.0)), lambda: self._guarded(process))
        else:
            process()

    def _process(self, partition: int, owner: int, epoch: int, batch: list[Message]) -> None:
        random = self._random
        try:
            for result in self._consumers[owner].process(batch):
                self._happened(result.outcome.value)
                if result.outcome in WRONG:
                    self._report(f"{self.topic.name}: a subscriber {result.outcome.value} {result.event}, and nothing was lost")
            if not self.calm and random.random() < KILLED_AFTER:
                self._happened("killed before the checkpoint")
                raise SimulatedCrash("subscriber: before the checkpoint")  # noqa: TRY301 - as the handler does
        except SimulatedCrash:
            self._die(owner)
            return
        # As with Event Hubs, the one that lost the partition meanwhile still writes its checkpoint, and so may set it back.
        if self.calm or random.random() >= CHECKPOINT_LOST:
            self._checkpoint[partition] = batch[-1].position.sequence + 1
        else:
            self._happened("checkpoint lost")
        if epoch == self._epoch[partition]:
            self._busy[partition] = False
        if not self.calm:
            self.grown(partition)

    def _taken_over(self, partition: int) -> None:
        self._epoch[partition] += 1
        self._busy[partition] = False
        self._next[partition] = self._start(partition)

    def _start(self, partition: int) -> int:
        if not self._kept_here:
            return self._checkpoint[partition]
        with self._stores[0].transaction() as transaction:
            query = "SELECT sequence FROM goldwire_checkpoint WHERE partition_id = ?"
            found = transaction.run(query, (str(partition),)).fetchone()
        return 0 if found is None else found[0] + 1

    def _message(self, partition: int, offset: int) -> Message:
        message: goldwire.targets.clients.backplane.Message = self.topic.partitions[partition][offset]
        named = {"messageId": message.id, "subject": message.shared.subject, "contentType": message.content_type}
        attributes = {f"ce_{name}": value for name, value in message.attributes.items()}
        position = Position(self.topic.name, str(partition), str(offset), offset)
        return Message(
            body=message.body,
            headers=wire_headers(named, message.properties, attributes),
            source=f"{self.topic.name}/{partition}@{offset}",
            position=position,
        )

    # --- promises

    def check(self, wanted: Callable[[str], Held | None], entities: list[str]) -> None:
        """Compare the table with what a faithful reader holds, and look for what went backwards or was set aside."""
        with self._stores[0].transaction() as transaction:
            connection = transaction.connection
            rows = dict(connection.execute("SELECT entity_id, record FROM customer").fetchall())
            applied: dict[str, list[int]] = {}
            for entity_id, version in connection.execute("SELECT entity_id, version FROM applied ORDER BY number").fetchall():
                applied.setdefault(entity_id, []).append(version)
            letters = transaction.letters(None)
        name = self.topic.name
        for entity_id, versions in applied.items():
            if any(later <= earlier for earlier, later in pairwise(versions)):
                self._report(f"{name}: a subscriber applied the versions {versions} of {entity_id}")
        if letters:
            self._report(f"{name}: {len(letters)} dead letters at a subscriber, and nothing was lost")
        for entity_id in sorted(rows.keys() | set(entities)):
            record = rows.get(entity_id)
            held = None if record is None else msgspec.json.decode(record, type=Held)
            self.topic.happened["relations compared"] += held is not None and bool(held.edges)
            if held != wanted(entity_id):
                self._report(f"{name}: the subscribers' row of {entity_id} is not the golden record as the contract shows it")
