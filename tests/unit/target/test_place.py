from __future__ import annotations

from typing import Any

import pytest

from goldwire.target.event_hubs import EventHubsSettings
from goldwire.target.kafka_settings import KafkaSettings
from goldwire.target.memory import MemorySettings
from goldwire.target.place import has_place, not_apart, pinned_changes, same_place, standing_of
from goldwire.target.service_bus import ServiceBusSettings

KAFKA = {"bootstrap_servers": ["a:1", "b:1"], "topic": "golden"}
HUB = {"namespace": "mdm", "hub": "golden"}
BUS = {"namespace": "mdm", "queue": "golden"}
KEY = "Endpoint=sb://mdm.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=hush"


def compared(kind: type[Any], before: dict[str, Any], **changes: Any) -> tuple[bool | None, set[str]]:
    one, other = standing_of(kind, before), standing_of(kind, {**before, **changes})
    return same_place(kind, one, other), set(pinned_changes(kind, one, other))


@pytest.mark.parametrize(
    ("changes", "same", "pinned"),
    [
        ({"partitioner": "murmur2"}, True, set()),  # as it was by default
        ({"compression": "lz4"}, True, set()),
        ({"partitioner": "crc32"}, True, {"partitioner"}),
        ({"partitioner": "crc32", "key": ["entityType", "entityId"]}, True, {"partitioner", "key"}),
        ({"topic": "another"}, False, set()),
        ({"topic": "Golden"}, True, set()),  # the same to some brokers
        ({"bootstrap_servers": ["c:1"]}, False, set()),
        ({"bootstrap_servers": ["B:1", "c:1"]}, True, set()),  # a broker more, the same cluster
    ],
)
def test_a_topic_is_the_same_place_as_long_as_a_broker_is(changes: dict[str, Any], same: bool, pinned: set[str]) -> None:
    assert compared(KafkaSettings, KAFKA, **changes) == (same, pinned)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"namespace": "sb://MDM.servicebus.windows.net/"}, True),  # written out
        ({"namespace": None, "connection_string": KEY}, True),
        ({"namespace": None, "connection_string": f"EntityPath=golden; endpoint={KEY.removeprefix('Endpoint=')}"}, True),
        ({"namespace": None, "connection_string": KEY.replace("mdm.", "mdm2.")}, False),
        ({"namespace": None, "connection_string": ""}, None),  # kept before places were
        ({"namespace": None, "connection_string": "", "hub": "another"}, False),
        ({"namespace": "mdm2"}, False),
        ({"hub": "another"}, False),
    ],
)
def test_a_namespace_is_the_same_however_it_is_known(changes: dict[str, Any], same: bool | None) -> None:
    assert compared(EventHubsSettings, HUB, endpoint="kafka", **changes) == (same, {"endpoint"})


def test_a_queue_is_no_topic() -> None:
    assert compared(ServiceBusSettings, BUS, queue=None, topic="golden") == (False, set())


def test_a_standing_holds_no_secret() -> None:
    assert "hush" not in repr(standing_of(EventHubsSettings, {"hub": "golden", "connection_string": KEY}))


def test_two_suffixes_tell_targets_of_a_queue_apart() -> None:
    def taken(one: str | None, other: str | None) -> set[str]:
        standings = [standing_of(ServiceBusSettings, {**BUS, "message_id_suffix": suffix}) for suffix in (one, other)]
        return set(not_apart(ServiceBusSettings, *standings))

    assert taken(None, None) == taken("a", "a") == {"message_id_suffix"}
    assert taken(None, "a") == taken("a", "b") == set()


def test_only_brokers_have_a_place() -> None:
    assert has_place(KafkaSettings)
    assert not has_place(MemorySettings)
