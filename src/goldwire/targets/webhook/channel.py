"""The receiver of a `webhook` target as AsyncAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from goldwire.targets.channel import Channel
from goldwire.targets.clients.cloudevents import BATCH, STRUCTURED, source_of
from goldwire.targets.webhook.message import HEADER_NAMES

BINDING_VERSION = "0.3.0"

_ID = {"type": "string", "description": "The same on each repetition."}
_TIMESTAMP = {"type": "string", "pattern": "^[0-9]+$", "description": "Of this attempt, in seconds since 1970."}
_SIGNATURE = {"type": "string", "description": "Standard Webhooks: `v1,` and base64 of HMAC-SHA256, one for each secret."}
_COUNT = {"type": "string", "pattern": "^[0-9]+$", "description": "How many events there are."}


def webhook_channel(name: str, settings: Mapping[str, Any]) -> Channel:
    """Return the channel of a target. Of the URL only scheme, host and port are known.

    Args:
        name: the target's.
        settings: of the kind, as plain values.
    """
    parts = urlsplit(settings["url"])
    binary = settings["envelope"] == "cloudevents-binary"
    arrays = settings["batch"] == "array" or settings["envelope"] == "cloudevents-batch"
    content_type = {"cloudevents-structured": STRUCTURED, "cloudevents-batch": BATCH}.get(
        settings["envelope"], "application/json"
    )
    names = {one: header for one, header in HEADER_NAMES.items() if one != "contentType"}
    if arrays:
        names = {one: names[one] for one in ("classification", "retention-days")}
    elif binary:
        names = {"traceparent": names["traceparent"]}
    security = _security(settings)
    notes = ["The path belongs to the receiver; the target keeps it in its setting `url`."]
    if len(security) > 1:
        notes.append("Token and certificate are both needed.")
    return Channel(
        hosts=(parts.netloc or "{host}",),
        protocol=parts.scheme or "https",
        address=None,
        security=security,
        notes=tuple(notes),
        envelope="binary" if binary else "event" if settings["envelope"] == "event" else "structured",
        content_type=content_type,
        array_max=settings["array_size"] if arrays else None,
        names=names,
        further_headers=_further(settings, arrays=arrays),
        prefix="ce-",
        source=source_of(name, settings["cloudevents_source"]),
        data_schema=settings["cloudevents_dataschema"],
        operation_bindings={"http": {"method": "POST", "bindingVersion": BINDING_VERSION}},
    )


def _security(settings: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    if settings["bearer_token"] is not None:
        found.append({"type": "http", "scheme": "bearer"})
    if settings["certificate_file"] is not None:
        found.append({"type": "X509", "description": "The target shows a client certificate."})
    return tuple(found)


def _further(settings: Mapping[str, Any], *, arrays: bool) -> dict[str, dict[str, Any]]:
    found = {"webhook-id": _ID, "webhook-timestamp": _TIMESTAMP}
    if settings["signing_secrets"]:
        found["webhook-signature"] = _SIGNATURE
    if settings["idempotency_header"] is not None:
        found[settings["idempotency_header"].lower()] = _ID
    if arrays:
        found["x-goldwire-count"] = _COUNT
    return found
