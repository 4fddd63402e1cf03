from __future__ import annotations

from typing import Any

import pytest

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


def test_only_brokers_pin_anything() -> None:
    assert has_pinned(KafkaSettings)
    assert not has_pinned(MemorySettings)
