"""Verifies what a target received, from the events alone: every hash, and each entity's chain.

A chain proves that nothing between two of its events was lost or altered. It cannot know of events after the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec import Struct

from goldwire.event.envelope import Header
from goldwire.event.hash import UnreadableError, read

Kind = Literal["unreadable", "altered", "missing", "reordered", "restarted", "version"]


class ChainFinding(NamedTuple):
    """One thing that is wrong."""

    line: int
    """1 is the first."""
    kind: Kind
    entity_id: str | None
    version: int | None
    text: str
    """A sentence; never a value of the record."""


class Verified(Struct):
    """What a verification counted."""

    events: int = 0
    entities: int = 0
    repeated: int = 0
    """Identical resends, which are no fault."""
    findings: int = 0

    @property
    def whole(self) -> bool:
        """Whether everything holds."""
        return self.findings == 0


class _Location(NamedTuple):
    """Where an event stands."""

    file: str
    line: int

    def seen_from(self, here: _Location) -> str:
        """Return the line, and the file if it is another one."""
        return f"line {self.line}" if self.file == here.file else f"line {self.line} of {self.file}"


class _Chain:
    """What was seen of one entity."""

    __slots__ = ("awaited", "hash", "location", "seen", "version")

    def __init__(self) -> None:
        self.hash: str | None = None
        self.version = 0
        self.location = _Location("", 0)
        self.seen: set[int] = set()
        self.awaited: dict[str, _Location] = {}
        """By the hash of a predecessor that was not seen yet, the location of the event that names it."""


class Verifier:
    """Verifies one target's events, from one file or several in order.

    Attributes:
        result: the counts so far.
    """

    def __init__(self, *, from_the_start: bool = True) -> None:
        """Begin.

        Args:
            from_the_start: the events begin with each entity's first; otherwise (a rotated file) a chain may begin anywhere.
        """
        self.result = Verified()
        self._from_the_start = from_the_start
        self._chains: dict[str, _Chain] = {}

    def check(self, lines: Iterable[bytes], file: str = "") -> Iterator[ChainFinding]:
        """Yield what is wrong, while it reads; empty lines are skipped.

        Args:
            lines: one event each, JSON; numbered from 1 in each call.
            file: where they come from, for findings about lines of another call.
        """
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text:
                for finding in self._event(_Location(file, number), text):
                    self.result.findings += 1
                    yield finding

    def _event(self, location: _Location, text: bytes) -> Iterator[ChainFinding]:
        self.result.events += 1
        try:
            header, holds = read(text)
        except UnreadableError as error:
            yield ChainFinding(location.line, "unreadable", None, None, f"cannot be read as an event: {error}")
            return
        if not holds:
            yield ChainFinding(
                location.line, "altered", header.entityId, header.version, "its content does not have the hash that it states"
            )
        chain = self._chains.get(header.entityId)
        if chain is None:
            chain = self._chains[header.entityId] = _Chain()
            self.result.entities += 1
        short = int(header.hash[7:23], 16)
        if short in chain.seen:
            self.result.repeated += 1
            return
        chain.seen.add(short)
        yield from self._link(location, header, chain)

    def _link(self, location: _Location, header: Header, chain: _Chain) -> Iterator[ChainFinding]:
        finding = _broken(location, header, chain, from_the_start=self._from_the_start)
        if finding is not None:
            yield finding
        elif chain.hash is not None and header.version <= chain.version:
            yield ChainFinding(
                location.line, "version", header.entityId, header.version, f"its version does not rise above {chain.version}"
            )
        if header.version >= chain.version:
            chain.hash, chain.version, chain.location = header.hash, header.version, location


def _broken(location: _Location, header: Header, chain: _Chain, *, from_the_start: bool) -> ChainFinding | None:
    """Return what is wrong between an event and the one before it, and remember which predecessor is missing."""
    entity, version, previous = header.entityId, header.version, header.previousHash
    line, last = location.line, chain.location.seen_from(location)
    waiting = chain.awaited.pop(header.hash, None)
    if waiting is not None:
        return ChainFinding(
            line,
            "reordered",
            entity,
            version,
            f"it belongs before {waiting.seen_from(location)}, which names it as its predecessor",
        )
    if previous == chain.hash:
        return None
    if version < chain.version:
        return ChainFinding(line, "reordered", entity, version, f"version {chain.version} came before it, in {last}")
    if previous is None:
        text = f"it begins a new chain, though {last} has an event before it"
        if chain.location.file != location.file:
            text += "; if these are files of two targets, verify each alone"
        return ChainFinding(line, "restarted", entity, version, text)
    if chain.hash is None and not from_the_start:
        return None
    chain.awaited[previous] = location
    text = f"its predecessor is not the event in {last}: at least one event between is missing or was altered"
    if chain.hash is None:
        text = "it names a predecessor, and there is none: the beginning is missing"
    return ChainFinding(line, "missing", entity, version, text)


def verify(lines: Iterable[bytes], *, from_the_start: bool = True) -> tuple[Verified, list[ChainFinding]]:
    """Verify one stream of events as a whole.

    Args:
        lines: one event each, JSON.
        from_the_start: see `Verifier`.
    """
    verifier = Verifier(from_the_start=from_the_start)
    findings = list(verifier.check(lines))
    return verifier.result, findings
