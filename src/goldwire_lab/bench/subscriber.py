"""The kit for subscribers: verify, guard, apply and commit in SQLite, beside a program that only decodes and writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from goldwire.errors import ConfigError, VerificationError
from goldwire.event.headers import headers
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.services.contract_documents import preview
from goldwire_lab.bench import sample
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import in_turns
from goldwire_lab.bench.setting import Setting

if TYPE_CHECKING:
    from goldwire_consumer import Event

BATCH = 200
"""Messages in one transaction, here and in the floor; the default of the kit's adapters."""

_READ = 1_000
_TABLE = "CREATE TABLE customer (id TEXT PRIMARY KEY, version INTEGER NOT NULL, email TEXT, city TEXT)"
_UPSERT = """
INSERT INTO customer VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, email = excluded.email, city = excluded.city
"""

Sent = tuple[bytes, Mapping[str, str]]
"""Body and headers, as a broker has them."""

_decode = msgspec.json.Decoder().decode


def installed() -> bool:
    """Return whether the kit is installed; it is a package of its own, and Goldwire works without it."""
    return find_spec("goldwire_consumer") is not None


def subscriber(setting: Setting) -> Throughput:
    """Measure the kit with its SQLite store; the handler has one upsert.

    Raises:
        ConfigError: the kit is not installed.
        VerificationError: an event was not applied.
    """
    if not installed():
        raise ConfigError("the figure subscriber measures goldwire-consumer: in a clone, pip install ./src/goldwire_consumer")
    sent = list(_sealed(setting))

    def bare(number: int) -> None:
        _write_all(setting, sent, setting.folder / f"floor-{number}.db")

    def kit(number: int) -> None:
        _process_all(setting, sent, setting.folder / f"kit-{number}.db")

    rounds = in_turns(setting.rounds, bare, kit)
    what = f"parse, verify the hash, version guard, one upsert by the handler, checkpoint; SQLite, commits of {BATCH}"
    floor = f"decode the same bytes, the same upsert, SQLite, commits of {BATCH}; nothing is verified, no guard"
    return throughput("kit, subscriber", what, floor, setting.events, rounds, Wanted())


def _sealed(setting: Setting) -> Iterator[Sent]:
    """Yield what a target sends of the log: sealed by the contract with three masks."""
    with sample.application(setting.folder, setting.store, {"memory": {"kind": "memory"}}) as application:
        contract = preview(application.loaded, "memory")
        end = application.store.position()
        for begin in range(0, end, _READ):
            for row in application.store.read(begin, end, _READ):
                event = seal(contract, row, None, None)
                assert isinstance(event, SealedEvent), "the contract selects everything"
                yield event.body, {name: value for name, value in headers(event).items() if name != "partitionKey"}


def _write_all(setting: Setting, sent: Sequence[Sent], file: Path) -> None:
    """The floor: decode each event and write it. Every value is decoded, because a handler may read any of them."""
    with closing(_database(file)) as connection:
        for begin in range(0, len(sent), BATCH):
            batch = sent[begin : begin + BATCH]
            connection.execute("BEGIN IMMEDIATE")
            for body, _ in batch:
                event = _decode(body)
                attributes = event["changes"]["attributes"]
                row = (event["entityId"], event["version"], attributes["email"]["value"], attributes["city"]["value"])
                connection.execute(_UPSERT, row)
            connection.execute("COMMIT")
            setting.tick(len(batch))
        _prove(connection, "customer", len(sent))


def _process_all(setting: Setting, sent: Sequence[Sent], file: Path) -> None:
    """Hand every message to the kit, as its adapters do."""
    from goldwire_consumer import Consumer, Message, Outcome, Position, SqliteStore  # noqa: PLC0415 - a package of its own

    _database(file).close()
    store = SqliteStore(file)
    consumer = Consumer(store, _write)
    try:
        for begin in range(0, len(sent), BATCH):
            batch = [
                Message(body=body, headers=beside, source="golden/0", position=Position("golden", "0", str(number), number))
                for number, (body, beside) in enumerate(sent[begin : begin + BATCH], begin)
            ]
            for result in consumer.process(batch):
                if result.outcome is not Outcome.APPLIED:
                    raise VerificationError(f"the kit: an event was {result.outcome.value}, each was to be applied")
            setting.tick(len(batch))
        with store.transaction() as transaction:
            for table in ("customer", "goldwire_guard"):
                _prove(transaction.connection, table, len(sent))
    finally:
        store.close()


def _write(event: Event, connection: sqlite3.Connection) -> None:
    assert event.changes is not None, "nothing is deleted here"
    attributes = event.changes.attributes
    connection.execute(_UPSERT, (event.entity_id, event.version, attributes["email"].value, attributes["city"].value))


def _database(file: Path) -> sqlite3.Connection:
    """Make a file with the subscriber's own table, set as the kit sets it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(_TABLE)
    return connection


def _prove(connection: sqlite3.Connection, table: str, events: int) -> None:
    found: Any = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a name of this file
    if found != events:
        raise VerificationError(f"table {table} of the subscriber has {found} rows, {events} were to be written")
