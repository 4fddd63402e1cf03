"""Planted bugs: named mutations of the real code, each of which the simulation must catch, or it proves nothing.

A mutation replaces one passage of one module while it is imported; nothing in the product knows of it. It runs in a process
of its own: `python -m goldwire_lab.planted NAME --seeds 400`. `--score` prints how many there are and what catches them.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from msgspec import Struct

from goldwire_lab.planted_bugs import PLANTED_BUGS
from goldwire_lab.planted_bugs_fresh import FRESH_BUGS, KIT_BUGS
from goldwire_lab.uncaught_bugs import NOT_CAUGHT

ALL_BUGS = {**PLANTED_BUGS, **FRESH_BUGS}
"""Every bug that is planted in what the simulation runs, by name."""

CAUGHT = sorted({*ALL_BUGS} - {*NOT_CAUGHT})
"""The names of those that it must catch."""

CAUGHT_WITH_BROKER = sorted({*KIT_BUGS} - {*NOT_CAUGHT})
"""The names of those in the kit that the simulation with a broker must catch."""


class Mutation(Struct, frozen=True):
    """One bug: in `module`, `before` (which occurs exactly once) becomes `after`."""

    module: str
    before: str
    after: str


class _Mutated(SourceFileLoader):
    """Loads a module with the bug in it, never from a cache."""

    def __init__(self, fullname: str, path: str, mutation: Mutation) -> None:
        super().__init__(fullname, path)
        self._mutation = mutation

    def get_code(self, fullname: str) -> CodeType:
        """Compile the mutated source."""
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        found = source.count(self._mutation.before)
        if found != 1:
            raise ImportError(f"the passage to mutate occurs {found} times in {fullname}, not once: {self._mutation.before!r}")
        return compile(source.replace(self._mutation.before, self._mutation.after), path, "exec", dont_inherit=True)


class _Planter(importlib.abc.MetaPathFinder):
    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._mutation.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Mutated(fullname, spec.origin, self._mutation)
        return spec


def plant(mutation: Mutation) -> None:
    """Make the next import of the mutated module bring the bug with it.

    Raises:
        ImportError: the module was imported before.
    """
    if mutation.module in sys.modules:
        raise ImportError(f"{mutation.module} is imported already; plant a bug in a fresh process")
    sys.meta_path.insert(0, _Planter(mutation))


def score() -> str:
    """Return as a table in Markdown how many bugs are planted in each room, and what catches them."""
    counts: dict[str, Counter[str]] = {}
    for name, (module, _, _) in {**ALL_BUGS, **KIT_BUGS}.items():
        distribution, room, *_ = module.split(".")
        by = "broker" if name in KIT_BUGS else "simulation"
        by = "unit" if name in NOT_CAUGHT else by
        counts.setdefault(room if distribution == "goldwire" else distribution, Counter()).update((by, "planted"))
        counts[room if distribution == "goldwire" else distribution]["fresh"] += name not in PLANTED_BUGS
    columns = ("planted", "fresh", "simulation", "broker", "unit")
    lines = [
        "| room | planted | by fresh eyes | caught by the simulation | by that with a broker | by a unit test |",
        "|---|---|---|---|---|---|",
    ]
    for room, found in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"| {room} | " + " | ".join(str(found[column]) for column in columns) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant one bug, run seeds until one catches it; exit 0 when caught, 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(ALL_BUGS), nargs="?")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--from", type=int, default=0, dest="start")
    options = parser.parse_args(arguments)
    if options.score or options.name is None:
        sys.stdout.write(score() + "\n")
        return 0
    plant(Mutation(*ALL_BUGS[options.name]))
    from goldwire_lab.simulation import run_seeds  # noqa: PLC0415 - only now, with the bug in place

    result = run_seeds(options.seeds, options.start, stop_at_first=True)
    if not result.failures:
        sys.stdout.write(f"{options.name}: NOT caught in {result.seeds} seeds\n")
        return 1
    failure = result.failures[0]
    sys.stdout.write(f"{options.name}: caught by seed {failure.seed}: {failure.finding}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
