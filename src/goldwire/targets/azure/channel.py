"""An Event Hub, a queue or a topic of Service Bus as AsyncAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldwire.targets.azure.namespace import host_of
from goldwire.targets.channel import Channel
from goldwire.targets.clients.cloudevents import STRUCTURED, source_of
from goldwire.targets.kafka.channel import kafka_channel_of

_AMQP = "amqp1"
"""AsyncAPI's name for AMQP 1.0; its bindings are empty, and there are none for Service Bus."""

_KEY_OR_SIGNATURE = {"type": "symmetricEncryption", "description": "A key or a SAS token of a policy that may listen."}
_ENTRA = {"type": "http", "scheme": "bearer", "description": "A token of Microsoft Entra."}


def event_hubs_channel(name: str, settings: Mapping[str, Any]) -> Channel:
    """Return the channel of an `event_hubs` target.

    Args:
        name: the target's.
        settings: of the kind, as plain values.
    """
    if settings["endpoint"] == "kafka":
        by_key = settings["connection_string"] is not None
        scheme = {"type": "plain", "description": "The user is $ConnectionString."} if by_key else _ENTRA
        return kafka_channel_of(
            name,
            settings,
            hosts=(f"{_host(settings)}:9093",),
            topic=settings["hub"],
            protocol="kafka-secure",
            security=(scheme,),
        )
    return _amqp(name, settings, settings["hub"], f"Partition key: {_key(settings)}.")


def service_bus_channel(name: str, settings: Mapping[str, Any]) -> Channel:
    """Return the channel of a `service_bus` target.

    Args:
        name: the target's.
        settings: of the kind, as plain values.
    """
    queue = settings["queue"] is not None
    note = f"Session id: {_key(settings)}." if settings["sessions"] else "There are no sessions."
    address = settings["queue"] or settings["topic"] or "{entity}"
    return _amqp(name, settings, address, "A queue of Service Bus." if queue else "A topic of Service Bus.", note)


def _amqp(name: str, settings: Mapping[str, Any], address: str, *notes: str) -> Channel:
    envelope = settings["envelope"].removeprefix("cloudevents-")
    return Channel(
        hosts=(f"{_host(settings)}:{443 if settings['transport'] == 'websocket' else 5671}",),
        protocol=_AMQP,
        address=address,
        security=(_KEY_OR_SIGNATURE, _ENTRA),
        notes=("Message id, subject, correlation id and content type are properties of AMQP.", *notes),
        envelope=envelope,
        content_type=STRUCTURED if envelope == "structured" else "application/json",
        names={} if envelope == "binary" else {one: one for one in ("traceparent", "classification", "retention-days")},
        prefix="cloudEvents_",
        source=source_of(name, settings["cloudevents_source"]),
        data_schema=settings["cloudevents_dataschema"],
    )


def _key(settings: Mapping[str, Any]) -> str:
    return f"{', '.join(settings['key'])}; over 128 characters a hash"


def _host(settings: Mapping[str, Any]) -> str:
    given = host_of(settings["namespace"])
    if not given:
        return "{namespace}"
    return settings["namespace"] if "{" in settings["namespace"] else given
