"""The signature of a POST, as Standard Webhooks has it."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence


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


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 16:  # noqa: PLR2004 - half of what HMAC-SHA256 can use; shorter ones are typing errors
        raise BadSecretError("a signing secret must be `whsec_` followed by at least 16 bytes in base64")
    return key
