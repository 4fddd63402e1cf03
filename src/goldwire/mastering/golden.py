"""The golden state: what a golden record is at one version, as canonical JSON, read and written here.

Members stand in canonical order, attributes too, so that taking an attribute out is copying its bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from goldwire.canonical import text
from goldwire.capture.fact import ExternalId
from goldwire.redaction import shows

Status = Literal["golden", "provisional"]

_LAST_SEEN = b',"lastSeen":"'
_MOMENT_BYTES = len("2026-11-23T10:00:00.000000Z")


class ExternalRef(Struct, gc=False):
    """One of the record's external ids."""

    id: str
    system: str


@shows("status", "approval")
class GoldenState(Struct, rename="camel", gc=False):
    """A decoded state; attributes stay as they are written (see `GoldenAttribute`)."""

    approval: Literal["approved", "pending", "withdrawn"]
    attributes: dict[str, Raw]
    confidence: float
    edges: list[Raw]
    external_ids: list[ExternalRef]
    status: Status


@shows("provenance", "confidence", "last_seen")
class GoldenAttribute(Struct, rename="camel", gc=False):
    """One attribute of a state, decoded."""

    confidence: float
    last_seen: str
    provenance: str
    value: Raw


@shows("status", "approval")
class _Members(Struct, rename="camel", gc=False):
    """A state decoded as far as comparing needs it."""

    approval: str
    attributes: dict[str, Raw]
    confidence: Raw
    edges: Raw
    external_ids: Raw
    status: str


decode_state = msgspec.json.Decoder(GoldenState).decode
"""Golden state bytes to `GoldenState`."""

decode_attribute = msgspec.json.Decoder(GoldenAttribute).decode
"""Bytes of one attribute of a state to `GoldenAttribute`."""

_members = msgspec.json.Decoder(_Members).decode


@shows("status", "approval")
class GoldenView(Struct, gc=False):
    """A state while it is made: every member as its canonical bytes."""

    approval: str
    attributes: dict[str, bytes]
    """In canonical order."""
    confidence: bytes
    edges: bytes
    external_ids: bytes
    status: str

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        prefixes = _PREFIXES
        members = b",".join([(prefixes.get(name) or attribute_prefix(name)) + value for name, value in self.attributes.items()])
        return b'{"approval":"%b","attributes":{%b},"confidence":%b,"edges":%b,"externalIds":%b,"status":"%b"}' % (
            self.approval.encode(), members, self.confidence, self.edges, self.external_ids, self.status.encode(),
        )  # fmt: skip


def open_state(encoded: bytes) -> GoldenView:
    """Return a stored state's members."""
    found = _members(encoded)
    return GoldenView(
        found.approval,
        {name: bytes(raw) for name, raw in found.attributes.items()},
        bytes(found.confidence),
        bytes(found.edges),
        bytes(found.external_ids),
        found.status,
    )


def tombstone(encoded: bytes) -> bytes:
    """Return the state that a tombstone keeps: the record's last one, without attributes and edges."""
    found = open_state(encoded)
    found.attributes = {}
    found.edges = b"[]"
    return found.encode()


def attribute_prefix(name: str) -> bytes:
    """Return the member name of an attribute with its colon."""
    found = _PREFIXES.get(name)
    if found is None:
        # Names come from the model, so there are few.
        found = _PREFIXES[name] = text(name) + b":"
    return found


_PREFIXES: dict[str, bytes] = {}


def edges_bytes(edges: Iterable[str]) -> bytes:
    """Return edges (canonical JSON text of each) as the state's member."""
    return b"[" + b",".join(sorted(edge.encode() for edge in edges)) + b"]"


def external_ids_bytes(refs: Sequence[ExternalId]) -> bytes:
    """Return external ids, sorted by (system, id), as the state's member."""
    return b"[" + b",".join([b'{"id":%b,"system":%b}' % (text(ref[1]), text(ref[0])) for ref in refs]) + b"]"


def changes(old: GoldenView | None, new: GoldenView) -> str:
    """Name the visible changes; a newer `lastSeen` alone is none.

    Returns:
        Attribute names and `@approval`, `@edges`, `@ids`, `@status`, sorted and joined by commas.
    """
    if old is None:
        return _first_changes(tuple(new.attributes), edges=new.edges != b"[]")
    named = _attribute_changes(old.attributes, new.attributes)
    for name, before, after in (
        ("@approval", old.approval, new.approval),
        ("@edges", old.edges, new.edges),
        ("@ids", old.external_ids, new.external_ids),
        ("@status", old.status, new.status),
    ):
        if before != after:
            named.append(name)
    return ",".join(sorted(named))


@functools.lru_cache(maxsize=1024)
def _first_changes(attributes: tuple[str, ...], *, edges: bool) -> str:
    return ",".join(sorted(["@approval", "@ids", "@status", *(["@edges"] if edges else []), *attributes]))


def _attribute_changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    named = [name for name in old if name not in new]
    for name, after in new.items():
        before = old.get(name)
        if before != after and (before is None or not _same_but_seen(before, after)):
            named.append(name)
    return named


def _same_but_seen(before: bytes, after: bytes) -> bool:
    """Return whether two attributes differ in nothing but `lastSeen`, which stands at a fixed index after `confidence`."""
    begin = before.index(_LAST_SEEN) + len(_LAST_SEEN)
    end = begin + _MOMENT_BYTES
    return before[:begin] == after[:begin] and before[end:] == after[end:]
