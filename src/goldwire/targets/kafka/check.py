"""What can be found out of a Kafka topic without writing: by describing it, as far as the broker and our rights allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from goldwire.targets.base import Finding
from goldwire.targets.clients.extras import require
from goldwire.targets.kafka.settings import KafkaSettings

_LIMIT_SECONDS = 5.0
_SAFE_COPIES = 3
_ENOUGH = frozenset({"WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"})
_OF_CONNECTIONS = ("bootstrap.servers", "client.id", "log_level", "security.protocol", "ssl.", "sasl.", "oauth_cb")


class DescribedTopic(Struct, frozen=True):
    """What a broker reports of a topic; None where it does not."""

    operations: frozenset[str] | None = None
    """What we may do with it, by the names of the ACLs (KIP-430)."""
    copies: int | None = None
    """Of the partition that has the fewest."""
    settings: Mapping[str, str] | None = None


def describe(config: Mapping[str, Any], settings: KafkaSettings) -> DescribedTopic:
    """Ask the cluster. It blocks.

    Args:
        config: librdkafka's of the producer.
        settings: the target's.
    """
    sdk: Any = require("confluent_kafka.admin", extra="kafka", used_by="a check")
    kafka: Any = require("confluent_kafka", extra="kafka", used_by="a check")
    client = sdk.AdminClient(connection_config(config))
    limit = min(_LIMIT_SECONDS, settings.connect_timeout_seconds)
    resource = sdk.ConfigResource(sdk.ConfigResource.Type.TOPIC, settings.topic)
    topics = client.describe_topics(
        kafka.TopicCollection([settings.topic]), include_authorized_operations=True, request_timeout=limit
    )
    configs = client.describe_configs([resource], request_timeout=limit)
    found = DescribedTopic()
    try:
        topic = topics[settings.topic].result()
        operations = topic.authorized_operations
        found = DescribedTopic(
            operations=None if operations is None else frozenset(one.name for one in operations),
            copies=min((len(one.replicas) for one in topic.partitions), default=None),
        )
        entries = configs[resource].result()
    except kafka.KafkaException:  # for any reason: it cannot be asked, and the check reports less
        return found
    reported = {name: entry.value for name, entry in entries.items() if entry.value is not None}
    return DescribedTopic(found.operations, found.copies, reported)


def connection_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a producer's configuration that any client needs."""
    return {name: value for name, value in config.items() if name.startswith(_OF_CONNECTIONS)}


def findings_of(found: DescribedTopic, settings: KafkaSettings, size_setting: str) -> list[Finding]:
    """Compare what the cluster reports with the settings and with what keeps events safe.

    Args:
        found: what it reports.
        settings: of the target.
        size_setting: the name of the setting that limits a message.
    """
    return [_rights(found), *_copies(found), *_of_settings(found.settings, settings, size_setting)]


def _rights(found: DescribedTopic) -> Finding:
    if found.operations is None:
        return Finding("rights", "note", "the user can see the topic; that it may write shows with the first event")
    if "WRITE" not in found.operations:
        return Finding("rights", "fix", "the user may not write to the topic; grant it Write on the topic")
    more = sorted(found.operations - _ENOUGH)
    if more:
        text = f"the user may also {', '.join(more).replace('_', ' ').lower()}; Write and Describe suffice: grant only these"
        return Finding("rights", "note", text)
    return Finding("rights", "ok", "the user may write, and nothing more: least privilege")


def _copies(found: DescribedTopic) -> list[Finding]:
    if found.copies is None:
        return []
    if found.copies < _SAFE_COPIES:
        text = f"{found.copies} of each partition, at the least: events are lost with their brokers; 3 is usual"
        return [Finding("replicas", "note", text)]
    return [Finding("replicas", "ok", f"{found.copies} of each partition")]


def _of_settings(reported: Mapping[str, str] | None, settings: KafkaSettings, size_setting: str) -> list[Finding]:
    if reported is None:
        return [Finding("topic's settings", "note", "cannot be seen; DescribeConfigs on the topic lets a check see them")]
    found = []
    if "max.message.bytes" in reported:
        found.append(_size(int(reported["max.message.bytes"]), settings.message_bytes_max, size_setting))
    if reported.get("min.insync.replicas") == "1":
        text = "min.insync.replicas is 1: an event may be on one broker only when it counts as written; 2 is safer"
        found.append(Finding("replicas in sync", "note", text))
    if "compact" in reported.get("cleanup.policy", "") and not settings.null_after_delete:
        text = "the topic is compacted and keeps deletions for ever; set null_after_delete, and send full payloads"
        found.append(Finding("clean-up", "note", text))
    return found


def _size(limit: int, own: int, size_setting: str) -> Finding:
    if own > limit:
        text = f"{size_setting} is {own:,}, but the topic takes {limit:,}; lower the one, or raise max.message.bytes"
        return Finding("message size", "fix", text)
    return Finding("message size", "ok", f"up to {own:,} bytes; larger ones become dead letters. The topic takes {limit:,}")
