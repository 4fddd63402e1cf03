"""How time is taken: CPU time of this process and wall time, floor and figure in turns, on one core where possible."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from goldwire.clock import timestamp
from goldwire_lab.bench.figures import Cost, Machine, Round

Work = Callable[[int], object]
"""Takes the round's number."""


def take(work: Work, number: int, also: Callable[[], float] | None = None) -> Cost:
    """Return what a piece of work takes.

    Args:
        work: the piece.
        number: of the round.
        also: the CPU seconds that processes beside this one have taken for the work so far.
    """
    gc.collect()  # an earlier round's garbage must not count in this one
    beside = also() if also else 0.0
    cpu, wall = time.process_time(), time.perf_counter()
    work(number)
    spent, waited = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(spent + (also() - beside if also else 0.0), waited)


def in_turns(
    rounds: int, floor: Work, measured: Work, plain: Work | None = None, also: Callable[[], float] | None = None
) -> list[Round]:
    """Take the floors and the figure alternately, so that whatever else the machine does meets all of them.

    Args:
        rounds: how often.
        floor: the least that there is to do.
        measured: what is measured.
        plain: another floor.
        also: as of `take`.
    """
    with _one_core():
        return [
            Round(take(floor, number, also), take(measured, number, also), take(plain, number, also) if plain else None)
            for number in range(rounds)
        ]


def machine() -> Machine:
    """Describe where this runs."""
    return Machine(
        measured_at=timestamp(time.time()),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        one_core=sys.platform == "linux",
    )


@contextmanager
def _one_core() -> Iterator[None]:
    """Hold this thread, and the threads that it starts from here on, on one core where the system offers that."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
