"""What one POST carries: an event or an array of them, headers, and the Standard Webhooks signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import quote

from goldwire.event.headers import headers, message_id
from goldwire.targets.base import Item

_NAMES = {
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


class BadSecretError(ValueError):
    """A signing secret is not of the form `whsec_` and base64. The text never holds it."""


class Signer:
    """Signs with HMAC-SHA256, once for each secret, so that a receiver may move from one secret to the next."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Decode the secrets.

        Raises:
            BadSecretError: one has another form.
        """
        self._keys = [_key(secret) for secret in secrets]

    def sign(self, id_: str, timestamp_seconds: int, body: bytes) -> str:
        """Return the value of `webhook-signature`; empty without secrets.

        Args:
            id_: as in `webhook-id`.
            timestamp_seconds: as in `webhook-timestamp`, POSIX.
            body: as sent.
        """
        content = b"%s.%d.%s" % (id_.encode(), timestamp_seconds, body)
        digests = (hmac.digest(key, content, "sha256") for key in self._keys)
        return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def single(item: Item) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a POST of one event."""
    found = {_NAMES[name]: plain(value) for name, value in headers(item.event, replay_id=item.replay_id).items()}
    found["webhook-id"] = found["x-goldwire-message-id"]
    return found, item.event.body


def array(items: Sequence[Item]) -> tuple[dict[str, str], bytes]:
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


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 16:  # noqa: PLR2004 - half of what HMAC-SHA256 can use; shorter ones are typing errors
        raise BadSecretError("a signing secret must be `whsec_` followed by at least 16 bytes in base64")
    return key
