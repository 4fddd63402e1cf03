"""Runs seeds one after another and reports which of them break a promise. A seed always fails in the same way."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from msgspec import Struct

from goldwire.changelog.sqlite.store import SqliteStore
from goldwire_lab.simulation.scenario import Finding, Scenario
from goldwire_lab.workspace import ENTITY_KEY


class Failure(Struct, frozen=True):
    """One seed that broke a promise."""

    seed: int
    finding: str


class SimulationResult(Struct, frozen=True):
    """What a run of seeds showed."""

    start: int
    seeds: int
    failures: tuple[Failure, ...]


BLOCK = 20
"""How many seeds a worker takes at once."""


def run_seeds(
    seeds: int,
    start: int = 0,
    *,
    workers: int = 1,
    stop_at_first: bool = False,
    progress: Callable[[int], None] | None = None,
) -> SimulationResult:
    """Run the seeds start, start + 1, … and return what they showed.

    Args:
        seeds: how many.
        start: the first one.
        workers: processes to share them among; what a seed does is the same in any of them.
        stop_at_first: end at the first failure (of a block of seeds, with several workers).
        progress: called with the number of seeds done.
    """
    blocks = [range(first, min(first + BLOCK, start + seeds)) for first in range(start, start + seeds, BLOCK)]
    failures: list[Failure] = []
    done = 0
    for ran, found in _blocks(blocks, workers, stop_at_first=stop_at_first):
        done += ran
        failures += found
        if progress is not None:
            progress(done)
        if failures and stop_at_first:
            break
    return SimulationResult(start, done, tuple(failures))


def _blocks(blocks: Sequence[range], workers: int, *, stop_at_first: bool) -> Iterator[tuple[int, list[Failure]]]:
    work = partial(_run_block, stop_at_first=stop_at_first)
    if workers == 1:
        yield from map(work, blocks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, blocks)
        finally:
            pool.shutdown(cancel_futures=True)


def _run_block(block: range, *, stop_at_first: bool) -> tuple[int, list[Failure]]:
    failures: list[Failure] = []
    done = 0
    memory = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it; in memory a seed takes half the time
    with tempfile.TemporaryDirectory(prefix="goldwire-simulation-", dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        template = folder / "template.db"
        new_template(template)
        for seed in block:
            finding = run_seed(seed, template, folder)
            done += 1
            if finding is not None:
                failures.append(Failure(seed, finding))
                if stop_at_first:
                    break
    return done, failures


def new_template(path: Path) -> None:
    """Make an empty store for seeds to be run on; ids of entities are made with the same key each time."""
    SqliteStore(path, durable=False, entity_key=ENTITY_KEY).close()


def run_seed(seed: int, template: Path, folder: Path) -> str | None:
    """Run one seed; return what it found, or None.

    Any error that reaches the top counts as a finding: the product must not fall over either.
    """
    try:
        Scenario(seed, template, folder).run()
    except Finding as finding:
        return str(finding)
    except Exception as error:  # noqa: BLE001 - whatever falls over here would fall over in production
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} (at {Path(where.filename).name}:{where.lineno})"
    return None
