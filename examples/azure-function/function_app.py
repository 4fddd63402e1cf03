"""An Azure Function that turns customer events into a credit report in PostgreSQL, from Event Hubs and from Service Bus.

When a function returns, its messages count as done; when it raises, the host brings them again. So it raises only when
something is away; what can never be applied is set aside in the table `goldwire_dead_letter`.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, List  # noqa: UP035 - the form that the Functions worker's documentation shows for its annotations

import azure.functions as func
import msgspec

from goldwire_consumer import Consumer, Event, Record, Settings, fold
from goldwire_consumer.adapter.azure_functions import event_hub_messages, service_bus_message
from goldwire_consumer.store.postgresql import PostgresStore

TABLES = (
    "CREATE TABLE IF NOT EXISTS customer_record (entity_id TEXT PRIMARY KEY, record JSONB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS credit_report (entity_id TEXT PRIMARY KEY, customer TEXT NOT NULL, class TEXT NOT NULL)",
)
CLASSES = ((100_000, "A"), (1_000, "B"))

app = func.FunctionApp()


@app.function_name("from_event_hubs")
@app.event_hub_message_trigger(
    arg_name="events",
    connection="EventHubConnection",
    event_hub_name="%EventHubName%",
    consumer_group="%EventHubConsumerGroup%",
    cardinality="many",
    data_type="binary",
)
@app.retry(strategy="exponential_backoff", max_retry_count="-1", minimum_interval="00:00:01", maximum_interval="00:05:00")
def from_event_hubs(events: List[func.EventHubEvent]) -> None:  # noqa: UP006 - as above
    """Apply the events of one partition. Without the retry policy the host would go on after an error and lose them."""
    subscriber("event-hubs").process(event_hub_messages(events))


@app.function_name("from_service_bus")
@app.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBusConnection",
    queue_name="%ServiceBusQueue%",
    is_sessions_enabled=True,
    data_type="binary",
)
def from_service_bus(message: func.ServiceBusMessage) -> None:
    """Apply one message of a session."""
    subscriber("service-bus").process([service_bus_message(message)])


def subscriber(stream: str) -> Consumer[Any]:
    """Return a consumer for one invocation; invocations run side by side, and their guard is in the database.

    Args:
        stream: the two triggers are two targets of Goldwire, so that each has a chain of its own.
    """
    return Consumer(store(stream), write, Settings(attempts=8))


@cache
def store(stream: str) -> PostgresStore:
    """Return the database, with its tables."""
    found = PostgresStore(os.environ["DATABASE_URL"], stream=stream)
    with found.transaction() as transaction:
        transaction.connection.execute("SELECT pg_advisory_xact_lock(hashtext('credit_report'))")
        for statement in TABLES:
            transaction.connection.execute(statement.encode())
    return found


def write(event: Event, connection: Any) -> None:
    """Keep the record, and the report that is made from it."""
    key = (event.entity_id,)
    row = connection.execute("SELECT record::text FROM customer_record WHERE entity_id = %s FOR UPDATE", key).fetchone()
    record = fold(None if row is None else msgspec.json.decode(row[0], type=Record), event)
    if record is None:
        connection.execute("DELETE FROM customer_record WHERE entity_id = %s", key)
        connection.execute("DELETE FROM credit_report WHERE entity_id = %s", key)
        return
    connection.execute(
        "INSERT INTO customer_record (entity_id, record) VALUES (%s, %s::jsonb) "
        "ON CONFLICT (entity_id) DO UPDATE SET record = excluded.record",
        (*key, msgspec.json.encode(record).decode()),
    )
    connection.execute(
        "INSERT INTO credit_report (entity_id, customer, class) VALUES (%s, %s, %s) "
        "ON CONFLICT (entity_id) DO UPDATE SET customer = excluded.customer, class = excluded.class",
        (*key, *report(record)),
    )


def report(record: Record) -> tuple[str, str]:
    """Return the customer's name with the city, and the class of credit."""
    credit = record.value("credit", 0)
    found = next((name for limit, name in CLASSES if isinstance(credit, int | float) and credit >= limit), "C")
    return ", ".join(str(part) for part in (record.value("name"), record.value("city")) if part), found
