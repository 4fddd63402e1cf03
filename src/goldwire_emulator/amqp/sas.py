"""Shared access signatures, verified as the service does: signature, expiry, audience, and the policy's rights.

A token reads `SharedAccessSignature sr=URI&sig=SIGNATURE&se=EXPIRY&skn=POLICY`. The signature is the HMAC-SHA-256, in base64,
of the encoded URI, a line feed and the expiry (POSIX seconds), under the policy's key. Source:
https://learn.microsoft.com/azure/event-hubs/authenticate-shared-access-signature
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from urllib.parse import quote_plus, unquote

from msgspec import Struct

from goldwire_emulator.amqp.claims import Claim, covers, path_of
from goldwire_emulator.amqp.endpoint import AmqpError, Right

SAS_KIND = "servicebus.windows.net:sastoken"
JWT_KIND = "jwt"
ALL_RIGHTS = frozenset(Right)

_PREFIX = "SharedAccessSignature "


class Policy(Struct, frozen=True):
    """A shared access policy."""

    name: str
    key: str
    rights: frozenset[Right] = ALL_RIGHTS
    """`MANAGE` implies the others."""
    path: str = ""
    """The entity that it belongs to; empty: the namespace."""

    def __repr__(self) -> str:
        """Show everything but the key."""
        return f"Policy({self.name!r}, {self.path!r})"


JwtVerifier = Callable[[str, str], Claim]
"""Takes a token and its audience; returns what it gives, or raises an `AmqpError`."""


class SasAuthority:
    """Believes tokens that a policy's key signed.

    Args:
        policies: the namespace's and its entities'.
        now: POSIX seconds.
        jwt: verifies tokens of Entra; without it none is believed.
    """

    def __init__(self, policies: Sequence[Policy], now: Callable[[], float], jwt: JwtVerifier | None = None) -> None:
        self._policies = tuple(policies)
        self._now = now
        self._jwt = jwt

    def verify(self, token: str, kind: str, audience: str) -> Claim:
        """Return what a token gives on its audience.

        Raises:
            AmqpError: it is not believed.
        """
        # azure-servicebus 7.15 calls its SAS tokens `jwt` too, unless it was given a policy's name and key.
        signed = token.startswith(_PREFIX)
        if kind == JWT_KIND and self._jwt is not None and not signed:
            return self._jwt(token, audience)
        if kind != SAS_KIND and not signed:
            raise _refusal(f"InvalidTokenType: tokens of type {kind!r} are not taken here.")
        return self._verify_sas(token, path_of(audience))

    def verify_plain(self, name: str, key: str) -> Claim:
        """Return what a policy gives to a client that knows its key, for as long as the connection lasts.

        Raises:
            AmqpError: there is no such policy, or its key is another.
        """
        policy = next((one for one in self._named(name) if hmac.compare_digest(one.key.encode(), key.encode())), None)
        if policy is None:
            raise _refusal("InvalidSignature: no policy has this name and key.")
        return Claim(path_of(policy.path), policy.rights, float("inf"))

    def _named(self, name: str) -> list[Policy]:
        """Return the policies of a name: entities may each have one that is called the same."""
        return [policy for policy in self._policies if policy.name == name]

    def _verify_sas(self, token: str, audience: str) -> Claim:
        if not token.startswith(_PREFIX):
            raise _refusal("MalformedToken: it does not begin with SharedAccessSignature.")
        fields = dict(part.partition("=")[::2] for part in token.removeprefix(_PREFIX).split("&"))
        named = self._named(unquote(fields.get("skn", "")))
        uri, signature, expiry = fields.get("sr", ""), unquote(fields.get("sig", "")), fields.get("se", "")
        if not named:
            raise _refusal("InvalidSignature: the policy of the token does not exist.")
        signed = [one for one in named if hmac.compare_digest(_signature(one, uri, expiry).encode(), signature.encode())]
        if not signed:
            raise _refusal("InvalidSignature: The token has an invalid signature.")
        if not expiry.isdecimal() or int(expiry) <= self._now():
            raise _refusal("ExpiredToken: The token is expired.")
        policy = signed[0]
        scope, path = path_of(unquote(uri)), path_of(policy.path)
        if not covers(scope, audience):
            raise _refusal("InvalidAudience: The token was made for another entity.")
        if not covers(path, audience) and not covers(audience, path):
            raise _refusal("InvalidAudience: The policy belongs to another entity.")
        return Claim(audience if covers(path, audience) else path, policy.rights, float(expiry))


def sas_token(policy: Policy, uri: str, expires_at: int) -> str:
    """Return a token, as a client makes it.

    Args:
        policy: whose key signs it.
        uri: what it is for, e.g. `sb://localhost/HUB`.
        expires_at: POSIX seconds.
    """
    encoded = quote_plus(uri)
    signature = quote_plus(_signature(policy, encoded, str(expires_at)))
    return f"{_PREFIX}sr={encoded}&sig={signature}&se={expires_at}&skn={policy.name}"


def _signature(policy: Policy, uri: str, expiry: str) -> str:
    digest = hmac.new(policy.key.encode(), f"{uri}\n{expiry}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _refusal(text: str) -> AmqpError:
    return AmqpError("amqp:unauthorized-access", text)
