"""The topic of a `kafka` target as AsyncAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldwire.targets.channel import Channel
from goldwire.targets.clients.cloudevents import STRUCTURED, source_of

_SCHEMES: dict[str, dict[str, Any]] = {
    "plain": {"type": "plain"},
    "scram-sha-256": {"type": "scramSha256"},
    "scram-sha-512": {"type": "scramSha512"},
    "oauthbearer": {"type": "http", "scheme": "bearer", "description": "SASL OAUTHBEARER"},
}

_HEADERS = ("messageId", "traceparent", "correlationId", "contentType", "subject", "classification", "retention-days")

BINDING_VERSION = "0.5.0"


def kafka_channel(name: str, settings: Mapping[str, Any]) -> Channel:
    """Return the channel of a target.

    Args:
        name: the target's.
        settings: of the kind, as plain values.
    """
    security = () if settings["sasl"] == "none" else (_SCHEMES[settings["sasl"]],)
    if settings["certificate_file"] is not None:
        security = (*security, {"type": "X509"})
    return kafka_channel_of(
        name,
        settings,
        hosts=tuple(settings["bootstrap_servers"]),
        topic=settings["topic"],
        protocol="kafka-secure" if settings["tls"] else "kafka",
        security=security,
        empty_after_delete=settings["null_after_delete"],
    )


def kafka_channel_of(
    name: str,
    settings: Mapping[str, Any],
    *,
    hosts: tuple[str, ...],
    topic: str,
    protocol: str,
    security: tuple[dict[str, Any], ...],
    empty_after_delete: bool = False,
) -> Channel:
    """Return the channel of any target that writes to Kafka.

    Args:
        name: the target's.
        settings: of its messages, as plain values.
        hosts: the brokers.
        topic: the topic.
        protocol: `kafka` or `kafka-secure`.
        security: how to authenticate.
        empty_after_delete: a record without a value follows a deletion.
    """
    envelope = settings["envelope"].removeprefix("cloudevents-")
    structured = envelope == "structured"
    content_type = STRUCTURED if structured else "application/json"
    names = {one: "content-type" if structured and one == "contentType" else one for one in _HEADERS}
    of_topic: dict[str, Any] = (
        {"topic": topic, "bindingVersion": BINDING_VERSION} if "{" not in topic else {"bindingVersion": BINDING_VERSION}
    )
    if isinstance(settings["partitions"], int):
        of_topic["partitions"] = settings["partitions"]
    key = {"type": "string", "maxLength": 128, "description": f"{', '.join(settings['key'])}; over 128 characters a hash."}
    return Channel(
        hosts=hosts,
        protocol=protocol,
        address=topic,
        security=security,
        envelope=envelope,
        content_type=content_type,
        names={} if envelope == "binary" else names,
        further_headers={"content-type": {"const": "application/json"}} if envelope == "binary" else {},
        prefix="ce_",
        source=source_of(name, settings["cloudevents_source"]),
        data_schema=settings["cloudevents_dataschema"],
        empty_after_delete=empty_after_delete,
        channel_bindings={"kafka": of_topic},
        message_bindings={"kafka": {"key": key, "bindingVersion": BINDING_VERSION}},
    )
