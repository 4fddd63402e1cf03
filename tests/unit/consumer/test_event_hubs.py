"""How a subscription uses the Event Hubs SDK, against a client that keeps what it is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldwire.testing.events import chain
from goldwire_consumer import Consumer, SqliteStore, StoppedError, TryAgainError
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription, report
from goldwire_consumer.adapter.event_hubs_aio import AsyncEventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.event_hubs_checkpoints_aio import AsyncSqlCheckpointStore
from goldwire_consumer.adapter.event_hubs_identity import identity_of
from goldwire_consumer.aio import AsyncConsumer

NAMES = ("ns", "customers", "billing")
NAMED = {"fully_qualified_namespace": "ns", "eventhub_name": "customers", "consumer_group": "billing"}
HUB = {"created_at": datetime(2026, 11, 20, tzinfo=UTC), "partition_ids": ["0", "1"]}
LAST = {"0": 4, "1": 40}


class Context(SimpleNamespace):
    """The SDK's, of partition 0; it keeps the events up to which the SDK's own checkpoint was written."""

    def __init__(self) -> None:
        super().__init__(**NAMED, partition_id="0", kept=[])

    def update_checkpoint(self, event: Any) -> None:
        self.kept.append(event)


def received(city: str) -> Any:
    [event] = chain(city)
    return SimpleNamespace(
        body=event.body, message_id=None, correlation_id=None, content_type=None, system_properties={}, properties=None,
        offset="120", sequence_number=7,
    )  # fmt: skip


def checkpoint(partition_id: str, sequence_number: int) -> dict[str, Any]:
    return {**NAMED, "partition_id": partition_id, "offset": str(10 * sequence_number), "sequence_number": sequence_number}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    made = SqliteStore(tmp_path / "mirror.db")
    yield made
    made.close()


def test_the_checkpoint_is_written_once_by_whoever_keeps_it(store: Any) -> None:
    context, event, kept = Context(), received("Ulm"), SqlCheckpointStore(store)

    class Client:
        def receive_batch(self, *, on_event_batch: Any, on_partition_initialize: Any, **_: Any) -> None:
            on_partition_initialize(context)
            on_event_batch(context, [event])

        def close(self) -> None:
            pass

    consumer, client = Consumer(store, lambda _event, _connection: None), cast("Any", Client())
    EventHubsSubscription(consumer, client).run()
    assert (context.kept, list(kept.list_checkpoints(*NAMES))) == ([event], [])
    EventHubsSubscription(consumer, client, kept).run()
    assert (context.kept, list(kept.list_checkpoints(*NAMES))) == ([event], [{**checkpoint("0", 7), "offset": "120"}])


def test_checkpoints_and_ownership_come_back_as_the_sdk_gave_them(store: Any) -> None:
    kept = SqlCheckpointStore(store)
    for partition_id, sequence in (("1", 4), ("0", 9), ("1", 5)):
        kept.update_checkpoint(checkpoint(partition_id, sequence))
    assert sorted(kept.list_checkpoints(*NAMES), key=str) == sorted([checkpoint("0", 9), checkpoint("1", 5)], key=str)
    assert list(kept.list_checkpoints("ns", "customers", "another")) == []
    [won] = kept.claim_ownership([{**NAMED, "partition_id": "0", "owner_id": "me"}])
    assert list(kept.list_ownership("NS", "Customers", "billing")) == [
        {**won, "fully_qualified_namespace": "NS", "eventhub_name": "Customers"}
    ]
    kept.keep_identity(*NAMES, "made at noon")
    assert kept.identity(*NAMES) == "made at noon"
    assert kept.forget(*NAMES) == 2
    assert (list(kept.list_checkpoints(*NAMES)), kept.identity(*NAMES)) == ([], None)


@pytest.mark.parametrize(("reached", "begins_anew"), [(5, True), (4, False)])
def test_with_asyncio_too_each_partition_is_asked_whether_its_checkpoint_lies_beyond_its_end(
    store: Any, caplog: pytest.LogCaptureFixture, reached: int, begins_anew: bool
) -> None:
    async def scene() -> None:
        async with AsyncSqlCheckpointStore(store) as kept, AsyncConsumer(Consumer(store, lambda *_: None)) as consumer:
            for row in (checkpoint("0", reached), checkpoint("1", 40), checkpoint("9", 1_000)):
                await kept.update_checkpoint(row)
            client: Any = AsyncClient(kept)
            await AsyncEventHubsSubscription(consumer, client, kept, made_again="begin").run()
            assert [row["partition_id"] for row in client.won] == ["0"]
            assert sorted(client.asked) == ["0", "1"]
            rows = await kept.list_checkpoints(*NAMES)
            assert sorted(row["partition_id"] for row in rows) == ([] if begins_anew else ["0", "1", "9"])
            assert await kept.identity(*NAMES) == identity_of(HUB)

    asyncio.run(scene())
    assert ("the hub was made again" in caplog.text) is begins_anew
    assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} <= {"goldwire_consumer"}


class AsyncClient:
    """Stands for the SDK's client: it claims a partition and ends."""

    def __init__(self, kept: AsyncSqlCheckpointStore) -> None:
        self._kept = kept
        self.won: list[Any] = []
        self.asked: list[str] = []

    async def receive_batch(self, **_: Any) -> None:
        self.won += await self._kept.claim_ownership([{**NAMED, "partition_id": "0", "owner_id": "me"}])

    async def get_eventhub_properties(self) -> dict[str, Any]:
        return HUB

    async def get_partition_properties(self, partition_id: str) -> dict[str, Any]:
        self.asked.append(partition_id)
        return {"last_enqueued_sequence_number": LAST[partition_id], "is_empty": False}

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("context", "error", "level", "text"),
    [
        (None, ConnectionError("a secret"), "WARNING", "event hubs, load balancing: ConnectionError"),
        (Context(), TryAgainError("the database is away"), "WARNING", "event hubs, partition 0: the database is away"),
        (Context(), StoppedError("see what is wrong"), "ERROR", "event hubs, partition 0: see what is wrong"),
    ],
)
def test_what_the_sdk_goes_on_from_is_logged_and_of_others_errors_only_the_type(
    caplog: pytest.LogCaptureFixture, context: Any, error: Exception, level: str, text: str
) -> None:
    report(context, error)
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        ("goldwire_consumer", level, text)
    ]
