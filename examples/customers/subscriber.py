"""A subscriber that rebuilds a table of customers from an Event Hub, with the kit and nothing else of Goldwire.

All that an event causes is one transaction of its SQLite file: the row, the kit's guard, the checkpoint, the count. So it can
be killed at any moment and started again.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import msgspec
from azure.eventhub import EventHubConsumerClient, LoadBalancingStrategy
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from goldwire_consumer import Consumer, Event, Record, SqliteStore, StoppedError, fold
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.pace import Pace

LOG = logging.getLogger("subscriber")
TABLES = (
    "CREATE TABLE IF NOT EXISTS customer (entity_id TEXT PRIMARY KEY, version INTEGER NOT NULL, record TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tally (applied INTEGER NOT NULL)",
    "INSERT INTO tally SELECT 0 WHERE NOT EXISTS (SELECT * FROM tally)",
)
BATCH = 100
LOAD_BALANCING_SECONDS = 0.3
OWNERSHIP_SECONDS = 2.0
"""How long the partitions of a subscriber that was killed stay its own; the SDK's three minutes suit a real service better."""


def write(event: Event, connection: sqlite3.Connection) -> None:
    """Write one event. The kit has checked it, knows that it is news, and commits."""
    row = connection.execute("SELECT record FROM customer WHERE entity_id = ?", (event.entity_id,)).fetchone()
    record = fold(None if row is None else msgspec.json.decode(row[0], type=Record), event)
    if record is None:
        connection.execute("DELETE FROM customer WHERE entity_id = ?", (event.entity_id,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO customer (entity_id, version, record) VALUES (?, ?, ?)",
            (event.entity_id, event.version, msgspec.json.encode(record).decode()),
        )
    connection.execute("UPDATE tally SET applied = applied + 1")


def ends(client: EventHubConsumerClient) -> dict[str, int]:
    """Return the sequence number of the last event in each partition; -1 where there is none."""
    found = {}
    for partition in client.get_partition_ids():
        state = client.get_partition_properties(partition)
        found[partition] = -1 if state["is_empty"] else state["last_enqueued_sequence_number"]
    return found


def end_when_read(database: Path, wanted: dict[str, int], stop: threading.Event) -> None:
    """Ask for the end once the checkpoints have reached the ends."""
    connection = sqlite3.connect(database)
    while not stop.wait(0.05):
        read = dict(connection.execute("SELECT partition_id, sequence FROM goldwire_checkpoint").fetchall())
        if all(read.get(partition, -1) >= last for partition, last in wanted.items()):
            stop.set()
    connection.close()


def arguments() -> argparse.Namespace:
    """Read the command line; the connection string may hold a secret, so that it comes in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("connection_file", type=Path, help="holds the connection string of the namespace")
    parser.add_argument("hub")
    parser.add_argument("database", type=Path, help="the SQLite file of this subscriber")
    parser.add_argument("--group", default="$Default", help="consumer group")
    parser.add_argument("--until-end", action="store_true", help="end at what was the end of each partition at the start")
    parser.add_argument("--pause-seconds", type=float, default=0.0, help="rest after each event, to be watched at work")
    return parser.parse_args()


REFUSED = "the key or token is refused; it needs Listen, or the role of a Data Receiver"
NOT_THERE = "the namespace has no hub of this name; create it, or name another"


def connect(given: argparse.Namespace, checkpoints: SqlCheckpointStore) -> EventHubConsumerClient:
    """Connect, and ask for the partitions: a wrong hub or key shows here, while in the run the SDK would ask again without end.

    Raises:
        StoppedError: the connection string cannot be read.
    """
    try:
        client = EventHubConsumerClient.from_connection_string(
            given.connection_file.read_text(encoding="utf-8").strip(),
            given.group,
            eventhub_name=given.hub,
            checkpoint_store=checkpoints,
            load_balancing_interval=LOAD_BALANCING_SECONDS,
            partition_ownership_expiration_interval=OWNERSHIP_SECONDS,
            load_balancing_strategy=LoadBalancingStrategy.GREEDY,
        )
    except OSError as error:
        raise StoppedError(f"{given.connection_file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StoppedError(f"{given.connection_file}: it is no text, so no connection string") from error
    except ValueError as error:
        raise StoppedError(f"{given.connection_file}: {error}") from error
    client.get_partition_ids()
    return client


def wrong(error: Exception, given: argparse.Namespace) -> str | None:
    """Return in one line what is wrong around this program; None where the fault is in it."""
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, StoppedError):
        return text
    if isinstance(error, sqlite3.OperationalError):
        return f"{given.database}: {text}"
    if isinstance(error, AuthenticationError):
        return f"hub {given.hub}: {REFUSED}"
    if isinstance(error, EventHubError):
        return f"hub {given.hub}: {NOT_THERE if 'Status code: 404' in text else text}"
    return None


def subscribe(given: argparse.Namespace, store: SqliteStore, stop: threading.Event) -> int:
    """Run until the end is asked for; returns how many events were applied, in earlier lives too."""
    with store.transaction() as transaction:
        for statement in TABLES:
            transaction.connection.execute(statement)
    checkpoints = SqlCheckpointStore(store)
    client = connect(given, checkpoints)

    def handle(event: Event, connection: sqlite3.Connection) -> None:
        write(event, connection)
        time.sleep(given.pause_seconds)

    if given.until_end:
        threading.Thread(target=end_when_read, args=(given.database, ends(client), stop), daemon=True).start()
    EventHubsSubscription(Consumer(store, handle), client, checkpoints, pace=Pace(batch=BATCH, wait_seconds=0.2)).run(stop)
    with store.transaction() as transaction:
        (applied,) = transaction.connection.execute("SELECT applied FROM tally").fetchone()
    return int(applied)


def main() -> int:
    """Run until SIGTERM or SIGINT, or until the end; exit code 1 says that somebody has to look."""
    given = arguments()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with closing(SqliteStore(given.database)) as store:
            print(json.dumps({"applied": subscribe(given, store, stop)}))  # noqa: T201 - the result
    except Exception as error:
        found = wrong(error, given)
        if found is None:
            raise
        LOG.critical("%s", found)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
