"""What a connection may do: the rights that its tokens gave it, by path, until they expire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct

from goldwire_emulator.amqp.endpoint import Right


class Claim(Struct, frozen=True):
    """What one token gives."""

    path: str
    """Of the entity and all beneath it, as `path_of` writes it; empty: the whole namespace."""
    rights: frozenset[Right]
    expires_at: float
    """POSIX seconds."""


class Authority(Protocol):
    """Verifies what clients show to prove who they are. Raises an `AmqpError` where it does not believe them."""

    def verify(self, token: str, kind: str, audience: str) -> Claim:
        """Return what a token gives.

        Args:
            token: as the client sent it.
            kind: `servicebus.windows.net:sastoken` or `jwt`.
            audience: the URI for which the client wants it.
        """
        ...

    def verify_plain(self, name: str, key: str) -> Claim:
        """Return what the name and the key of a policy give (SASL PLAIN)."""
        ...


def path_of(uri: str) -> str:
    """Return the path in an address, which may be a whole URI: decoded, in lower case, without slashes at its ends.

    The JavaScript SDK makes tokens for the management API whose URI still has its query.
    """
    path = uri.partition("://")[2].partition("/")[2].partition("?")[0] if "://" in uri else uri
    return unquote(path).strip("/").lower()


def covers(path: str, address: str) -> bool:
    """Say whether an address is that path or lies beneath it; both as `path_of` writes them."""
    return not path or address == path or address.startswith(path + "/")


class Claims:
    """The claims of one connection.

    Args:
        now: POSIX seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_path: dict[str, Claim] = {}

    def add(self, claim: Claim) -> None:
        """Take a claim; it replaces the one of the same path, and those that have expired are forgotten."""
        now = self._now()
        self._by_path = {path: held for path, held in self._by_path.items() if held.expires_at > now}
        self._by_path[claim.path] = claim

    def until(self, address: str, rights: frozenset[Right]) -> float | None:
        """Return until when one of the rights is held on an address.

        Returns:
            POSIX seconds; None if none of them is held; infinity if none is needed.
        """
        if not rights:
            return float("inf")
        path, now = path_of(address), self._now()
        wanted = rights | {Right.MANAGE}
        found = [
            claim.expires_at
            for claim in self._by_path.values()
            if claim.expires_at > now and claim.rights & wanted and covers(claim.path, path)
        ]
        return max(found, default=None)
