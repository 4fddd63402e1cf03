"""Seeds that are known to catch the planted bugs. As a program it looks for new ones where they no longer do.

`.venv/bin/python tests/support/known_seeds.py`
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from goldwire_lab.planted import CAUGHT

FILE = Path(__file__).parents[1] / "simulation" / "known_seeds.json"
SEARCHED = 400
"""How many seeds a search takes before it gives up."""


def known_seeds() -> dict[str, int]:
    """For each bug a seed that catches it, or did."""
    found: dict[str, int] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def plant(name: str, start: int, seeds: int = SEARCHED) -> str:
    """Plant a bug in a process of its own, and return what the simulation says of it."""
    command = [sys.executable, "-m", "goldwire_lab.planted", name, "--seeds", str(seeds), "--from", str(start)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def catching_seed(said: str) -> int | None:
    """Read the seed that caught the bug."""
    found = re.search(r": caught by seed (\d+):", said)
    return int(found[1]) if found else None


def renewed(name: str, known: int) -> int | None:
    """The known seed if it still catches the bug; else the first that does; or None."""
    for start, seeds in ((known, 1), (0, SEARCHED)):
        seed = catching_seed(plant(name, start, seeds))
        if seed is not None:
            return seed
    return None


def main() -> int:
    """Write the file anew, after each bug; exit with 1 where a bug is caught by no seed."""
    known = known_seeds()
    kept = {name: seed for name, seed in known.items() if name in CAUGHT}
    lost = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(renewed, name, known.get(name, 0)): name for name in CAUGHT}
        for run in as_completed(runs):
            name, seed = runs[run], run.result()
            if seed is None:
                lost.append(name)
                sys.stdout.write(f"{name}: no seed catches it\n")
            elif seed != known.get(name):
                kept[name] = seed
                sys.stdout.write(f"{name}: seed {seed}\n")
                FILE.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n", encoding="utf-8")
            sys.stdout.flush()
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
