"""Sealing: one committed change becomes the event that one target receives, or nothing.

The body is canonical JSON put together from bytes that are canonical already: the attributes as the contract's shape
encodes them, between members in RFC 8785 order. `hash` stands between `externalIds` and `payload`, so hashing what comes
before and after it hashes the event without it. The same inputs give the same bytes (docs/adr/0004).
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from goldwire.canonical import text
from goldwire.changelog.rows import Control, LogRow, Presence
from goldwire.contract.compiled import CompiledContract
from goldwire.contract.shape import Carried, Shape, State, encode
from goldwire.event.sealed import SPEC_VERSION, SealedEvent

_NOTHING = Carried("", None)
_SPEC_VERSION = SPEC_VERSION.encode()
_REASONS = {reason: b'"reason":"%b",' % reason.encode() for reason in ("deleted", "merged", "erased", "deselected")}


def seal(contract: CompiledContract, row: LogRow, held: Control | None, base_state: bytes | None) -> SealedEvent | Presence:
    """Seal one change for one target.

    Args:
        contract: the compiled contract, in the revision that holds at the row's position.
        row: the change.
        held: what the target was last sent of the entity, or None.
        base_state: the golden state at `held.version`, wanted for a delta; without it the event is full.

    Returns:
        the event, or, when nothing is to be sent, the presence that the control row should carry from now on (with no
        control row it is `gone` and nothing changes).
    """
    assert held is None or held.entity_id == row.entity_id, "a control row of another entity"
    presence: Presence = "gone" if held is None else held.presence
    shape = contract.shapes.get(row.entity_type)
    if row.kind != "live":
        return _tombstone(contract, shape, row, held, presence)
    if shape is None:
        return _unselected(contract, contract.other, contract.other.decode(row.state), row, held, presence)
    state = shape.decode(row.state)
    if not contract.selects[row.entity_type](row, state):
        return _unselected(contract, shape, state, row, held, presence)
    if not contract.changed_sent:
        # A record that lives again after its deletion was sent: its next deletion is news.
        return "out" if presence == "gone" and held is not None else presence
    # What a resync sends is whole: it is for a target that need not hold what it should.
    if row.addressed_to is not None or base_state is None or held is None or not _follows(contract, held):
        return _full(shape, state, row, held)
    return _delta(shape, state, row, held, base_state, by_value=contract.delta_by_value)


def _follows(contract: CompiledContract, held: Control) -> bool:
    """Say whether a delta may follow on what the target holds."""
    return contract.delta and held.presence == "in" and held.revision == contract.revision


def seal_again(contract: CompiledContract, row: LogRow, settled: Control, base_state: bytes | None) -> SealedEvent | Presence:
    """Seal what was settled last once more, byte for byte, from what its control row kept.

    Args:
        contract: the compiled contract in the revision `settled.revision`.
        row: the change at `settled.version`.
        settled: the control row.
        base_state: the golden state at `settled.base_version`; None when that is None.
    """
    assert row.version == settled.version, "the row is not what was settled"
    before: Control | None = None
    if settled.previous_hash is not None:
        before = settled._replace(
            version=settled.base_version or settled.version,
            hash=settled.previous_hash,
            presence="in",
        )
    return seal(contract, row, before, base_state if settled.base_version is not None else None)


def _full(shape: Shape, state: State, row: LogRow, held: Control | None) -> SealedEvent:
    attributes = state.attributes
    shape.conceal(attributes)
    edges = shape.edges(state.edges)
    changes = _changes(encode(attributes), edges)
    return _finish(
        changes, shape.external_ids(state), b'"payload":"full",', row, held, None, None, shape.carried(attributes, edges)
    )


def _delta(
    shape: Shape, state: State, row: LogRow, held: Control, base_state: bytes, *, by_value: bool
) -> SealedEvent | Presence:
    base = shape.decode(base_state)
    ids = shape.external_ids(state)
    new, old = shape.edges(state.edges), shape.edges(base.edges)
    changed = shape.keep_changes(state.attributes, base.attributes, by_value=by_value)
    if not changed and new == old and ids == shape.external_ids(base):
        return held.presence
    added, removed = _missing_in(old, new), _missing_in(new, old)
    edges = added + [b'{"op":"removed",%b' % edge[1:] for edge in removed]
    changes = _changes(encode(state.attributes), edges)
    carried = shape.carried(state.attributes, added + removed)
    return _finish(changes, ids, b'"payload":"delta",', row, held, held.version, None, carried)


def _changes(attributes: bytes, edges: Sequence[bytes]) -> bytes:
    return b"".join((b'{"changes":{"attributes":', attributes, b',"edges":[', b",".join(edges), b"]},"))


@lru_cache(maxsize=1024)
def _type_members(entity_type: str, deleted: bool) -> bytes:
    event_type = b"EntityDeleted" if deleted else b"EntityChanged"
    return b',"entityType":%b,"eventType":"%b","externalIds":' % (text(entity_type), event_type)


def _missing_in(known: Sequence[bytes], edges: Sequence[bytes]) -> list[bytes]:
    if not edges:
        return []
    present = set(known)
    return [edge for edge in edges if edge not in present]


def _unselected(
    contract: CompiledContract, shape: Shape, state: State, row: LogRow, held: Control | None, presence: Presence
) -> SealedEvent | Presence:
    # What left a selection without a deletion is held still: it leaves for good once deletions are sent for that.
    if presence == "gone" or (presence == "out" and not contract.deselect):
        return presence
    if contract.deselect:
        return _deleted(shape, state, row, held, "deselected")
    return "out"


def _tombstone(
    contract: CompiledContract, shape: Shape | None, row: LogRow, held: Control | None, presence: Presence
) -> SealedEvent | Presence:
    """Return the deletion for a target that was sent the record, whatever the selection says now.

    A target that takes only deletions was sent nothing before: it receives the deletions that its selection covers.
    """
    if not contract.deleted_sent:
        return presence
    if held is None and contract.tombstones_only and shape is not None:
        state = shape.decode(row.state)
        if contract.selects[row.entity_type](row, state):
            return _deleted(shape, state, row, held, row.kind)
    if presence == "gone":
        return presence
    shape = shape or contract.other
    return _deleted(shape, shape.decode(row.state), row, held, row.kind)


def _deleted(shape: Shape, state: State, row: LogRow, held: Control | None, reason: str) -> SealedEvent:
    middle = b'"payload":"full",'
    if reason == "merged" and row.merged_into is not None:
        middle = b'"mergedInto":%b,"payload":"full",' % text(row.merged_into)
    return _finish(b"{", shape.external_ids(state), middle, row, held, None, reason, _NOTHING)


def _finish(
    changes: bytes,
    external_ids: bytes,
    middle: bytes,
    row: LogRow,
    held: Control | None,
    base_version: int | None,
    reason: str | None,
    carried: Carried,
) -> SealedEvent:
    """Put the members in order, hash what surrounds `hash`, and splice it in."""
    previous = None if held is None else held.hash
    head = b"".join(
        (changes, b'"entityId":', text(row.entity_id), _type_members(row.entity_type, reason is not None), external_ids, b",")
    )
    tail = b'%b"previousHash":%b,%b"specVersion":"%b","timestamp":"%b","version":%d}' % (
        middle,
        b"null" if previous is None else b'"sha256:%b"' % hexlify(previous),
        b"" if reason is None else _REASONS[reason],
        _SPEC_VERSION,
        row.committed_at.encode(),
        row.version,
    )
    hashed = sha256(head)
    hashed.update(tail)
    digest = hashed.digest()
    return SealedEvent(
        row.entity_type,
        row.entity_id,
        row.version,
        reason is not None,
        reason,
        b"".join((head, b'"hash":"sha256:', hexlify(digest), b'",', tail)),
        digest,
        previous,
        base_version,
        row.committed_at,
        row.correlation_id,
        carried.classification,
        carried.retention_days,
    )
