"""Taking files in: rows are read, mastered and committed in batches, each batch in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec
from msgspec import Struct, field

from goldwire.capture.fact import Decision, Fact, RejectedRow
from goldwire.capture.native import NativeReader
from goldwire.capture.reader import read_file
from goldwire.capture.rejects import RejectsFile
from goldwire.capture.source_spec import MEBIBYTE, SourceSpec
from goldwire.changelog.ports.ingest import Ingest
from goldwire.changelog.rows import NO_SOURCE
from goldwire.clock import Clock, timestamp
from goldwire.errors import InputError
from goldwire.mastering.engine import IngestResult, Mastering, most_shared
from goldwire.mastering.identity import SharedKey
from goldwire.services.garbage_collection import without_collection
from goldwire.services.mastering_rules import MasteringStore, note_mastered

FIRST_REJECTS = 20
"""How many rejects the result itself holds."""

CHUNK_BYTES = 1 << 20


class Origin(NamedTuple):
    """What a batch is counted under."""

    source: str = NO_SOURCE
    rows: int = 0
    """Rows read since the batch before, with those that were rejected."""
    rejected: int = 0
    """How many of these the reader rejected."""


TakeBatch = Callable[[Sequence[Fact | Decision], str, Origin], IngestResult]
"""Masters one batch under a correlation id, in one transaction."""


class Ingested(Struct):
    """What was taken in so far."""

    correlation_id: str
    rows: int = 0
    facts: int = 0
    decisions: int = 0
    repeated: int = 0
    """Decisions that had been carried out before and were left alone."""
    unchanged: int = 0
    """Facts among those taken that committed no version: what they say was known."""
    versions: int = 0
    """New versions committed, tombstones included."""
    merges: int = 0
    unmerges: int = 0
    moves: int = 0
    """Records that an upstream hub moved to another entity."""
    joined: int = 0
    """New records that joined the entity of another one."""
    shared: list[SharedKey] = field(default_factory=list)
    """The match keys that most records share, most first; none shows a value."""
    rejected: int = 0
    first_rejects: list[RejectedRow] = field(default_factory=list)
    rejects_left_out: int = 0
    """How many of them are not named there, because the file has a limit."""
    rejects_file: str | None = None
    """Where all rejects are named, if there are any and a file was asked for."""
    position: int = 0
    """The newest position of the log afterwards."""


class IngestStore(Ingest, MasteringStore, Protocol):
    """What takes new versions in, and keeps under which rules they were mastered."""


class IngestService:
    """Takes files and rows in under one configuration.

    Args:
        store: where versions are committed.
        mastering: what makes golden records of facts.
        clock: the time, never before the newest change in the log: it dates rows without a time of their own.
        sources: name to how its files are read.
        tolerance_seconds: how far a row's time may be ahead of the clock.
    """

    def __init__(
        self,
        store: IngestStore,
        mastering: Mastering,
        clock: Clock,
        sources: Mapping[str, SourceSpec],
        tolerance_seconds: float,
    ) -> None:
        self._store = store
        self._mastering = mastering
        self._clock = clock
        self._sources = sources
        self._tolerance_seconds = tolerance_seconds

    def files(
        self,
        source: str | None,
        files: Sequence[Path],
        *,
        rejects_file: Path | None = None,
        batch_size: int = 1_000,
        correlation_id: str | None = None,
        progress: Callable[[Ingested], None] | None = None,
    ) -> Ingested:
        """Take files in.

        Args:
            source: how rows are read; None for JSON lines in Goldwire's own format.
            files: in the order in which they are taken.
            rejects_file: where every reject is named; an earlier file is replaced.
            batch_size: rows in one transaction.
            correlation_id: travels with every change; a new one unless given.
            progress: called after each batch.

        Raises:
            InputError: a file is unusable, or breaks off; the rows before that were taken. Or the rejects file cannot be
                written; before the first row.
            ConfigError: the source contradicts itself; before the first row.
            StoreBusyError, StoreFullError: the batch in hand was rolled back; repeating the command takes the rest.
        """
        with RejectsWriter(rejects_file) as writer:
            intake = _Intake(self.batch, Ingested(_correlation_id(correlation_id)), writer, progress, source or NO_SOURCE)
            spec = self._sources[source] if source is not None else None
            self._note_mastered()
            for file in files:
                intake.take(_read_on(read_file(file, spec, self._clock.now(), source or "NAME")), batch_size)
            intake.result.position = self._store.position()
            intake.result.rejects_file = str(rejects_file) if rejects_file and intake.result.rejected else None
            intake.result.rejects_left_out = writer.left_out
            return intake.result

    def rows(self, rows: Sequence[Mapping[str, Any]], *, correlation_id: str | None = None) -> Ingested:
        """Take facts and decisions in that a program holds, in one transaction.

        Args:
            rows: each what a JSON line of Goldwire's own format would hold.
            correlation_id: travels with every change; a new one unless given.

        Raises:
            InputError: a row cannot be written as JSON; nothing was committed.
            StoreBusyError, StoreFullError: nothing was committed.
        """
        with RejectsWriter(None) as writer:
            intake = _Intake(self.batch, Ingested(_correlation_id(correlation_id)), writer, None)
            self._note_mastered()
            reader = NativeReader(self._clock.now(), MEBIBYTE)
            try:
                lines = [msgspec.json.encode(row) for row in rows]
            except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
                raise InputError(f"a row cannot be written as JSON: {error}") from None
            found = [reader.read(line, f"row {number}") for number, line in enumerate(lines, 1)]
            intake.take(found, max(len(found), 1))
            intake.result.position = self._store.position()
            return intake.result

    def batch(self, batch: Sequence[Fact | Decision], correlation_id: str, origin: Origin | None = None) -> IngestResult:
        """Master one batch and commit what it changes, in one transaction.

        Args:
            batch: facts and decisions, in order.
            correlation_id: travels with every change.
            origin: what it is counted under; None: rows without a source, all of which are in the batch.

        Raises:
            StoreBusyError, StoreFullError: nothing of the batch was committed.
        """
        source, rows, rejected = origin or Origin(rows=len(batch))
        now = self._clock.now()
        latest = timestamp(now + self._tolerance_seconds)
        with without_collection(), self._store.ingest(now) as workspace:
            done = self._mastering.apply(batch, workspace, correlation_id, latest)
            workspace.note_intake(
                source, rows=rows, rejected=rejected + len(done.rejected), versions=done.versions, merges=done.merges,
                unmerges=done.unmerges,
            )  # fmt: skip
            return done

    def _note_mastered(self) -> None:
        note_mastered(self._store, self._mastering.model, self._clock.now())


class RejectsWriter:
    """Writes rejects to a file, if one was asked for.

    Args:
        path: the file, or None.

    Raises:
        InputError: the file could not be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = RejectsFile(path) if path is not None else None
        if self._file is not None:
            self._file.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def left_out(self) -> int:
        """How many came after the limit of the file."""
        return self._file.left_out if self._file is not None else 0

    def write(self, rejected: RejectedRow) -> None:
        """Name one reject."""
        if self._file is not None:
            self._file.write(rejected)


class _Intake:
    def __init__(
        self, batch: TakeBatch, result: Ingested, writer: RejectsWriter, progress: Callable[[Ingested], None] | None,
        source: str = NO_SOURCE,
    ) -> None:  # fmt: skip
        self._take_batch = batch
        self.result = result
        self._writer = writer
        self._progress = progress
        self._source = source
        self._uncounted = [0, 0]
        """Rows, and rejects of the reader, that no transaction has counted so far."""

    def take(self, rows: Iterable[Fact | Decision | RejectedRow | InputError], batch_size: int) -> None:
        """Take rows in, a batch at a time; it raises an error among them once what came before is committed."""
        batch: list[Fact | Decision] = []
        broken: InputError | None = None
        for row in rows:
            if isinstance(row, InputError):
                broken = row
                break
            self.result.rows += 1
            self._uncounted[0] += 1
            if isinstance(row, RejectedRow):
                self._uncounted[1] += 1
                self._reject(row)
                continue
            batch.append(row)
            if len(batch) >= batch_size:
                self._commit(batch)
                batch = []
        if batch or self._uncounted[0]:
            self._commit(batch)
        if broken is not None:
            taken = f"; rows dealt with before it: {self.result.rows:,}" if self.result.rows else ""
            raise InputError(f"{broken}{taken}") from broken

    def _commit(self, batch: list[Fact | Decision]) -> None:
        result = self.result
        done = self._take_batch(batch, result.correlation_id, Origin(self._source, *self._uncounted))
        self._uncounted = [0, 0]
        result.facts += done.facts
        result.decisions += done.decisions
        result.repeated += done.repeated
        result.unchanged += done.unchanged
        result.versions += done.versions
        result.merges += done.merges
        result.unmerges += done.unmerges
        result.moves += done.moves
        result.joined += done.joined
        result.shared = most_shared([*result.shared, *done.shared])
        for rejected in done.rejected:
            self._reject(rejected)
        if self._progress is not None:
            self._progress(result)

    def _reject(self, rejected: RejectedRow) -> None:
        self.result.rejected += 1
        if len(self.result.first_rejects) < FIRST_REJECTS:
            self.result.first_rejects.append(rejected)
        self._writer.write(rejected)


def _correlation_id(given: str | None) -> str:
    return given or f"ingest-{uuid.uuid4()}"


def _read_on(rows: Iterator[Fact | Decision | RejectedRow]) -> Iterator[Fact | Decision | RejectedRow | InputError]:
    """Yield a reader's error as its last row, so that the caller commits what came before it first."""
    try:
        yield from rows
    except InputError as error:
        yield error


def count_lines(files: Sequence[Path]) -> int | None:
    """Return about how many rows there are, for a progress bar; None where that cannot be known quickly."""
    total = 0
    for file in files:
        if file.suffix in (".parquet", ".pq") or not file.is_file():
            return None
        last = b"\n"
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                total += chunk.count(b"\n")
                last = chunk[-1:]
        total += last != b"\n"
        if file.suffix == ".csv" and file.stat().st_size:
            total -= 1  # its header
    return total
