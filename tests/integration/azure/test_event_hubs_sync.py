"""The real azure-eventhub, synchronous, against the emulator."""

import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

PATIENCE_SECONDS = 60


def producer(peer, hub="orders", **settings):
    return EventHubProducerClient.from_connection_string(peer.connection_string(hub), **settings)


def consumer(peer, hub="orders", group="$Default", **settings):
    return EventHubConsumerClient.from_connection_string(peer.connection_string(hub), group, **settings)


def collect(client, count, **settings):
    """Receive events until there are enough, from the beginning unless told otherwise."""
    found, enough, errors = [], threading.Event(), []

    def on_event_batch(context, events):
        found.extend((context.partition_id, event) for event in events)
        if len(found) >= count:
            enough.set()

    def on_error(_, error):
        errors.append(error)
        enough.set()

    settings = {"starting_position": "-1", "max_wait_time": 1, "on_error": on_error} | settings
    worker = threading.Thread(target=client.receive_batch, kwargs={"on_event_batch": on_event_batch, **settings})
    worker.start()
    try:
        assert enough.wait(PATIENCE_SECONDS), f"{len(found)} of {count} came"
    finally:
        client.close()
        worker.join(PATIENCE_SECONDS)
    assert not errors
    return found


def test_what_one_client_sends_another_receives(peer):
    with producer(peer) as sender:
        batch = sender.create_batch()
        for number in range(10):
            batch.add(EventData(f"event {number}"))
        sender.send_batch(batch)
    found = collect(consumer(peer), 10)
    assert [event.body_as_str() for _, event in found] == [f"event {number}" for number in range(10)]
    assert [event.sequence_number for _, event in found] == list(range(10))
