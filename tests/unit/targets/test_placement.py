from __future__ import annotations

from typing import Annotated, Any

import pytest
from msgspec.structs import replace

from goldwire.errors import ConfigError
from goldwire.relay.placement.comparison import equal_distinct_settings, fixed_changes, share_destination
from goldwire.targets.azure.event_hubs.target import EventHubsSettings
from goldwire.targets.azure.service_bus.target import ServiceBusSettings
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.memory.target import MemorySettings
from goldwire.targets.placement import has_destination, placement_of, placement_terms
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import Settings, about

KAFKA = {"bootstrap_servers": ["a:1", "b:1"], "topic": "golden"}
HUB = {"namespace": "mdm", "hub": "golden"}
BUS = {"namespace": "mdm", "queue": "golden"}
KEY = "Endpoint=sb://mdm.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=hush"


def compared(kind: type[Any], before: dict[str, Any], **changes: Any) -> tuple[bool | None, set[str]]:
    one, other = placement_of("kind", kind, before), placement_of("kind", kind, {**before, **changes})
    assert share_destination(one, other) is share_destination(other, one)
    return share_destination(one, other), set(fixed_changes(placement_terms(kind), one, other))


@pytest.mark.parametrize(
    ("changes", "same", "fixed"),
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
def test_a_topic_is_the_same_destination_as_long_as_a_broker_is(changes: dict[str, Any], same: bool, fixed: set[str]) -> None:
    assert compared(KafkaSettings, KAFKA, **changes) == (same, fixed)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"namespace": "sb://MDM.servicebus.windows.net/"}, True),  # written out
        ({"namespace": None, "connection_string": KEY}, True),
        ({"namespace": None, "connection_string": f"EntityPath=golden; endpoint={KEY.removeprefix('Endpoint=')}"}, True),
        ({"namespace": None, "connection_string": KEY.replace("mdm.", "mdm2.")}, False),
        ({"namespace": None, "connection_string": ""}, None),  # kept before destinations were
        ({"namespace": None, "connection_string": "", "hub": "another"}, False),
        ({"namespace": "mdm2"}, False),
        ({"hub": "another"}, False),
    ],
)
def test_a_namespace_is_the_same_however_it_is_known(changes: dict[str, Any], same: bool | None) -> None:
    assert compared(EventHubsSettings, HUB, endpoint="kafka", **changes) == (same, {"endpoint"})


@pytest.mark.parametrize("servers", [["a"], ["PLAINTEXT://a:9092"], ["b:9092, a:9092"], [" a:9092"], ["A:9092"]])
def test_a_broker_is_the_same_however_librdkafka_takes_it(servers: list[str]) -> None:
    assert compared(KafkaSettings, {**KAFKA, "bootstrap_servers": ["a:9092"]}, bootstrap_servers=servers) == (True, set())


@pytest.mark.parametrize("address", ["amqps://mdm.servicebus.windows.net:5671/", "https://MDM.servicebus.windows.net", "mdm"])
def test_a_namespace_is_the_same_however_the_sdk_takes_it(address: str) -> None:
    written = {"namespace": None, "connection_string": f"Endpoint={address};SharedAccessKeyName=a;SharedAccessKey=b"}
    assert compared(ServiceBusSettings, BUS, **written) == (True, set())
    assert compared(ServiceBusSettings, BUS, namespace=address) == (True, set())


def test_two_peers_on_this_machine_are_two_destinations() -> None:
    assert compared(ServiceBusSettings, {**BUS, "namespace": "127.0.0.1:5700"}, namespace="127.0.0.1:5701") == (False, set())


def test_a_queue_and_a_topic_of_one_name_are_one_destination() -> None:
    assert compared(ServiceBusSettings, BUS, queue=None, topic="golden") == (True, set())
    assert compared(ServiceBusSettings, BUS, queue=None, topic="other") == (False, set())


def test_a_placement_holds_no_secret_also_where_one_was_named_by_mistake() -> None:
    found = placement_of("event_hubs", EventHubsSettings, {"hub": "hush-hush", "connection_string": KEY})
    assert "hush" not in repr(found)


@pytest.mark.parametrize("value", [5, None, ["a"], ""])
def test_a_namespace_that_never_fitted_is_one_that_is_not_known(value: Any) -> None:
    assert compared(ServiceBusSettings, BUS, namespace=value) == (None, set())


def test_two_suffixes_tell_targets_of_a_queue_apart() -> None:
    def taken(one: str | None, other: str | None) -> set[str]:
        placements = [
            placement_of("service_bus", ServiceBusSettings, {**BUS, "message_id_suffix": suffix}) for suffix in (one, other)
        ]
        return set(equal_distinct_settings(placement_terms(ServiceBusSettings), *placements))

    assert taken(None, None) == taken("a", "a") == {"message_id_suffix"}
    assert taken(None, "a") == taken("a", "b") == set()


def test_a_fixed_setting_that_a_later_version_adds_had_its_default() -> None:
    now = placement_of("kafka", KafkaSettings, KAFKA)
    before = replace(now, fixed={"key": ["entityId"]})
    assert fixed_changes(placement_terms(KafkaSettings), before, now) == {}
    assert set(
        fixed_changes(
            placement_terms(KafkaSettings), before, placement_of("kafka", KafkaSettings, {**KAFKA, "partitioner": "crc32"})
        )
    ) == {"partitioner"}


def test_only_brokers_have_a_destination() -> None:
    assert has_destination(KafkaSettings)
    assert not has_destination(MemorySettings)


class Homeless(Settings, frozen=True, kw_only=True):
    """Says what is fixed at a destination, and not what a destination is."""

    key: Annotated[str, about("A key.", fixed="entities would move")] = "entityId"


def test_what_is_fixed_needs_a_destination() -> None:
    with pytest.raises(ConfigError, match="Homeless"):
        target_kind("homeless", settings=Homeless)
    with pytest.raises(AssertionError):
        about("A secret destination.", secret=True, destination=True)
