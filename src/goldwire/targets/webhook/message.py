"""What one POST carries: an event, an array of them or CloudEvents 1.0, with its headers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from goldwire.event.headers import headers, message_id, partition_key, traceparent
from goldwire.targets.base import Item
from goldwire.targets.clients.cloudevents import BATCH, STRUCTURED, cloudevents_attributes, source_of, structured
from goldwire.targets.webhook.settings import WebhookSettings

Request = tuple[dict[str, str], bytes]
"""Headers and body of one POST."""

HEADER_NAMES = {
    "messageId": "x-goldwire-message-id",
    "correlationId": "x-goldwire-correlation-id",
    "contentType": "content-type",
    "subject": "x-goldwire-subject",
    "partitionKey": "x-goldwire-partition-key",
    "traceparent": "traceparent",
    "classification": "x-goldwire-classification",
    "retention-days": "x-goldwire-retention-days",
}

_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '%"')
"""What stays as it is in a header's value; the rest is percent-encoded UTF-8 (CloudEvents HTTP binding, 3.1.3.2)."""

_IS_PLAIN = re.compile(r"[!#$&-~]*").fullmatch


def renderer(name: str, settings: WebhookSettings) -> Callable[[Sequence[Item]], Request]:
    """Return what makes the request of some items; of the same items always the same one.

    Args:
        name: the target's.
        settings: its envelope, and whether it sends arrays; where it does not, there is one item.
    """
    envelope, data_schema = settings.envelope, settings.cloudevents_dataschema
    source = source_of(name, settings.cloudevents_source)

    def attributes(item: Item) -> dict[str, str]:
        return cloudevents_attributes(
            item.event,
            id_=message_id(item.event, item.replay_id),
            source=source,
            key=partition_key(item.event),
            traceparent=traceparent(item.event),
            data_schema=data_schema,
        )

    def batch_of(items: Sequence[Item]) -> Request:
        found, _ = array(items)
        bodies = [structured(attributes(item), item.event.body) for item in items]
        return {**found, "content-type": BATCH}, b"[" + b",".join(bodies) + b"]"

    def structured_of(items: Sequence[Item]) -> Request:
        found, body = single(items[0])
        return {**found, "content-type": STRUCTURED}, structured(attributes(items[0]), body)

    def binary_of(items: Sequence[Item]) -> Request:
        own = attributes(items[0])
        # HTTP protocol binding, 3.1.3: the prefix `ce-`, values percent-encoded; of the media type the plain header speaks.
        found = {f"ce-{attribute}": plain(value) for attribute, value in own.items()}
        found["content-type"] = "application/json"
        found["traceparent"] = own["traceparent"]
        found["webhook-id"] = found["ce-id"]
        return found, items[0].event.body

    if envelope == "event":
        return array if settings.in_arrays else lambda items: single(items[0])
    return {"cloudevents-batch": batch_of, "cloudevents-structured": structured_of, "cloudevents-binary": binary_of}[envelope]


def single(item: Item) -> Request:
    """Return headers and body of a POST of one event."""
    found = {HEADER_NAMES[name]: plain(value) for name, value in headers(item.event, replay_id=item.replay_id).items()}
    found["webhook-id"] = found["x-goldwire-message-id"]
    return found, item.event.body


def array(items: Sequence[Item]) -> Request:
    """Return headers and body of a POST of several events; the same messages always have the same `webhook-id`."""
    events = [item.event for item in items]
    digest = hashlib.sha256("\n".join(message_id(item.event, item.replay_id) for item in items).encode()).hexdigest()
    found = {
        "content-type": "application/json",
        "webhook-id": f"sha256:{digest}",
        "x-goldwire-count": str(len(events)),
    }
    tags = sorted({tag for event in events for tag in event.classification.split(",") if tag})
    if tags:
        found["x-goldwire-classification"] = plain(",".join(tags))
    retention = [event.retention_days for event in events if event.retention_days is not None]
    if retention:
        found["x-goldwire-retention-days"] = str(min(retention))
    return found, b"[" + b",".join([event.body for event in events]) + b"]"


def plain(value: str) -> str:
    """Return a text as a header can carry it."""
    return value if _IS_PLAIN(value) else quote(value, safe=_PLAIN)
