"""How a Kafka broker makes sure who a client is: SASL's PLAIN, SCRAM and OAUTHBEARER, each verified for real.

Sources: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 7628 (OAUTHBEARER).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from math import inf
from typing import Protocol

from msgspec import Struct

from goldwire_emulator.amqp.endpoint import AmqpError
from goldwire_emulator.amqp.sas import SAS_KIND, Policy, SasAuthority

_ROUNDS = 4_096
_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Admitted(Struct, frozen=True):
    """A client that the broker believes."""

    name: str
    expires_at: float = inf
    """POSIX seconds; from then on it must show itself again."""


class RefusedError(Exception):
    """The client is not who it says it is. The client receives the text; it holds no secret."""


Exchange = Generator[bytes, bytes, tuple[bytes, Admitted]]
"""Receives what the client says and yields what the broker answers; returns the last answer and the client it admits."""


class Mechanism(Protocol):
    """One way to authenticate."""

    name: str

    def exchange(self) -> Exchange:
        """Begin with one client.

        Raises:
            RefusedError: from within, as soon as it is clear.
        """
        ...


class Plain:
    """A name and a password in the clear.

    Args:
        check: returns the client that they admit, or raises a RefusedError.
    """

    name = "PLAIN"

    def __init__(self, check: Callable[[str, str], Admitted]) -> None:
        self._check = check

    def exchange(self) -> Exchange:
        """Take both from one message."""
        given = (yield b"").decode().split("\0")
        if len(given) != 3:
            raise RefusedError("malformed credentials")
        return b"", self._check(given[1], given[2])


def passwords(known: Mapping[str, str]) -> Callable[[str, str], Admitted]:
    """Return what believes these passwords, by user."""

    def check(user: str, password: str) -> Admitted:
        if not hmac.compare_digest(known.get(user, secrets.token_hex()).encode(), password.encode()):
            raise RefusedError("Authentication failed: Invalid username or password")
        return Admitted(user)

    return check


def connection_strings(policies: Sequence[Policy], entity: str, now: Callable[[], float]) -> Callable[[str, str], Admitted]:
    """Return what believes the user `$ConnectionString` with a namespace's connection string as password, as Event Hubs does.

    Args:
        policies: of the namespace.
        entity: the hub that the client wants, since a SAS token may be for one hub alone.
        now: POSIX seconds.
    """
    authority = SasAuthority(policies, now)

    def check(user: str, password: str) -> Admitted:
        given = dict(part.partition("=")[::2] for part in password.split(";"))
        if user != "$ConnectionString":
            raise RefusedError("the user is not $ConnectionString")
        try:
            if "SharedAccessSignature" in given:
                claim = authority.verify(given["SharedAccessSignature"], SAS_KIND, f"sb://namespace/{entity}")
                return Admitted("SharedAccessSignature", claim.expires_at)
            name = given.get("SharedAccessKeyName", "")
            return Admitted(name, authority.verify_plain(name, given.get("SharedAccessKey", "")).expires_at)
        except AmqpError as error:
            raise RefusedError("the connection string is not believed") from error

    return check


class OauthBearer:
    """A token.

    Args:
        check: returns the client that it admits and until when, or raises a RefusedError.
    """

    name = "OAUTHBEARER"

    def __init__(self, check: Callable[[str], Admitted]) -> None:
        self._check = check

    def exchange(self) -> Exchange:
        """Take the token from the first message; a refused client acknowledges that before the connection ends."""
        fields = (yield b"").decode().split("\x01")
        token = next((field.removeprefix("auth=Bearer ") for field in fields if field.startswith("auth=Bearer ")), "")
        try:
            return b"", self._check(token)
        except RefusedError:
            yield b'{"status":"invalid_token"}'
            raise


class Scram:
    """Proof of a password that does not show it.

    Args:
        name: `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        known: passwords by user.
    """

    def __init__(self, name: str, known: Mapping[str, str]) -> None:
        self.name = name
        self._hash = _HASHES[name]
        self._known = known

    def exchange(self) -> Exchange:
        """Challenge the client, and prove in turn that the password is known here."""
        first = (yield b"").decode().split(",", 2)[2]
        asked = _fields(first)
        salt, nonce = secrets.token_bytes(16), asked["r"] + secrets.token_urlsafe(18)
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ROUNDS}"
        final = (yield challenge.encode()).decode()
        given = _fields(final)
        password = self._known.get(asked["n"], secrets.token_hex())
        salted = hashlib.pbkdf2_hmac(self._hash, password.encode(), salt, _ROUNDS)
        message = f"{first},{challenge},{final.rpartition(',p=')[0]}".encode()
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), message, self._hash)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        if given["r"] != nonce or not hmac.compare_digest(proof, base64.b64decode(given["p"])):
            raise RefusedError("Authentication failed: invalid credentials")
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", self._hash), message, self._hash)
        return b"v=" + base64.b64encode(verifier), Admitted(asked["n"])


def _fields(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(","))
