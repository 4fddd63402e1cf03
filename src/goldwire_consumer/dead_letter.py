"""A message that was set aside instead of skipped: why, and everything needed to try it again."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from goldwire_consumer.errors import PoisonKind
from goldwire_consumer.message import Message

LetterKind = PoisonKind | Literal["gap", "parked"]


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One message that was set aside. Its body is content of a record: keep it as safe as the record."""

    fingerprint: str
    """`sha256:` and hex of the body: the same message twice is one dead letter."""
    kind: LetterKind
    """`unreadable`, `altered`, `mislabelled`: no event to trust; `rejected`: by the handler; `gap`, `parked`: it waits."""
    text: str
    """A sentence; no value of the record."""
    entity_id: str | None
    """As the body states it, so that an erasure finds the letter; None where it states none, or the database cannot hold it.
    Only `rejected`, `gap` and `parked` are proven to be of that entity."""
    version: int | None
    body: bytes
    headers: Mapping[str, str]
    source: str
    recorded_at: str
    """RFC 3339, UTC."""

    def __repr__(self) -> str:
        return f"DeadLetter({self.kind}, {self.source}, {self.entity_id} version {self.version})"

    @property
    def message(self) -> Message:
        """The message, to be processed again."""
        return Message(body=self.body, headers=self.headers, source=self.source)


def fingerprint(body: bytes) -> str:
    """Return what makes two messages the same dead letter."""
    return f"sha256:{sha256(body).hexdigest()}"


def dead_letter(message: Message, kind: LetterKind, text: str, entity_id: str | None, version: int | None) -> DeadLetter:
    """Return a message as a dead letter.

    Args:
        message: as it came.
        kind: why.
        text: why, in a sentence.
        entity_id: whose event it says it is; None where it does not say.
        version: the version that it states.
    """
    return DeadLetter(
        fingerprint=fingerprint(message.body),
        kind=kind,
        text=text,
        entity_id=entity_id,
        version=version,
        body=message.body,
        headers=dict(message.headers),
        source=message.source,
        recorded_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def to_file(path: Path | str) -> Callable[[DeadLetter], None]:
    """Return what appends dead letters to a file of JSON lines, each on disk before it returns.

    A message that comes again after a crash can stand in the file twice, with the same fingerprint. A crash can leave half a
    line, which is not taken for a letter; its message comes again. To process them again: `process` what `from_line` gives.

    Args:
        path: created, readable by its owner only, when the first one is written.
    """
    lock, path = threading.Lock(), Path(path)

    def append(letter: DeadLetter) -> None:
        fields = msgspec.structs.asdict(letter) | {"body": base64.b64encode(letter.body).decode()}
        with lock:
            is_new = not path.exists()
            with open(path, "a+b", opener=_private) as file:
                file.write(_line_end(file) + msgspec.json.encode(fields) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                _keep_name(path)

    return append


def _line_end(file: BinaryIO) -> bytes:
    """What ends a line that a crash left unfinished, so that it does not spoil the next one."""
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _keep_name(path: Path) -> None:
    """Make a file's entry in its folder durable; Windows does that by itself, and cannot open folders."""
    if os.name == "nt":
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def from_line(line: bytes) -> DeadLetter:
    """Return a dead letter from a line that `to_file` wrote.

    Raises:
        msgspec.DecodeError: it is no such line.
    """
    return msgspec.json.decode(line, type=DeadLetter)
