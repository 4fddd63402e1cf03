"""Issues and verifies access tokens as an identity provider does: JWTs that expire, signed with a key of its own.

A peer that is to believe them asks the same issuer; nothing else knows the key.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import secrets
from collections.abc import Callable
from typing import Any


class TokenIssuer:
    """An identity provider.

    Args:
        lifetime_seconds: of each token.
        now: POSIX seconds.
    """

    def __init__(self, lifetime_seconds: float, now: Callable[[], float]) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.issued = 0
        """How many tokens there are so far."""
        self._now = now
        self._key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)

    def issue(self, subject: str = "goldwire") -> tuple[str, float]:
        """Return a token, different each time, and when it expires in POSIX seconds."""
        now = self._now()
        self.issued = next(self._numbers)
        expires_at = int(now + self.lifetime_seconds)
        claims = {"sub": subject, "iat": int(now), "exp": expires_at, "jti": str(self.issued)}
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{signed}.{self._signature(signed)}", float(expires_at)

    def verify(self, token: str) -> dict[str, Any]:
        """Return what a token claims.

        Raises:
            ValueError: it is not ours, or it has expired.
        """
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            raise ValueError("the signature of the token is not right")
        text = signed.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if claims["exp"] <= self._now():
            raise ValueError("the token has expired")
        return claims

    def _signature(self, signed: str) -> str:
        return _text_of(hmac.digest(self._key, signed.encode(), "sha256"))


def _encoded(part: dict[str, Any]) -> str:
    return _text_of(json.dumps(part, separators=(",", ":")).encode())


def _text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
