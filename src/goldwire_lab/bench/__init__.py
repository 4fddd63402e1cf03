"""`goldwire bench`: throughput, recovery and memory on this machine, each figure beside its floor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from goldwire.errors import StoreFullError
from goldwire_lab.bench import brokers, ceiling, sample, sql, webhooks
from goldwire_lab.bench import ingest as ingesting
from goldwire_lab.bench import relay as relaying
from goldwire_lab.bench import subscriber as subscribing
from goldwire_lab.bench.figures import Memory, Recovery, Report, Throughput
from goldwire_lab.bench.long_log import LongLog
from goldwire_lab.bench.measurement import machine
from goldwire_lab.bench.setting import Setting, Size

if TYPE_CHECKING:
    from rich.progress import Progress

SUBSCRIBER, RECOVERY, RESIDENT = "subscriber", "recovery", "resident"

THROUGHPUT: dict[str, Callable[[Setting], Throughput]] = {
    "memory": relaying.memory,
    "file": relaying.file,
    "ingest": ingesting.ingest,
    "webhook": webhooks.single,
    "webhook-arrays": webhooks.arrays,
    "kafka": brokers.kafka,
    "event-hubs": brokers.event_hubs,
    "event-hubs-kafka": brokers.event_hubs_kafka,
    "service-bus": brokers.service_bus,
    SUBSCRIBER: subscribing.subscriber,
    **sql.FIGURES,
    "event-hubs-ceiling": ceiling.event_hubs,
    "service-bus-ceiling": ceiling.service_bus,
}
NAMES = (*THROUGHPUT, RECOVERY, RESIDENT)

_BYTES_A_ROW = 2_500
"""What a row of the log takes on disk, with indexes and what is written before it is merged."""


def run_bench(directory: Path, size: Size, only: Collection[str], display: Progress) -> Report:
    """Measure.

    Args:
        directory: where to work; a folder of its own is made in it, and removed at the end.
        size: how much.
        only: names of figures; empty for all.
        display: where progress is shown.

    Raises:
        StoreFullError: the disk has too little room for the logs.
        VerificationError: what was measured did not do what it should.
    """
    left_out = (set(brokers.FIGURES) - set(brokers.installed())) | (set(sql.FIGURES) - set(sql.installed()))
    if not subscribing.installed():
        left_out.add(SUBSCRIBER)
    chosen = [name for name in NAMES if name in only or not (only or name in left_out)]
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=directory) as made:
        work = _Work(Path(made), size, display)
        described = machine()
        throughput = work.throughput([name for name in chosen if name in THROUGHPUT])
        recovery, memory = work.long_log(chosen) if {RECOVERY, RESIDENT}.intersection(chosen) else (None, None)
    return Report(machine=described, size=size, throughput=throughput, recovery=recovery, memory=memory)


class _Work:
    def __init__(self, folder: Path, size: Size, display: Progress) -> None:
        self._folder = folder
        self._size = size
        self._display = display

    def throughput(self, names: list[str]) -> list[Throughput]:
        """Measure these, one after the other, on one log."""
        events, rounds = self._size.events, self._size.rounds
        store = self._folder / "store.db"
        if names:
            self._see_that_there_is_room(events * (2 + rounds))
            with sample.application(self._folder, store, {}) as application:
                tick = self._bar("a log to read", events)
                for count in sample.fill(application.store, range(events), events):
                    tick(count)
        found = []
        for name in names:
            folder = self._folder / name
            folder.mkdir()
            # The floor and the figure; `memory` has two floors.
            tick = self._bar(name, events * rounds * (3 if name == "memory" else 2))
            found.append(THROUGHPUT[name](Setting(folder, store, events, rounds, tick)))
            shutil.rmtree(folder)
        return found

    def long_log(self, names: list[str]) -> tuple[Recovery | None, Memory | None]:
        """Measure what needs a long log."""
        rows = self._size.log_rows
        self._see_that_there_is_room(rows)
        log = LongLog(self._folder / "long", self._size, self._bar("a long log", rows))
        try:
            recovery = log.recovery(self._bar(RECOVERY, self._size.recovered)) if RECOVERY in names else None
            memory = log.memory(self._bar(RESIDENT, rows)) if RESIDENT in names else None
        finally:
            log.close()
        return recovery, memory

    def _bar(self, name: str, total: int) -> Callable[[int], None]:
        task = self._display.add_task(name, total=total, note="")
        return lambda count: self._display.advance(task, count)

    def _see_that_there_is_room(self, rows: int) -> None:
        needed, free = rows * _BYTES_A_ROW, shutil.disk_usage(self._folder).free
        if free < needed:
            raise StoreFullError(
                f"{self._folder.parent}: the benchmark needs {needed >> 20:,} MiB on its disk, {free >> 20:,} are free; "
                "name another directory, or measure less with --events, --only or --quick"
            )
