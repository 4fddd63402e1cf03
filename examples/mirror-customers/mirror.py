"""A microservice that mirrors customers from Goldwire's events into its own table in PostgreSQL.

It takes them from Kafka, Event Hubs or Service Bus, applies each once, and holds its place in the same database.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

import msgspec
import psycopg

from goldwire_consumer import Consumer, Event, GapDetected, Outcome, Record, Settings, StoppedError, fold
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.store.postgresql import PostgresStore

LOG = logging.getLogger("mirror")
TABLE = """CREATE TABLE IF NOT EXISTS customer (
  entity_id TEXT PRIMARY KEY, name TEXT, city TEXT, version BIGINT NOT NULL, record JSONB NOT NULL)"""


def write(event: Event, connection: Any) -> None:
    """Write one event. The kit has checked it, knows that it is news, and commits."""
    if event.entity_type != "Customer":
        return
    row = connection.execute("SELECT record::text FROM customer WHERE entity_id = %s FOR UPDATE", (event.entity_id,)).fetchone()
    record = fold(None if row is None else msgspec.json.decode(row[0], type=Record), event)
    if record is None:
        connection.execute("DELETE FROM customer WHERE entity_id = %s", (event.entity_id,))
        return
    connection.execute(
        "INSERT INTO customer (entity_id, name, city, version, record) VALUES (%s, %s, %s, %s, %s::jsonb) "
        "ON CONFLICT (entity_id) DO UPDATE SET "
        "name = excluded.name, city = excluded.city, version = excluded.version, record = excluded.record",
        (event.entity_id, record.value("name"), record.value("city"), event.version, msgspec.json.encode(record).decode()),
    )


def ask_for_replay(gap: GapDetected) -> None:
    """Tell the operator of Goldwire what to do; a service with access would start the replay itself."""
    LOG.error("%s", gap)
    LOG.error("run: goldwire replay TARGET --entity %s", gap.entity_id)


def subscription(given: argparse.Namespace, consumer: Consumer[Any], store: PostgresStore) -> Any:
    """Connect to the broker that was asked for; only its client needs to be installed."""
    pace = Pace(batch=given.batch)
    if given.source == "kafka":
        from goldwire_consumer.adapter.kafka import KafkaSubscription  # noqa: PLC0415 - only what is asked for, here and below

        configuration = {"group.id": given.group, **given.kafka_settings, "bootstrap.servers": given.address}
        return KafkaSubscription(consumer, configuration, [given.entity], pace)
    if given.source == "event-hubs":
        from azure.eventhub import EventHubConsumerClient  # noqa: PLC0415

        from goldwire_consumer.adapter.event_hubs import EventHubsSubscription  # noqa: PLC0415
        from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore  # noqa: PLC0415

        checkpoints = SqlCheckpointStore(store)
        hub = EventHubConsumerClient.from_connection_string(
            given.address, given.group, eventhub_name=given.entity, checkpoint_store=checkpoints
        )
        hub.get_partition_ids()  # a wrong hub or key shows here; in the run the SDK would ask again without end
        return EventHubsSubscription(consumer, hub, checkpoints, pace=pace)
    from azure.servicebus import ServiceBusClient  # noqa: PLC0415

    from goldwire_consumer.adapter.service_bus import ServiceBusSubscription  # noqa: PLC0415

    bus = ServiceBusClient.from_connection_string(given.address, retry_total=0)
    return ServiceBusSubscription(consumer, bus, queue=given.entity, sessions_at_once=8, pace=pace)


def arguments() -> argparse.Namespace:
    """Read the command line; addresses may hold secrets, so that they come from the environment too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=["kafka", "event-hubs", "service-bus"])
    parser.add_argument("entity", help="topic, hub or queue")
    parser.add_argument(
        "--address", default=os.environ.get("MIRROR_ADDRESS"), help="brokers or connection string; MIRROR_ADDRESS"
    )
    parser.add_argument("--database", default=os.environ.get("MIRROR_DATABASE"), help="of PostgreSQL; MIRROR_DATABASE")
    parser.add_argument("--group", default="mirror-customers", help="consumer group")
    parser.add_argument("--batch", type=int, default=200, help="messages in one transaction, at most")
    parser.add_argument("--kafka-settings", default="{}", help="more settings of librdkafka, as JSON")
    parser.add_argument("--redrive", action="store_true", help="process the dead letters again, and end")
    given = parser.parse_args()
    try:
        given.kafka_settings = json.loads(given.kafka_settings)
    except ValueError:
        parser.error("--kafka-settings is no JSON")
    if not given.database or not (given.address or given.redrive):
        parser.error("give --address and --database, or MIRROR_ADDRESS and MIRROR_DATABASE")
    return given


REFUSED = "the key or token is refused; it needs Listen, or the role of a Data Receiver"
WRONG = {
    "AuthenticationError": REFUSED,
    "ServiceBusAuthenticationError": REFUSED,
    "ServiceBusAuthorizationError": REFUSED,
    "MessagingEntityNotFoundError": "there is nothing of this name; create it, or name another",
}
"""By the name of the SDK's error, where its own text does not help."""


def wrong(error: Exception, given: argparse.Namespace) -> str | None:
    """Return in one line what is wrong around this program; None where the fault is in it."""
    text = (str(error).splitlines() or [""])[0]
    kind, package = type(error).__name__, type(error).__module__.partition(".")[0]
    if isinstance(error, StoppedError):
        return text
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return "--database is no connection string of PostgreSQL"  # the error quotes it
    if isinstance(error, psycopg.Error):
        return f"database: {text}"
    if package in {"azure", "cimpl"}:  # cimpl is confluent_kafka's
        return f"{given.source}, {given.entity}: {WRONG.get(kind, text)} ({kind})"
    return None


def mirror(given: argparse.Namespace, stop: threading.Event) -> None:
    """Run until the end is asked for, or process the dead letters again."""
    store = PostgresStore(given.database, stream=given.entity)
    try:
        with store.transaction() as transaction:
            transaction.connection.execute(TABLE.encode())
        consumer = Consumer(store, write, Settings(on_gap=ask_for_replay))
        if given.redrive:
            found = consumer.redrive()
            LOG.info("%d dead letters processed again, %d remain", found.total(), found[Outcome.DEAD] + found[Outcome.PARKED])
            return
        try:
            subscribed = subscription(given, consumer, store)
        except ValueError as error:
            raise StoppedError(f"--address: {error}") from error
        subscribed.run(stop)
    finally:
        store.close()


def main() -> int:
    """Run until SIGTERM or SIGINT; exit code 1 says that somebody has to look."""
    given = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        mirror(given, stop)
    except Exception as error:
        found = wrong(error, given)
        if found is None:
            raise
        LOG.critical("%s", found)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
