"""Target kind `file`: appends each event to a file of JSON lines, one event a line, exactly the bytes that were sealed."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Struct

from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.targets.base import DELIVERED, Duplicate, Item, Outcome, TakenEvent, Unavailable, Unknown
from goldwire.targets.clients.worker import Worker
from goldwire.targets.file.line_log import LineLog, TornWriteError
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import Settings, about

_WRONG_SETTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST}


def _file_of(plain: Mapping[str, Any]) -> str:
    """Return the file, spellings evened out."""
    return str(Path(plain["path"]).resolve())


class FileSettings(Settings, frozen=True):
    """Where and how a `file` target writes."""

    path: Annotated[
        str,
        about(
            "The file; folders above it are created. With rotation a number goes before the ending: events-000001.jsonl.",
            path=True,
            sole=_file_of,
            examples=["out/events.jsonl"],
            min_length=1,
        ),
    ]
    fsync: Annotated[bool, about("Wait for the disk at each send, so that a power failure loses nothing.")] = True
    rotate_bytes: Annotated[int | None, about("Begin a new file before one grows beyond this.", examples=[100_000_000])] = None
    rotate_seconds: Annotated[
        float | None,
        about("Begin a new file when one is older than this, counted from when this process opened it.", examples=[86_400]),
    ] = None
    recall: Annotated[
        int,
        about(
            "How many entities' last versions to keep in mind, so that what is sent again after a crash is not written "
            "again; read back from the file when it is opened. About 300 bytes each.",
            ge=0,
            advanced=True,
        ),
    ] = 50_000

    def __post_init__(self) -> None:
        if self.rotate_bytes is not None and self.rotate_bytes < 1:
            raise ValueError("rotate_bytes must be at least 1")
        if self.rotate_seconds is not None and self.rotate_seconds <= 0:
            raise ValueError("rotate_seconds must be above 0")


class _Line(Struct):
    """What is read back of a line."""

    entity_id: str = msgspec.field(name="entityId")
    version: int
    hash: str


_decode_line = msgspec.json.Decoder(_Line).decode


@target_kind("file", settings=FileSettings)
class FileTarget:
    """Each send is one write and one sync, on a thread of its own; a failed write is taken back."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: FileSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._worker = Worker(name)
        self._log: LineLog | None = None
        self._torn = False
        self._opened_at = 0.0
        self._held: dict[str, TakenEvent] = {}
        """The last event of each entity, as far as `recall` reaches; the one that was written last is the last."""

    async def open(self) -> None:
        """Lock the file, mend its end, and read back which versions it holds last.

        Raises:
            ConfigError: the path cannot be written to or holds something else.
            OSError: another process writes it, or the disk fails.
        """
        await self._worker.run(self._open)

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Append the events that are newer than what is remembered of their entities."""
        return await self._worker.run(self._send, items)

    async def close(self) -> None:
        """Wait for a send under way, and unlock the file."""
        if self._log is not None:
            await self._worker.run(self._close)
        self._worker.stop()

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """Return the version last written of each item's entity; None also where it is older than `recall` reaches."""
        held = [self._held.get(item.event.entity_id) for item in items]
        return [one.version if one is not None else None for one in held]

    async def newest(self, limit: int) -> Sequence[TakenEvent]:
        """Return the events that were written last, the newest first, as far as `recall` reaches."""
        return list(islice(reversed(self._held.values()), limit))

    def _open(self) -> None:
        rotates = self.settings.rotate_bytes is not None or self.settings.rotate_seconds is not None
        self._close()
        log = LineLog(Path(self.settings.path), numbered=rotates, sync=self.settings.fsync)
        try:
            log.open()
        except ValueError as error:
            raise ConfigError(f"target '{self.name}': {error}") from None
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, f"target '{self.name}': another process writes {log.file}") from None
        except OSError as error:
            raise self._explained(error, log.file) from error
        self._log, self._torn = log, False
        self._opened_at = self._clock.monotonic()
        self._held = self._recalled(log)

    def _recalled(self, log: LineLog) -> dict[str, TakenEvent]:
        newest_first: dict[str, TakenEvent] = {}
        for line in log.newest_first() if self.settings.recall else ():
            try:
                written = _decode_line(line)
                content = bytes.fromhex(written.hash.removeprefix("sha256:"))
            except (msgspec.DecodeError, ValueError):
                continue  # an edit by another program; `goldwire verify` reports it
            newest_first.setdefault(written.entity_id, TakenEvent(written.entity_id, written.version, content))
            if len(newest_first) >= self.settings.recall:
                break
        return dict(reversed(newest_first.items()))

    def _send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        if self._torn:
            try:
                self._open()
            except OSError as error:
                return [Unavailable(f"the file cannot be opened: {error.strerror}")] * len(items)
        known = self._held
        outcomes: list[Outcome] = []
        fresh: list[TakenEvent] = []
        lines: list[bytes] = []
        for item in items:
            event = item.event
            held = known.get(event.entity_id)
            if held is not None and held.version >= event.version:
                outcomes.append(Duplicate(held=held))
            else:
                outcomes.append(DELIVERED)
                fresh.append(TakenEvent(event.entity_id, event.version, event.hash))
                lines.append(event.body)
        if not lines:
            return outcomes
        lines.append(b"")
        failure = self._append(b"\n".join(lines))
        if failure is not None:
            return [failure if outcome is DELIVERED else outcome for outcome in outcomes]
        self._remember(fresh)
        return outcomes

    def _append(self, lines: bytes) -> Outcome | None:
        """Write, and return what to answer if that failed.

        Raises:
            ConfigError: the file may no longer be written.
        """
        log = self._log
        assert log is not None, "send before open"
        try:
            if self._is_due(log, len(lines)):
                log.rotate()
                self._opened_at = self._clock.monotonic()
            log.append(lines)
        except TornWriteError as error:
            self._torn = True
            return Unknown(f"the write failed half-way: {error}")
        except ValueError as error:
            self._close()
            raise ConfigError(f"target '{self.name}': {error}") from None
        except OSError as error:
            explained = self._explained(error, log.file)
            if isinstance(explained, ConfigError):
                raise explained from error
            return Unavailable(f"the file cannot be written: {error.strerror}")
        return None

    def _is_due(self, log: LineLog, more_bytes: int) -> bool:
        if log.length_bytes == 0:
            return False
        limit_bytes, limit_seconds = self.settings.rotate_bytes, self.settings.rotate_seconds
        if limit_bytes is not None and log.length_bytes + more_bytes > limit_bytes:
            return True
        return limit_seconds is not None and self._clock.monotonic() - self._opened_at >= limit_seconds

    def _remember(self, fresh: Sequence[TakenEvent]) -> None:
        recall, known = self.settings.recall, self._held
        if not recall:
            return
        for one in fresh:
            known.pop(one.entity_id, None)
            known[one.entity_id] = one
        while len(known) > recall:
            del known[next(iter(known))]

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _explained(self, error: OSError, file: Path) -> OSError | ConfigError:
        if error.errno in _WRONG_SETTING:
            return ConfigError(f"target '{self.name}': {file} cannot be written ({error.strerror}); mend `path` or its rights")
        return error
