"""Holds every event that leaves a relay against the one that its contract makes of the change: each byte, header and member.

Which revision of the contract and which predecessor it may have been made with, it finds out by itself, from the log, from the
revisions and from what left before (docs/adr/0058).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import LogRow, Revision
from goldwire.event.headers import headers
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item
from goldwire_lab.simulation.plain_events import PlainEvent, changed_event, decide, deleted_event, headers_of
from goldwire_lab.simulation.terms import Terms


class Sent(Struct, frozen=True):
    """What is remembered of an event that left."""

    version: int
    revisions: frozenset[int]
    """Those that make exactly this event of the change."""
    deleted: bool


def _headers(item: Item) -> dict[str, str]:
    return headers(item.event, replay_id=item.replay_id)


class Departures:
    """All that leaves to one target.

    Args:
        target: its name.
        report: called with each broken promise. It must not raise: a relay takes a target's errors for the target's.
        make_headers: makes the headers of an item, as targets do.
    """

    def __init__(
        self, target: str, report: Callable[[str], None], make_headers: Callable[[Item], dict[str, str]] = _headers
    ) -> None:
        self._target = target
        self._make_headers = make_headers
        self._report = report
        self._rows: dict[tuple[str, int], LogRow] = {}
        self._terms: dict[int, Terms] = {}
        self._sent: dict[bytes, Sent] = {}
        """By hash: an event names the one before it by that."""
        self._lost = False

    def store_lost(self) -> None:
        """The store is an older one now: versions and revisions are made again, with other content."""
        self._rows.clear()
        self._terms.clear()
        self._lost = True
        self._sent.clear()

    def leaving(self, items: Iterable[Item], store: Store) -> None:
        """Look at what is handed to the network.

        Args:
            items: one event each.
            store: that of the relay; only its log and its revisions are read.
        """
        revisions = store.revisions(self._target)
        for item in items:
            row = self._row(store, item.event.entity_id, item.event.version)
            if row is None:
                self._report(f"{self._name(item.event)} left, and the log has no such version")
                continue
            self._check(item, row, store, revisions)

    def _row(self, store: Store, entity_id: str, version: int) -> LogRow | None:
        key = (entity_id, version)
        if key not in self._rows:
            self._rows.update(store.versions([key]))
        return self._rows.get(key)

    def _check(self, item: Item, row: LogRow, store: Store, revisions: Sequence[Revision]) -> None:
        event, name = item.event, self._name(item.event)
        if not row.concerns(self._target):
            self._report(f"{name} left, and is sent again to another target only")
        made = [*self._made(event, row, store, revisions)]
        matching = [(revision, sealed) for revision, sealed in made if sealed.body == event.body]
        if not matching:
            self._report(f"{name} is not what any contract of it makes: {_difference(event, made)}")
            return
        sealed = min((one for _, one in matching), key=lambda one: one.base_version != event.base_version)
        for field, expected in _fields(row, sealed).items():
            if getattr(event, field) != expected:
                self._report(f"{name} says {field} {getattr(event, field)!r}, not {expected!r}")
        found, wanted = self._make_headers(item), headers_of(sealed.members, row, sealed, item.replay_id)
        for header in found.keys() | wanted.keys():
            if found.get(header) != wanted.get(header):
                self._report(f"{name} has the header {header} {found.get(header)!r}, not {wanted.get(header)!r}")
        if item.replay_id is None:
            self._remember(event, frozenset(revision for revision, _ in matching))

    def _made(
        self, event: SealedEvent, row: LogRow, store: Store, revisions: Sequence[Revision]
    ) -> Iterator[tuple[int, PlainEvent]]:
        """Yield what each revision that may seal the change makes of it, on what this target was sent before."""
        # What may have been sent under a revision is sealed by it again, and never by one from before it held.
        oldest = max((one.revision for one in revisions if one.effective_after < row.seq), default=1)
        last = None if event.previous_hash is None else self._sent.get(event.previous_hash)
        # It left before the store lost it; or never, because the target was found to hold something newer from before.
        is_foreign = last is None and event.previous_hash is not None and self._lost
        for revision in revisions:
            if revision.revision not in self._terms:
                self._terms[revision.revision] = Terms.of(revision)
        sealing = [(one.revision, self._terms[one.revision]) for one in revisions if one.revision >= oldest]
        for number, terms in sealing:
            if event.deleted:
                if is_foreign or _may_delete(terms, row, last):
                    yield number, deleted_event(terms, row, event.previous_hash)
            elif row.kind == "live" and "EntityChanged" in terms.spec.kinds and decide(terms, row) == "shown":
                full, delta = self._payloads(terms, number, row, last, store)
                if full:
                    yield number, changed_event(terms, row, event.previous_hash, None)
                for base in self._bases(store, row, last if delta else None, is_foreign=is_foreign):
                    yield number, changed_event(terms, row, event.previous_hash, base)

    def _bases(self, store: Store, row: LogRow, last: Sent | None, *, is_foreign: bool) -> list[LogRow]:
        """Return what a delta may be made against: what was sent last; of what a lost store has sent, nothing is known."""
        versions = [last.version] if last is not None else range(1, row.version) if is_foreign else ()
        found = [self._row(store, row.entity_id, version) for version in versions]
        return [one for one in found if one is not None]

    def _payloads(self, terms: Terms, revision: int, row: LogRow, last: Sent | None, store: Store) -> tuple[bool, bool]:
        """Say whether the event may be full, and whether it may be a delta."""
        follows = (
            terms.spec.payload == "delta"
            and last is not None
            and not last.deleted
            and revision in last.revisions
            and row.addressed_to is None
        )
        if not follows:
            return True, False
        assert last is not None
        # It may have left the selection in between, or after what was rewound since; what enters again is sent whole.
        later = [one for one in store.history(row.entity_id) if one.version > last.version]
        left = any(one.kind != "live" or decide(known, one) != "shown" for one in later for known in self._terms.values())
        return left or len(last.revisions) > 1, True

    def _remember(self, event: SealedEvent, revisions: frozenset[int]) -> None:
        known = self._sent.get(event.hash)
        if known is not None:
            revisions |= known.revisions
        self._sent[event.hash] = Sent(event.version, revisions, event.deleted)

    def _name(self, event: SealedEvent) -> str:
        return f"{self._target}: version {event.version} of {event.entity_id}"


def _may_delete(terms: Terms, row: LogRow, last: Sent | None) -> bool:
    """Say whether a contract sends a deletion of this row to a target that was sent `last`."""
    spec = terms.spec
    if "EntityDeleted" not in spec.kinds:
        return False
    held = last is not None and not last.deleted
    if row.kind == "live":
        return held and spec.deselect and decide(terms, row) == "hidden"
    return held or ("EntityChanged" not in spec.kinds and (last is not None or decide(terms, row) == "shown"))


def _fields(row: LogRow, sealed: PlainEvent) -> dict[str, Any]:
    """Return what the members of a sealed event have to be."""
    members = sealed.members
    previous = members["previousHash"]
    return {
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "version": row.version,
        "deleted": members["eventType"] == "EntityDeleted",
        "reason": members.get("reason"),
        "body": sealed.body,
        "hash": sealed.hash,
        "previous_hash": None if previous is None else bytes.fromhex(previous.removeprefix("sha256:")),
        "base_version": sealed.base_version,
        "timestamp": row.committed_at,
        "correlation_id": row.correlation_id,
        "classification": sealed.classification,
        "retention_days": sealed.retention_days,
    }


def _difference(event: SealedEvent, made: Sequence[tuple[int, PlainEvent]]) -> str:
    """Name the members that differ, of the revision that comes nearest; no values."""
    found = msgspec.json.decode(event.body)
    found.pop("hash", None)
    if not made:
        return "none shows it"
    differing = [
        (
            sorted(name for name in found.keys() | sealed.members.keys() if found.get(name) != sealed.members.get(name)),
            revision,
        )
        for revision, sealed in made
    ]
    names, revision = min(differing, key=lambda one: len(one[0]))
    return f"other {', '.join(names)} than under revision {revision}"
