"""Runs seeds of the simulation with a broker between the relay and subscribers; exit 9 if one breaks a promise.

`python tests/simulation/broker/seeds.py --seeds 60 --from 0 --bug NAME`
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from bugs import BUGS

from goldwire_lab.planted import Mutation, plant
from goldwire_lab.planted_bugs_fresh import KIT_BUGS

BROKEN = 9


def run(seeds: range) -> tuple[str | None, Counter[str]]:
    """Run seeds until one breaks a promise; return what that found, and how often what happened."""
    from scenario import BrokerScenario  # noqa: PLC0415 - only now, with the bug in place

    from goldwire_lab.simulation.run import new_template  # noqa: PLC0415 - the same

    happened: Counter[str] = Counter()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="goldwire-simulation-", dir=memory if memory.is_dir() else None) as name:
        template = Path(name) / "template.db"
        new_template(template)
        for seed in seeds:
            scenario = BrokerScenario(seed, template, Path(name))
            try:
                scenario.run()
            except Exception as error:  # noqa: BLE001 - whatever falls over is a finding
                where = traceback.extract_tb(error.__traceback__)[-1]
                return f"seed {seed}: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})", happened
            happened += scenario.happened
    return None, happened


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--from", type=int, default=0, dest="start")
    parser.add_argument("--bug", choices=sorted(BUGS | KIT_BUGS))
    options = parser.parse_args()
    if options.bug:
        plant(Mutation(*(BUGS | KIT_BUGS)[options.bug]))
    finding, happened = run(range(options.start, options.start + options.seeds))
    sys.stdout.write(json.dumps({"finding": finding, "happened": happened}, indent=2) + "\n")
    return 0 if finding is None else BROKEN


if __name__ == "__main__":
    sys.exit(main())
