"""Compares what a subscriber applied with the signed list that `goldwire heads` writes: names which last events it missed.

A chain shows what is missing between two events. What was lost after the last one leaves no gap; only the list
shows it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from goldwire_consumer.errors import SubscriberError
from goldwire_consumer.store.base import Store
from goldwire_consumer.verdict import Held

_TOGETHER = 500
"""How many entities are looked up in one transaction."""


class HeadsError(SubscriberError):
    """A list of heads is not what was signed, or is no such list."""


class Difference(NamedTuple):
    """One entity of which a subscriber does not hold what its target was sent."""

    entity_id: str
    kind: Literal["missing", "behind", "other"]
    """`missing`: nothing of it was applied; `behind`: an older version; `other`: the same version with another hash."""
    version: int
    """That the list names."""
    held: int | None
    """That the subscriber applied last."""


class Heads(NamedTuple):
    """What a comparison came to."""

    target: str
    position: int
    """Up to which position of Goldwire's log the list stands for."""
    entities: int
    differences: list[Difference]
    """In order of entity id; what is ahead of the list is none, because it came after that was written."""


class _Head(Struct, rename="camel"):
    entity_id: str
    gone: bool
    hash: str
    version: int


class _End(Struct, forbid_unknown_fields=True):
    entities: int
    position: int
    target: str
    signature: str


_head = msgspec.json.Decoder(_Head).decode
_end = msgspec.json.Decoder(_End).decode


def compare(lines: Iterable[bytes], store: Store[Any], key: bytes) -> Heads:
    """Compare a list of heads with what was applied.

    Args:
        lines: of the file that `goldwire heads` wrote.
        store: the consumer's.
        key: the one that the list was signed with.

    Raises:
        HeadsError: the list is cut off, was altered, or was signed with another key; nothing of it counts.
    """
    signing = hmac.new(key, digestmod=hashlib.sha256)
    differences: list[Difference] = []
    some: list[_Head] = []
    count, before = 0, b""
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if before:
            signing.update(before + b"\n")
            some.append(_read(before))
            count += 1
        if len(some) >= _TOGETHER:
            differences += _differences(some, store)
            some = []
        before = line
    end = _last(before)
    signing.update(msgspec.json.encode({"entities": end.entities, "position": end.position, "target": end.target}))
    if end.entities != count or not hmac.compare_digest(end.signature, f"hmac-sha256:{signing.hexdigest()}"):
        raise HeadsError("the list of heads is not what was signed with this key: fetch it again, or mend the key")
    return Heads(end.target, end.position, count, differences + _differences(some, store))


def _read(line: bytes) -> _Head:
    try:
        return _head(line)
    except msgspec.DecodeError:
        raise HeadsError("a line of the list of heads is none") from None


def _last(line: bytes) -> _End:
    try:
        return _end(line)
    except msgspec.DecodeError:
        raise HeadsError("the list of heads has no signed last line: it is cut off") from None


def _differences(heads: list[_Head], store: Store[Any]) -> list[Difference]:
    with store.transaction() as transaction:
        transaction.expect([head.entity_id for head in heads])
        pairs = [(head, transaction.held(head.entity_id)) for head in heads]
    return [found for head, held in pairs if (found := _difference(head, held)) is not None]


def _difference(head: _Head, held: Held | None) -> Difference | None:
    if held is None or held.hash is None:
        return Difference(head.entity_id, "missing", head.version, None)
    if held.version < head.version:
        return Difference(head.entity_id, "behind", head.version, held.version)
    if held.version == head.version and held.hash != head.hash:
        return Difference(head.entity_id, "other", head.version, held.version)
    return None
