"""The long log: what a relay needs to start again after SIGKILL, and what memory it needs to tail a million rows.

The relays are processes of their own, `goldwire run`, watched from outside through the store and the files they write.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goldwire.changelog.rows import Cursor
from goldwire.errors import GoldwireError
from goldwire.event.envelope import read_header
from goldwire.relay.ledger import ledger
from goldwire_lab.bench import sample
from goldwire_lab.bench.figures import Memory, Recovery, aim
from goldwire_lab.bench.setting import Size, Tick

TAILED, KILLED, UNHARMED = "tailed", "killed", "unharmed"

GROWTH_AIM_BYTES = 16 * 1024 * 1024
"""What the allocator may add; a log held in memory would add over a gigabyte."""

FILLS_CACHES_ROWS = 50_000
"""Where the first tenth of the log is shorter, growth says nothing: SQLite's page cache of 64 MiB is still filling."""

_LOOK_SECONDS = 0.0005
_FEW = 2_000
"""Rows of the short log that recovery is compared with."""


class LongLog:
    """A log of `size.log_rows` rows and the two targets that are watched on it.

    Args:
        folder: an empty one.
        size: how long the log is.
        tick: called with the number of rows that were added.
    """

    def __init__(self, folder: Path, size: Size, tick: Tick) -> None:
        self._folder = folder
        self._size = size
        every = {"mode": "every", "batch_size": sample.BATCH}
        few = min(sample.BATCH, size.recovered // 20)
        # The limit leaves time to kill it on a short log; on a long one it is far above what a relay can do.
        killed = {"mode": "every", "batch_size": few, "chunk_size": few, "rate_limit_per_second": size.recovered / 2}
        targets = {
            TAILED: {"kind": "memory", "settings": {"hold": "version"}, "start": "beginning", "delivery": every},
            KILLED: {"kind": "file", "settings": {"path": "killed.jsonl"}, "start": "now", "delivery": killed},
        }
        self._application = sample.application(folder, folder / "store.db", targets)
        self._begin = size.log_rows - size.recovered
        self._append(range(self._begin), tick)
        self._application.store.acquire(TAILED, "beginning")
        self._application.store.acquire(KILLED, "now")
        self._append(range(self._begin, size.log_rows), tick)

    def close(self) -> None:
        """Close the store."""
        self._application.store.close()

    def recovery(self, tick: Tick) -> Recovery:
        """Kill a relay in mid-send and start it again.

        Args:
            tick: called with the number of events that the target got since the last call.
        """
        lines = self._folder / "killed.jsonl"
        settled = self._kill_in_mid_send(lines)
        sent = lines.read_bytes().count(b"\n")
        length = lines.stat().st_size
        with _running(self._folder, KILLED) as process:
            first = _seconds_until(lambda: _length(lines) > length, process)
            self._follow(process, KILLED, tick)
        delivered = [(header.entityId, header.version) for header in map(read_header, lines.read_bytes().splitlines())]
        wanted = {
            (row.entity_id, row.version)
            for row in self._application.store.read(self._begin, self._size.log_rows, self._size.log_rows)
        }
        missing, repeated = len(wanted.difference(delivered)), len(delivered) - len(set(delivered))
        found = ledger(self._application.store, KILLED, recount=True)
        balances = found.balanced and found.counts.delivered == found.counts.committed == len(wanted)
        return Recovery(
            log_rows=self._size.log_rows,
            events=len(wanted),
            sent_before_kill=sent,
            settled_before_kill=settled,
            first_event_seconds=first,
            first_event_seconds_without_crash=self._unharmed(),
            missing=missing,
            repeated=repeated,
            ledger_balances=balances,
            aims=[aim("nothing lost, the ledger balances", reached=missing == 0 and balances)],
        )

    def memory(self, tick: Tick) -> Memory:
        """Tail the log from its beginning, and look at the process's memory meanwhile.

        Args:
            tick: called with the number of events that the target got since the last call.
        """
        rows, tenth = self._size.log_rows, self._size.log_rows // 10
        first, last, most = 0, 0, 0
        started = time.perf_counter()
        with _running(self._folder, TAILED) as process:

            def look(cursor: Cursor) -> None:
                nonlocal first, last, most
                found = _resident_bytes(process.pid)
                most = max(most, found)
                if cursor.position <= tenth:
                    first = max(first, found)
                elif cursor.position > rows - tenth:
                    last = max(last, found)

            self._follow(process, TAILED, tick, look)
        took = time.perf_counter() - started
        grows = aim(f"grows by less than {GROWTH_AIM_BYTES >> 20} MiB", reached=last - first < GROWTH_AIM_BYTES)
        return Memory(
            log_rows=rows,
            resident_bytes_first=first,
            resident_bytes_last=last,
            resident_bytes_most=most,
            events_per_second=rows / took,
            aims=[grows] if tenth >= FILLS_CACHES_ROWS else [],
        )

    def _append(self, positions: range, tick: Tick) -> None:
        for count in sample.fill(self._application.store, positions, self._size.long_log_entities):
            tick(count)

    def _kill_in_mid_send(self, lines: Path) -> int:
        """Kill the relay right after it wrote something, in the middle of its work; return how many it had settled."""
        with _running(self._folder, KILLED) as process:
            _seconds_until(lambda: self._position(KILLED) > self._begin + self._size.recovered // 3, process)
            length = _length(lines)
            _seconds_until(lambda: _length(lines) > length, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        return self._application.store.counts(KILLED).delivered

    def _unharmed(self) -> float:
        """Return how long the first event takes where the log is short and nothing ever happened."""
        folder = self._folder / "short"
        target = {"kind": "file", "settings": {"path": "unharmed.jsonl"}, "start": "beginning"}
        with sample.application(folder, folder / "store.db", {UNHARMED: target}) as application:
            for _ in sample.fill(application.store, range(_FEW), _FEW):
                pass
        with _running(folder, UNHARMED) as process:
            first = _seconds_until(lambda: _length(folder / "unharmed.jsonl") > 0, process)
            process.wait()
        return first

    def _follow(
        self, process: subprocess.Popen[bytes], target: str, tick: Tick, look: Callable[[Cursor], None] = lambda _: None
    ) -> None:
        """Wait for the end of a relay, and report how far it is."""
        before = self._cursor(target).start
        while process.poll() is None:
            cursor = self._cursor(target)
            look(cursor)
            tick(cursor.position - before)
            before = cursor.position
            time.sleep(0.05)
        if process.returncode:
            raise GoldwireError(f"goldwire run --target {target} exited with {process.returncode}")
        tick(self._size.log_rows - before)

    def _position(self, target: str) -> int:
        return self._cursor(target).position

    def _cursor(self, target: str) -> Cursor:
        return next(cursor for cursor in self._application.store.cursors() if cursor.target == target)


@contextmanager
def _running(folder: Path, target: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a target's relay until it is caught up, in a process of its own."""
    command = [sys.executable, "-m", "goldwire", "run", "--until-caught-up", "--target", target]
    command += ["--config", str(folder / "goldwire.yaml"), "--json"]
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ourselves, with our own arguments
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _seconds_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> float:
    """Wait until something is so while a process runs; return how long that took."""
    started = time.perf_counter()
    while not reached():
        if process.poll() is not None and not reached():
            raise GoldwireError(f"the relay ended with {process.returncode} before it did what was to be measured")
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter() - started


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _resident_bytes(process_id: int) -> int:
    """Return the resident memory of a process, 0 where it has ended."""
    status = Path(f"/proc/{process_id}/statm")
    if status.exists():
        try:
            return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except ProcessLookupError:
            return 0
    command = ["ps", "-o", "rss=", "-p", str(process_id)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the system's own, with a number
    return int(done.stdout.strip() or 0) * 1024
