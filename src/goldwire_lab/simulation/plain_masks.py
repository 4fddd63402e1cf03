"""What each mask makes of a value, written a second time, so that two errors would have to agree."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from goldwire.contract.spec import Mask

BOTH_ENDS, ONE_END = 8, 4
"""From how many characters on `partial` shows both ends of a text, and its beginning."""


def plain(value: Any) -> str:
    """Return canonical JSON as RFC 8785 has it, of what a simulation draws: names in ASCII, numbers as they were read."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def masked(mask: Mask, attribute: str, value: Any, keys: Mapping[str, bytes]) -> Any:
    """Return what a target sees of a value.

    Args:
        mask: as a contract names it.
        attribute: whose value it is; a token is bound to it.
        value: decoded JSON; None has no mask.
        keys: of `hash` and `tokenise`.
    """
    if value is None:
        return None
    if mask == "redact":
        return "REDACTED"
    if mask == "hash":
        return "hmac-sha256:" + hmac.new(keys["hash"], plain(value).encode(), "sha256").hexdigest()
    if mask == "tokenise":
        key = HKDF(SHA256(), 64, salt=None, info=b"goldwire tokenise v1").derive(keys["tokenise"])
        sealed = AESSIV(key).encrypt(plain(value).encode(), [attribute.encode()])
        return "tok_" + urlsafe_b64encode(sealed).decode().rstrip("=")
    if mask == "partial":
        return _partial(value)
    text = value if isinstance(value, str) else plain(value)
    whole = isinstance(value, bool | list | dict)
    return "" if whole else text[: min(mask.truncate, len(text) // 2)]


def _partial(value: Any) -> str:
    if not isinstance(value, str):
        return "***"
    local, at, domain = value.partition("@")
    if at and "." in domain:
        shown = f"{local[:1] if len(local) > 1 else ''}***@{domain}"
    elif len(value) < ONE_END:
        return "***"
    else:
        shown = f"{value[0]}***{value[-1] if len(value) >= BOTH_ENDS else ''}"
    return shown
