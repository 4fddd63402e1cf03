"""Checkpoints in blob storage by the SDK's own store, against Azurite, which the test installs by npm (make test-optional)."""

from __future__ import annotations

import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage
from azure.eventhub.extensions.checkpointstoreblob import BlobCheckpointStore
from azure.eventhub.extensions.checkpointstoreblob._vendor.storage.blob import ContainerClient  # what the store itself uses

from goldwire.event.headers import partition_key
from goldwire.event.sealed import SealedEvent
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.pace import Pace
from support.histories import customers

HUB = "customers-hub"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's documented account: no secret."""

pytestmark = pytest.mark.optional


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, installer: Any) -> Iterator[str]:
    command = installer.from_npm("azurite@3.35.0") / "azurite-blob"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("azurite")
    process = subprocess.Popen(
        [command, "--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    )
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address};"
    process.terminate()
    process.wait(60)


def send(peer: Any, events: list[SealedEvent]) -> None:
    with EventHubProducerClient.from_connection_string(peer.address(HUB)) as producer:
        for event in events:
            producer.send_batch(
                [AmqpAnnotatedMessage(data_body=event.body, annotations={})], partition_key=partition_key(event)
            )


def test_a_subscriber_goes_on_where_its_blob_says(
    peer: Any, rows: Callable[..., Any], storage: str, wait_for: Callable[..., None]
) -> None:
    name = f"checkpoints-{uuid.uuid4()}"
    with ContainerClient.from_connection_string(storage, name, retry_total=0) as container:
        wait_for(lambda: _created(container), "Azurite answers")
    events = customers(91, 4, 60).events
    applied = []
    for part in (events[:30], events[30:]):
        send(peer, part)
        subscriber = rows(len(part))
        checkpoints = BlobCheckpointStore.from_connection_string(storage, name)
        client = EventHubConsumerClient.from_connection_string(
            peer.address(HUB), "$Default", checkpoint_store=checkpoints, load_balancing_interval=0.5
        )
        subscriber.run(EventHubsSubscription(subscriber.consumer, client, pace=Pace(batch=5, wait_seconds=0.1)))
        assert subscriber.error is None
        applied += subscriber.seen
        checkpoints.close()
    assert sorted(applied) == sorted((event.entity_id, event.version) for event in events)
    with ContainerClient.from_connection_string(storage, name) as container:
        assert any("/checkpoint/" in one.name for one in container.list_blobs())


def _created(container: Any) -> bool:
    try:
        container.create_container()
    except Exception as error:  # noqa: BLE001 - it is not listening yet, in whatever words
        return "ContainerAlreadyExists" in str(error)
    return True
