from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import decode

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome, Unavailable
from goldwire.targets.file.target import FileSettings, FileTarget
from goldwire.testing.events import sealed
from goldwire.testing.target_suite import Held, TargetSuite


def values_in(files: Sequence[Path], entity_id: str) -> Held | None:
    held = None
    for file in files:
        for line in file.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            event = decode(line)
            if event["entityId"] == entity_id:
                attributes = event.get("changes", {}).get("attributes")
                held = None if attributes is None else Held(event["version"], {n: a["value"] for n, a in attributes.items()})
    return held


class TestFile(TargetSuite):
    def make_target(self) -> FileTarget:
        return FileTarget("log", FileSettings(path=str(self.folder / "out" / "events.jsonl")), self.clock)

    async def held(self, entity_id: str) -> Held | None:
        return values_in([self.folder / "out" / "events.jsonl"], entity_id)


class TestRotatedFile(TargetSuite):
    def make_target(self) -> FileTarget:
        return FileTarget("log", FileSettings(path=str(self.folder / "events.jsonl"), rotate_bytes=2_000), self.clock)

    async def held(self, entity_id: str) -> Held | None:
        return values_in(sorted(self.folder.iterdir()), entity_id)


def send(path: Path, *events: SealedEvent, **settings: Any) -> list[Outcome]:
    async def run() -> list[Outcome]:
        target = FileTarget("log", FileSettings(path=str(path), **settings), SystemClock())
        await target.open()
        try:
            return [outcome for event in events for outcome in await target.send([Item(event)])]
        finally:
            await target.close()

    return asyncio.run(run())


def test_each_line_is_exactly_the_sealed_bytes(tmp_path: Path) -> None:
    events = [sealed("a", 1, {"name": "Zoë\n"}), sealed("b", 1)]
    send(tmp_path / "e.jsonl", *events)
    assert (tmp_path / "e.jsonl").read_bytes() == b"".join(event.body + b"\n" for event in events)


@pytest.mark.parametrize("kept", [1, 5, 40, -1])
def test_a_torn_last_line_is_cut_off_and_its_event_written_again(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "e.jsonl"
    whole, torn = sealed("a", 1), sealed("b", 1)
    path.write_bytes(whole.body + b"\n" + torn.body[:kept])
    assert [type(o) for o in send(path, whole, torn)] == [Duplicate, Delivered]
    assert path.read_bytes() == whole.body + b"\n" + torn.body + b"\n"


def test_a_torn_only_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(sealed("a", 1).body[:7])
    send(path, sealed("a", 1))
    assert path.read_bytes() == sealed("a", 1).body + b"\n"


@pytest.mark.parametrize("content", [b"# my notes", b'{"name": "a package"}', b"\x00\x00"])
def test_a_file_of_other_content_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="something else than events"):
        send(path, sealed("a", 1))
    assert path.read_bytes() == content


def test_a_folder_in_the_file_s_place_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"target 'log': .*path"):
        send(tmp_path, sealed("a", 1))


def test_a_second_writer_is_told_that_the_file_is_taken(tmp_path: Path) -> None:
    async def run() -> None:
        first = FileTarget("first", FileSettings(path=str(tmp_path / "e.jsonl")), SystemClock())
        second = FileTarget("second", FileSettings(path=str(tmp_path / "e.jsonl")), SystemClock())
        await first.open()
        with pytest.raises(BlockingIOError, match="another process writes"):
            await second.open()
        await first.close()
        await second.open()
        await second.close()

    asyncio.run(run())


def test_files_rotate_by_size_and_their_names_sort(tmp_path: Path) -> None:
    events = [sealed(f"e{n}", 1, {"name": "x" * 100}) for n in range(30)]
    size = len(events[0].body) + 1
    send(tmp_path / "events.jsonl", *events, rotate_bytes=size * 3 + 10)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files][:2] == ["events-000001.jsonl", "events-000002.jsonl"]
    assert b"".join(file.read_bytes() for file in files) == b"".join(event.body + b"\n" for event in events)
    assert all(file.stat().st_size <= size * 3 + 10 for file in files)


def test_files_rotate_by_age(tmp_path: Path) -> None:
    send(tmp_path / "events.jsonl", sealed("a", 1), sealed("b", 1), sealed("c", 1), rotate_seconds=1e-9)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_from_before_rotation_joins_the_series(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    send(path, sealed("a", 1))
    outcomes = send(path, sealed("a", 1), sealed("b", 1), rotate_bytes=10)
    assert [type(o) for o in outcomes] == [Duplicate, Delivered]
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["events-000001.jsonl", "events-000002.jsonl"]


def test_a_file_moved_away_is_begun_anew(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "e.jsonl"
        target = FileTarget("log", FileSettings(path=str(path)), SystemClock())
        await target.open()
        await target.send([Item(sealed("a", 1))])
        path.rename(tmp_path / "old.jsonl")
        await target.send([Item(sealed("b", 1))])
        await target.close()
        assert path.read_bytes() == sealed("b", 1).body + b"\n"

    asyncio.run(run())


def test_recall_is_bounded_and_forgets_the_longest_unseen_first(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    send(path, sealed("a", 1), sealed("b", 1), sealed("a", 2), sealed("c", 1), recall=2)
    outcomes = send(path, sealed("a", 2), sealed("c", 1), sealed("b", 1), recall=2)
    assert [type(o) for o in outcomes] == [Duplicate, Duplicate, Delivered]


FULL_DISK = """
    import asyncio, resource, signal, sys
    from goldwire.clock import SystemClock
    from goldwire.targets.base import Item
    from goldwire.targets.file.target import FileSettings, FileTarget
    from goldwire.testing.events import sealed
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def main():
        target = FileTarget("log", FileSettings(path=sys.argv[1]), SystemClock())
        await target.open()
        print(type((await target.send([Item(sealed("a", 1))]))[0]).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
        many = [Item(sealed(f"b{n}", 1, {"name": "x" * 500})) for n in range(20)]
        print({type(o).__name__ for o in await target.send(many)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print({type(o).__name__ for o in await target.send(many)})
        await target.close()

    asyncio.run(main())
"""


def test_a_write_that_finds_no_room_is_taken_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["Delivered", "{'Unavailable'}", "{'Delivered'}"]
    lines = path.read_bytes().splitlines()
    assert [decode(line)["entityId"] for line in lines] == ["a", *(f"b{n}" for n in range(20))]


def test_a_killed_writer_leaves_whole_lines_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    code = """
        import asyncio, sys
        from goldwire.clock import SystemClock
        from goldwire.targets.base import Item
        from goldwire.targets.file.target import FileSettings, FileTarget
        from goldwire.testing.events import sealed

        async def main():
            target = FileTarget("log", FileSettings(path=sys.argv[1], fsync=False), SystemClock())
            await target.open()
            for n in range(1_000_000):
                await target.send([Item(sealed(f"e{n}-{i}", 1, {"name": "x" * 300})) for i in range(20)])
                if n == 5:
                    print("going", flush=True)

        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    again = [sealed(f"e{n}-{i}", 1, {"name": "x" * 300}) for n in range(6) for i in range(20)]
    assert {type(o) for o in send(path, *again)} == {Duplicate}
    ids = [decode(line)["entityId"] for line in path.read_bytes().splitlines()]
    assert len(ids) == len(set(ids))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_path_without_rights_is_a_wrong_setting(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        send(tmp_path / "e.jsonl", sealed("a", 1))


def test_a_name_that_is_too_long_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        send(tmp_path / ("x" * 300), sealed("a", 1))


OPEN_FILES = Path("/proc/self/fd")


def lowest_free_descriptor() -> int:
    """What the next file gets; a limit of this number leaves room for none."""
    found = os.dup(0)
    os.close(found)
    return found


def test_no_room_for_a_file_descriptor_is_unavailable_not_lost(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "e.jsonl"
        target = FileTarget("log", FileSettings(path=str(path), rotate_bytes=10), SystemClock())
        await target.open()
        await target.send([Item(sealed("a", 1))])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_descriptor(), hard))
        try:
            outcomes = await target.send([Item(sealed("b", 1))])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert isinstance(outcomes[0], Unavailable)
        assert isinstance((await target.send([Item(sealed("b", 1))]))[0], Delivered)
        await target.close()

    asyncio.run(run())
