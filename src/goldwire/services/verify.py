"""Verifying files of events: all of them as one stream, with progress, in memory that grows with entities only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from goldwire.errors import InputError
from goldwire.event.chain import ChainFinding, Kind, Verifier

TICK = 1_000
"""After how many lines it reports progress."""

FIRST_FINDINGS = 1_000
"""How many findings the report itself holds."""


class FileFinding(Struct, frozen=True):
    """One thing that is wrong, and in which file."""

    file: str
    line: int
    """1 is the first."""
    kind: Kind
    entity_id: str | None
    version: int | None
    text: str
    """A sentence; never a value of the record."""


class VerifyReport(Struct, frozen=True):
    """What a verification counted, and what it found first."""

    events: int
    entities: int
    repeated: int
    """Identical resends, which are no fault."""
    whole: bool
    """Whether everything holds."""
    findings: int
    """How many there are,"""
    first_findings: list[FileFinding]
    """and the first thousand of them."""


def verify_files(
    files: Sequence[Path],
    *,
    from_the_start: bool = True,
    found: Callable[[Path, ChainFinding], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Verify events.

    Args:
        files: JSON lines; in the order in which they were written.
        from_the_start: the first file is the first that was ever written.
        found: called with each finding.
        progress: called with the number of bytes read so far.

    Raises:
        InputError: a file cannot be read.
    """
    verifier = Verifier(from_the_start=from_the_start)
    done = 0
    first: list[FileFinding] = []

    def lines(file: Path) -> Iterator[bytes]:
        nonlocal done
        with file.open("rb") as opened:
            for number, line in enumerate(opened):
                done += len(line)
                if progress is not None and number % TICK == 0:
                    progress(done)
                yield line

    for file in files:
        try:
            for finding in verifier.check(lines(file), str(file)):
                if len(first) < FIRST_FINDINGS:
                    first.append(FileFinding(str(file), *finding))
                if found is not None:
                    found(file, finding)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    if progress is not None:
        progress(done)
    result = verifier.result
    return VerifyReport(result.events, result.entities, result.repeated, result.whole, result.findings, first)
