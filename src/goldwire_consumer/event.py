"""Reads an event and proves that it is what its sender sealed: members, types, and the hash over its canonical form.

The canonical form is RFC 8785 (JSON Canonicalization Scheme); the hash covers the event without its own `hash` member.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
import rfc8785
from msgspec import Meta, Struct

from goldwire_consumer.errors import AlteredError, UnreadableError

Hash = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]

_MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader holds exactly (RFC 7493, section 2.2)."""

_EXACT_DIGITS = 18
"""An integer of fewer digits is worth looking at as an integer."""

_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 16
"""In a text whose digits are all made 0. Without one no number lies beyond `_MAX_INTEGER`, where a decoder's integers are no
longer the doubles that were sent."""

_LONG_INTEGER = re.compile(rb"[:,\[-]\d{16,}[,\]}]")
_BEYOND_FFFF = re.compile(rb"[\xf0-\xf4]")
"""In UTF-8; members with such characters are sorted otherwise, as UTF-16."""

_QUOTED = re.compile(r"""Invalid enum value ('.*'|".*")""", re.DOTALL)


class _Content(Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """What holds content of a record, and shows none of it in a log. The collector passes it over: JSON holds no cycles."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Attribute(_Content, frozen=True):
    """One attribute of `changes`."""

    value: Any
    """Plain JSON; None in a delta means that the attribute is gone."""
    provenance: str
    """The system that it won from."""
    confidence: Annotated[float, Meta(ge=0, le=1)]
    last_seen: str
    """RFC 3339."""


class Edge(_Content, frozen=True):
    """One relation of `changes`."""

    rel: str
    to: dict[str, Any]
    """`{"externalId": {"system", "id"}}` or `{"entityId"}`."""
    op: Literal["added", "removed"] = "added"


class Changes(_Content, frozen=True):
    """What an EntityChanged carries."""

    attributes: dict[str, Attribute]
    edges: list[Edge] = []


class ExternalId(_Content, frozen=True):
    """How one system knows the entity."""

    system: str
    id: str


class Event(_Content, frozen=True):
    """One change of one entity, verified."""

    spec_version: Literal["cluedin-1.0"]
    event_type: Literal["EntityChanged", "EntityDeleted"]
    entity_type: str
    entity_id: str
    version: Annotated[int, Meta(ge=1)]
    timestamp: str
    """RFC 3339, UTC: when this version was committed."""
    external_ids: list[ExternalId]
    payload: Literal["delta", "full"]
    hash: Hash
    previous_hash: Hash | None
    changes: Changes | None = None
    """None on EntityDeleted."""
    reason: Literal["deleted", "merged", "erased", "deselected"] | None = None
    merged_into: str | None = None

    def __repr__(self) -> str:
        return f"Event({self.entity_type} {self.entity_id} version {self.version})"

    @property
    def deleted(self) -> bool:
        """Whether it is a tombstone."""
        return self.event_type == "EntityDeleted"

    @property
    def whole(self) -> bool:
        """Whether it says all there is to know: the full record, or that there is none."""
        return self.deleted or self.payload == "full"


class _OtherSpellingError(Exception):
    """A number is perhaps not written as the canonical form has it."""


@lru_cache(maxsize=1_024)  # a confidence comes again and again
def _decimal(text: str) -> float:
    """Read a number that is written with a point or an exponent.

    Raises:
        _OtherSpellingError: it is whole or has an exponent; where that stands, writers disagree.
    """
    if text.endswith(".0") or "e" in text:
        raise _OtherSpellingError
    return float(text)


_decode = msgspec.json.Decoder(Event).decode
_read = msgspec.json.Decoder(float_hook=_decimal).decode
_write = msgspec.json.Encoder(order="sorted").encode


def parse(body: bytes) -> Event:
    """Read and verify one event.

    Args:
        body: JSON, UTF-8, in any spacing and order of members.

    Raises:
        UnreadableError: it is no event, or readers would disagree on what it says.
        AlteredError: it is an event, but not the one that was sealed.
    """
    try:
        event = _decode(body)
        has_long_number = _LONG_NUMBER in body.translate(_DIGITS)
        if has_long_number:
            event = msgspec.convert(json.loads(body, parse_int=_number), Event)
    except msgspec.ValidationError as error:
        raise UnreadableError(f"no event: {_QUOTED.sub('a word that is not known here', str(error))}") from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise UnreadableError("no JSON in UTF-8") from None
    if event.deleted is not (event.changes is None) or event.deleted is not (event.reason is not None):
        raise UnreadableError(f"no event: {event.event_type} has `changes` or `reason` where it must not, or lacks it")
    if not _as_sealed(body, event.hash, has_long_number=has_long_number) and event.hash != _hash(body):
        raise AlteredError(
            f"entity {event.entity_id}, version {event.version}: its content does not have the hash that it states",
            event.entity_id,
            event.version,
        )
    return event


def _as_sealed(body: bytes, stated: str, *, has_long_number: bool) -> bool:
    """Whether the bytes are those that were hashed, with the hash put in: no need to bring them into canonical form.

    They must be in order, without blanks and with each member once, as they are when they are written anew, and hold nothing
    that is written otherwise then: a hash over other bytes is not that of the canonical form.
    """
    member = b'"hash":"%b",' % stated.encode()
    before, found, after = body.partition(member)
    if not found or stated != f"sha256:{sha256(before + after).hexdigest()}":
        return False
    if (has_long_number and _LONG_INTEGER.search(body)) or (not body.isascii() and _BEYOND_FFFF.search(body)):
        return False
    try:
        return _write(_read(body)) == body
    except _OtherSpellingError:
        return False


def _hash(body: bytes) -> str:
    """Return the hash of an event that came in other spacing, order or spelling than its canonical form."""
    try:
        event = json.loads(body, parse_int=_number, object_pairs_hook=_members)
        del event["hash"]
        return f"sha256:{sha256(rfc8785.dumps(event)).hexdigest()}"
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"no canonical form: {type(error).__name__}") from None


def _number(digits: str) -> int | float:
    """Numbers are doubles (RFC 8785, section 3.2.2.3), also where they are written like large integers."""
    value: int | float = int(digits) if len(digits) < _EXACT_DIGITS else float(digits)
    return value if abs(value) <= _MAX_INTEGER else float(digits)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("a member stands twice, so that readers see different events")
    return found
