"""The whole path under random faults, and again with bugs planted in it."""

import os
import subprocess
import sys

import pytest

from goldwire_lab.planted_bugs import PLANTED_BUGS
from goldwire_lab.simulation import run_seeds

SEEDS = int(os.environ.get("GOLDWIRE_TEST_SEEDS", "120"))


def test_every_promise_holds_under_faults():
    assert run_seeds(SEEDS, start=10_000, workers=2).failures == ()


@pytest.mark.optional
@pytest.mark.timeout(3_600)
def test_every_promise_holds_in_two_thousand_seeds():
    assert run_seeds(2_000, workers=os.cpu_count() or 1).failures == ()


def test_a_seed_does_the_same_thing_every_time():
    def bodies(seed: int) -> bytes:
        code = (
            "import tempfile, hashlib, pathlib; from goldwire_lab.simulation.run import new_template;"
            "from goldwire_lab.simulation.scenario import Scenario;"
            "d = pathlib.Path(tempfile.mkdtemp()); new_template(d / 't.db');"
            f"s = Scenario({seed}, d / 't.db', d); s.run();"
            "print(s.loop.time(), s.committed, [sorted(w._seen.items()) for w in s.witnesses.values()])"
        )
        env = {**os.environ, "PYTHONHASHSEED": "random"}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env).stdout

    assert bodies(7) == bodies(7)
    assert bodies(7) != bodies(8)


def test_there_are_at_least_fifteen_planted_bugs():
    assert len(PLANTED_BUGS) >= 15


RARE = {
    "contracts-read-before-the-window": 170,
    "dead-letter-parks-nobody": 225,
    "delta-keeps-silent-about-external-ids": 585,
    "replay-blind-to-erasures-once-begun": 600,
    "replay-goes-on-after-a-refusal": 340,
    "replay-leaks-hidden-relations": 320,
    "replay-sealed-by-the-revision-of-its-position": 130,
    "resend-not-marked": 305,
}
"""Where to begin for bugs that need a rare coincidence: a little before a seed that catches them. Only to save time."""


@pytest.mark.planted_bug
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", sorted(PLANTED_BUGS))
def test_the_planted_bug_is_caught(name: str):
    command = [sys.executable, "-m", "goldwire_lab.planted", name, "--seeds", "1500", "--from", str(RARE.get(name, 0))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "caught by seed" in ran.stdout, ran.stdout + ran.stderr
