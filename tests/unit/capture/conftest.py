"""Files as they come, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goldwire.capture.fact import Decision, Fact, RejectedRow
from goldwire.capture.reader import read_file
from goldwire.capture.source_spec import SourceSpec

NOW = 1_764_000_000.0

Read = Callable[..., list[Fact | Decision | RejectedRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a file and read it."""

    def write_and_read(content: bytes | str, name: str = "in.csv", **spec: object) -> list[Fact | Decision | RejectedRow]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        source = SourceSpec(**({"system": "crm", "type": "Customer", "id": "id"} | spec))
        return list(read_file(path, source, NOW, "crm"))

    return write_and_read


@pytest.fixture
def read_native(tmp_path: Path) -> Read:
    """Write Goldwire's own lines and read them."""

    def write_and_read(*lines: str | bytes) -> list[Fact | Decision | RejectedRow]:
        path = tmp_path / "in.jsonl"
        path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
        return list(read_file(path, None, NOW))

    return write_and_read
