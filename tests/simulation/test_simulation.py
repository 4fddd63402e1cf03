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


KNOWN = {
    "blocked-entity-overtaken": 9,
    "cancelled-send-taken-for-not-sent": 47,
    "coalesced-over-an-unclear-outcome": 4,
    "coalescing-beyond-the-window": 4,
    "contract-changes-what-was-sent": 19,
    "contracts-read-before-the-window": 174,
    "crash-taken-for-a-clean-end": 4,
    "cursor-past-a-failure": 1,
    "dead-letter-parks-nothing": 230,
    "delta-against-the-version-before": 4,
    "delta-keeps-silent-about-external-ids": 589,
    "delta-keeps-silent-about-removed-relations": 14,
    "failure-does-not-block": 41,
    "fence-without-deletes": 48,
    "lane-keyed-by-target": 8,
    "log-time-follows-the-clock": 1,
    "look-up-believes-any-version": 5,
    "outcomes-of-the-wrong-items": 5,
    "parked-behind-a-discarded-letter": 28,
    "remaster-passes-over-entities": 12,
    "repeat-sealed-by-the-newest-contract": 8,
    "replay-before-the-unclear-has-ended": 19,
    "replay-beside-a-retry": 21,
    "replay-beside-live-traffic": 39,
    "replay-blind-to-erasures-once-begun": 602,
    "replay-forgets-what-was-begun": 19,
    "replay-goes-on-after-a-refusal": 345,
    "replay-leaks-hidden-external-ids": 41,
    "replay-leaks-hidden-relations": 326,
    "replay-leaks-what-a-contract-hides-now": 1,
    "replay-leaks-what-is-filtered-now": 8,
    "replay-leaks-what-is-masked-now": 2,
    "replay-leaks-what-was-erased": 14,
    "replay-leaves-a-receiver-behind": 2,
    "replay-past-an-unclear-delivery": 11,
    "replay-sealed-by-the-revision-of-its-position": 134,
    "replay-under-the-contract-it-began-with": 8,
    "replay-with-the-newest-predecessor": 1,
    "resend-not-marked": 311,
    "retry-waits-for-a-clock-set-back": 99,
    "settlement-in-two-transactions": 1,
    "time-out-taken-for-success": 3,
    "two-of-an-entity-in-flight": 1,
    "unknown-taken-for-refused": 4,
}
"""For each bug the first seed that catches it, where that is not seed 0. Only to save time: the search goes on from there."""

SEARCHED = 1_500
"""How many seeds a search takes before it gives up."""


def plant(name: str, start: int) -> str:
    """Plant a bug in a process of its own, and return what the simulation says of it."""
    command = [sys.executable, "-m", "goldwire_lab.planted", name, "--seeds", str(SEARCHED), "--from", str(start)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


@pytest.mark.planted_bug
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", sorted(PLANTED_BUGS))
def test_the_planted_bug_is_caught(name: str):
    assert f"{name}: caught by seed" in plant(name, KNOWN.get(name, 0))


@pytest.mark.optional
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_search_from_the_first_seed_catches_the_planted_bug(name: str):
    assert f"{name}: caught by seed" in plant(name, 0)


def test_every_known_seed_is_that_of_a_planted_bug():
    assert KNOWN.keys() <= PLANTED_BUGS.keys()
