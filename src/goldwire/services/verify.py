"""Verifying files of events: all of them as one stream, with progress, in memory that grows with entities only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from goldwire.errors import InputError
from goldwire.event.chain import ChainFinding, Verified, Verifier

TICK = 1_000
"""After how many lines it reports progress."""


def verify_files(
    files: Sequence[Path],
    *,
    from_the_start: bool = True,
    found: Callable[[Path, ChainFinding], None],
    progress: Callable[[int], None] | None = None,
) -> Verified:
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
                found(file, finding)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    if progress is not None:
        progress(done)
    return verifier.result
