from __future__ import annotations

from typing import Any

import pytest

from goldwire.target.event_hubs import EventHubsSettings
from goldwire.target.kafka_settings import KafkaSettings
from goldwire.target.memory import MemorySettings
from goldwire.target.settings import has_pinned, pinned_changes

BEFORE = {"bootstrap_servers": ["a:1", "b:1"], "topic": "golden"}


@pytest.mark.parametrize(
    ("changes", "pinned"),
    [
        ({"partitioner": "murmur2"}, set()),  # as it was by default
        ({"compression": "lz4"}, set()),
        ({"partitioner": "crc32"}, {"partitioner"}),
        ({"partitioner": "crc32", "key": ["entityType", "entityId"]}, {"partitioner", "key"}),
        ({"partitioner": "crc32", "topic": "another"}, set()),
        ({"partitioner": "crc32", "topic": "Golden"}, {"partitioner"}),  # the same to some brokers
        ({"partitioner": "crc32", "bootstrap_servers": ["c:1"]}, set()),
        ({"partitioner": "crc32", "bootstrap_servers": ["b:1", "c:1"]}, {"partitioner"}),  # a broker more, the same cluster
    ],
)
def test_what_is_pinned_differs_only_at_another_place(changes: dict[str, Any], pinned: set[str]) -> None:
    assert set(pinned_changes(KafkaSettings, BEFORE, {**BEFORE, **changes})) == pinned


@pytest.mark.parametrize(
    ("changes", "pinned"),
    [
        ({"namespace": "sb://MDM.servicebus.windows.net/"}, {"endpoint"}),  # the same, written out
        ({"namespace": None, "connection_string": "${env:HUB}"}, {"endpoint"}),  # perhaps the same: nobody can tell
        ({"namespace": "mdm2"}, set()),
        ({"hub": "another"}, set()),
    ],
)
def test_a_namespace_is_the_same_however_it_is_written(changes: dict[str, Any], pinned: set[str]) -> None:
    before = {"namespace": "mdm", "hub": "golden"}
    assert set(pinned_changes(EventHubsSettings, before, {**before, "endpoint": "kafka", **changes})) == pinned


def test_only_brokers_pin_anything() -> None:
    assert has_pinned(KafkaSettings)
    assert not has_pinned(MemorySettings)
