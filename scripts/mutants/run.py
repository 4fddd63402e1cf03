"""Runs a random sample of mutants against the tests that cover them, and prints which survive (`make mutants`).

Everything it makes stands in `.cache/mutants`: the coverage of the tests, the sample and the results. A run that was stopped
goes on where it was, as long as the seed, the sample and the sources are the same. `--again` runs what survived once more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from forks import Forks
from report import show
from selection import Selection, in_function

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "mutants"
ROOMS = ("capture", "changelog", "config", "consumer", "contract", "demo", "event", "expression", "mastering")
SELECTED = (
    *(f"tests/unit/{room}" for room in (*ROOMS, "observability", "relay", "services", "targets")),
    "tests/integration/changelog",
    "tests/integration/consumer",
)
"""The tests that run the mutated rooms in their own process."""
COVERAGE = """[run]
branch = false
relative_files = true
source =
  src/goldwire/mastering
  src/goldwire/changelog
  src/goldwire/contract
  src/goldwire/event
  src/goldwire/relay
  src/goldwire_consumer
"""


def sample(seed: int, size: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head and the mutants of a sample; it is drawn unless it stands there."""
    file = FOLDER / f"sample-{seed}-{size}.jsonl"
    if not file.exists():
        command = [str(ROOT / ".venv-mutants" / "bin" / "python"), "scripts/mutants/draw.py"]
        drawn = subprocess.run(  # noqa: S603 - our own script
            [*command, "--seed", str(seed), "--sample", str(size)], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
        file.write_bytes(drawn.stdout)
    head, *mutants = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return head, mutants


def measure(sources: str, workers: int) -> tuple[Path, Path]:
    """Run the tests once with coverage, unless that was done for these sources; return its data and the JUnit report."""
    data, report = FOLDER / f"coverage-{sources}.db", FOLDER / f"junit-{sources}.xml"
    if not (data.exists() and report.exists()):
        settings = FOLDER / "coverage.ini"
        settings.write_text(COVERAGE, encoding="utf-8")
        options = ["-n", str(workers), "-m", "not optional", "--cov", f"--cov-config={settings}", "--cov-context=test"]
        subprocess.run(  # noqa: S603 - our own tests
            [sys.executable, "-m", "pytest", *options, "--cov-report=", f"--junitxml={report}", *SELECTED],
            cwd=ROOT,
            env={**os.environ, "COVERAGE_FILE": str(data)},
            check=False,
        )
    return data, report


def main() -> None:
    """Draw, measure, run what is not known yet, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="what the sample is drawn from")
    parser.add_argument("--sample", type=int, default=600, help="how many mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at a time")
    parser.add_argument("--seeds", type=int, default=0, help="seeds of the simulation for what the tests let live")
    parser.add_argument("--budget-seconds", type=float, default=60.0, help="how much of its tests' usual time a mutant gets")
    parser.add_argument("--again", action="store_true", help="run what was not killed before once more, too")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Hypothesis takes the same examples each time then, so that a mutant's fate is no luck.
    os.environ["CI"] = "1"
    head, mutants = sample(options.seed, options.sample)
    selection = Selection(ROOT, *measure(head["sources"], options.jobs + 1), options.budget_seconds)
    results = FOLDER / f"results-{options.seed}-{options.sample}-{head['sources']}.jsonl"
    records = map(json.loads, results.read_text("utf-8").splitlines()) if results.exists() else ()
    last = {record["id"]: record["result"] for record in records}
    known = {id_ for id_, result in last.items() if result == "killed" or not options.again}
    work = []
    for mutant in mutants:
        tests, left_out = selection.tests(mutant)
        mutant |= {
            "tests": tests,
            "left_out": left_out,
            "usual_seconds": sum(map(selection.seconds.__getitem__, tests)),
            "in_function": in_function(ROOT / mutant["file"], mutant["first_line"]),
            "seeds": options.seeds,
        }
        if mutant["id"] not in known:
            work.append(mutant)
    if work:
        files = sorted({test.partition("::")[0] for mutant in work for test in mutant["tests"]})
        sys.stderr.write(f"{len(work)} mutants to run, the tests of {len(files)} files\n")
        pytest.main(["-p", "no:xdist", "-p", "no:cacheprovider", *files], plugins=[Forks(work, options.jobs, results)])
    show(head, mutants, results, as_json=options.json)


if __name__ == "__main__":
    main()
