"""How a `kafka` target is opened and checked: what is missing, forbidden or contradicts its settings."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Delivered, Item
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.kafka.cluster import KafkaCluster
from goldwire_emulator.kafka.gate import KafkaGate
from support.kafka_stage import TOPIC, outcomes_of, settings_for, with_target
from support.target_use import LaterClock

THREADS = Path("/proc/self/task")


def opening(cluster: KafkaCluster, **settings: Any) -> BaseException | None:
    try:
        outcomes_of(cluster, **settings)
    except (ConfigError, OSError) as error:
        return error
    return None


def test_a_topic_that_is_missing_or_forbidden_ends_the_opening_with_its_fix(cluster: KafkaCluster) -> None:
    cluster.fail_topic(TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    found = opening(cluster)
    assert isinstance(found, ConfigError)
    assert f"topic {TOPIC}" in str(found)
    assert "create it" in str(found)
    cluster.fail_topic(TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "grant it Write" in str(opening(cluster))


def test_asking_for_a_topic_does_not_create_it() -> None:
    """The mock, like many clusters, creates what a producer asks for unless a setting forbids it."""
    with KafkaCluster(1, {"another": 4}) as cluster:
        assert "create it" in str(opening(cluster))
        asking = AdminClient({"bootstrap.servers": cluster.bootstrap})
        assert set(asking.list_topics(timeout=30).topics) == {"another"}


def test_a_cluster_that_is_away_can_be_waited_for(cluster: KafkaCluster) -> None:
    cluster.down()
    found = opening(cluster, connect_timeout_seconds=1.0)
    assert isinstance(found, OSError)
    assert "no broker answers" in str(found)


@pytest.mark.skipif(not THREADS.exists(), reason="counts threads as Linux shows them")
def test_a_closed_target_leaves_no_client_behind(cluster: KafkaCluster) -> None:
    """Each has threads and sockets, and goes on looking for its brokers; a relay opens again and again through an outage."""
    cluster.down()
    opening(cluster, connect_timeout_seconds=0.2)  # what is made once for all
    before = len(list(THREADS.iterdir()))
    gc.disable()
    try:
        for _ in range(3):
            opening(cluster, connect_timeout_seconds=0.2)
        while len(list(THREADS.iterdir())) > before:  # a thread of ours ends in its own time
            time.sleep(0.02)
        assert len(list(THREADS.iterdir())) <= before
    finally:
        gc.enable()


def test_a_check_names_partitions_and_partitioner(cluster: KafkaCluster) -> None:
    async def check(target: KafkaTarget) -> dict[str, str]:
        return {finding.subject: finding.text for finding in await target.check()}

    found = with_target(cluster, check)
    assert found["partitions"].startswith("4; set partitions: 4")
    assert with_target(cluster, check, partitions=4)["partitions"].startswith("4, as the settings say")
    assert "murmur2" in found["partitioner"]
    assert "tls is off" in found["encryption"]
    assert "cannot be seen" in found["topic's settings"]  # the mock describes nothing


def test_a_number_of_partitions_that_is_not_the_settings_own_ends_the_opening(cluster: KafkaCluster) -> None:
    assert opening(cluster, partitions=4) is None
    found = opening(cluster, partitions=3)
    assert isinstance(found, ConfigError)
    assert f"topic {TOPIC}: it has 4 partitions, but the settings say partitions: 3" in str(found)


def test_added_partitions_are_noticed_before_an_event_goes_to_another() -> None:
    clock = LaterClock()

    async def check(gate: KafkaGate, grown: KafkaCluster) -> None:
        target = KafkaTarget("k", settings_for(gate, partitions=4), clock)
        await target.open()
        assert list(await target.send([Item(sealed("a", 1))])) == [Delivered()]
        gate.lead_to(grown.bootstrap)
        clock.later_seconds = 61.0
        with pytest.raises(ConfigError, match="it has 8 partitions"):
            await target.send([Item(sealed("a", 2))])
        await target.close()

    with KafkaCluster(1, {TOPIC: 4}) as before, KafkaCluster(1, {TOPIC: 8}) as grown, KafkaGate(before.bootstrap) as gate:
        asyncio.run(check(gate, grown))
        assert grown.records(TOPIC) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"key": ("entityType",)}, "entityId"),
        ({"sasl": "plain"}, "username"),
        ({"sasl": "plain", "username": "u", "password": SECRET, "tls": False}, "without tls"),
        ({"sasl": "oauthbearer", "oauth_token_url": "http://issuer.example/token"}, "use https"),
        ({"linger_seconds": 5, "timeout_seconds": 2}, "linger_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        KafkaSettings(bootstrap_servers=("broker:9092",), topic=TOPIC, **settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("setting", ["ca_file", "certificate_file", "key_file"])
def test_a_file_that_is_not_there_names_its_setting(setting: str) -> None:
    settings = KafkaSettings(bootstrap_servers=("b:1",), topic=TOPIC, **{setting: "/nowhere.pem"})
    with pytest.raises(ConfigError, match=f"{setting}: there is no file /nowhere.pem"):
        asyncio.run(KafkaTarget("k", settings, SystemClock()).open())


def test_what_librdkafka_does_not_take_names_the_setting_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    settings = KafkaSettings(bootstrap_servers=("b:1",), topic=TOPIC, ca_file=str(file), key_password=SECRET)
    with pytest.raises(ConfigError, match="ssl") as caught:
        asyncio.run(KafkaTarget("k", settings, SystemClock()).open())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "given", [{}, {"oauth_token_url": "https://x.example/token"}, {"oauth_client_id": "me", "oauth_client_secret": SECRET}]
)
def test_tokens_from_nowhere_are_refused_at_once(given: dict[str, Any]) -> None:
    settings = KafkaSettings(bootstrap_servers=("broker:9093",), topic=TOPIC, sasl="oauthbearer", **given)
    with pytest.raises(ConfigError, match="oauth_client_secret") as caught:
        KafkaTarget("k", settings, SystemClock())
    assert SECRET not in str(caught.value)
