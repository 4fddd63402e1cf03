"""A list of heads is one list whole, also where another process writes it at that moment."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.rows import Control, Cursor
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.errors import InputError, StoreCorruptError
from goldwire.services.heads import write_heads

KEY = b"k" * 32


def control(name: str) -> Control:
    return Control(name, 1, 1, "in", b"h" * 32, None, None, 1, None, "2026-01-01T00:00:00.000000Z", "delivered")


class Listing:
    """As much of a store as a list is made of; something happens before its last entity."""

    def __init__(self, cursor: Cursor, names: list[str], between: Callable[[], object]) -> None:
        self._cursor = cursor
        self._names = names
        self._between = between

    def cursor(self, _target: str) -> Cursor:
        return self._cursor

    def all_controls(self, _target: str) -> Iterator[Control]:
        for name in self._names[:-1]:
            yield control(name)
        self._between()
        yield control(self._names[-1])


@pytest.fixture
def cursor() -> Cursor:
    store = SqliteStore(":memory:")
    found = store.acquire("t", "beginning")
    store.close()
    return found


def names_in(file: Path) -> list[str]:
    return [json.loads(line)["entityId"] for line in file.read_bytes().splitlines()[:-1]]


def test_two_that_write_a_list_at_once_each_write_their_own(tmp_path: Path, cursor: Cursor) -> None:
    file, found = tmp_path / "heads.jsonl", []
    names = [f"e{number:05}" for number in range(2_000)]

    def by_hand() -> None:
        other: Any = Listing(cursor, ["x", "y"], lambda: None)
        write_heads(other, "t", file, KEY)
        found.append(names_in(file))

    scheduled: Any = Listing(cursor, names, by_hand)
    written = write_heads(scheduled, "t", file, KEY)
    assert found == [["x", "y"]]
    assert (written.entities, names_in(file)) == (2_000, names)
    assert [one.name for one in tmp_path.iterdir()] == ["heads.jsonl"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(28, "No space left on device"), InputError), (StoreCorruptError("a row"), StoreCorruptError)]
)
def test_a_list_that_cannot_be_made_leaves_no_part(
    tmp_path: Path, cursor: Cursor, error: Exception, raised: type[Exception]
) -> None:
    def fail() -> None:
        raise error

    failing: Any = Listing(cursor, ["a", "b"], fail)
    with pytest.raises(raised):
        write_heads(failing, "t", tmp_path / "heads.jsonl", KEY)
    assert list(tmp_path.iterdir()) == []
