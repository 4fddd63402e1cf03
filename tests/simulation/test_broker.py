"""The relay, a broker that doubles, redelivers and rebalances, and subscribers built on the kit; again with bugs planted."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldwire_lab.planted import CAUGHT_WITH_BROKER

FOLDER = Path(__file__).parent / "broker"
SEEDS = os.environ.get("GOLDWIRE_TEST_SEEDS", "60")


def names_of_bugs() -> list[str]:
    """Read, and not imported: the modules of the folder find each other only when it is where Python starts."""
    tree = ast.parse((FOLDER / "bugs.py").read_text(encoding="utf-8"))
    return [key.value for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]


def run_seeds(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(FOLDER / "seeds.py"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in {0, 9}, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def test_subscribers_hold_the_golden_state_whatever_the_broker_does():
    ran = run_seeds("--seeds", SEEDS, "--from", "10000")
    assert ran["finding"] is None
    never = {
        "answer lost for a part of a batch", "appended twice", "applied", "checkpoint lost", "delivered again",
        "handler failed once", "ignored", "killed before the checkpoint", "killed in a batch", "relations compared",
        "stolen", "stolen in a batch",
    } - ran["happened"].keys()  # fmt: skip
    assert never == set()


@pytest.mark.optional
@pytest.mark.timeout(3_600)
def test_subscribers_hold_the_golden_state_in_a_thousand_seeds():
    assert run_seeds("--seeds", "1000")["finding"] is None


def test_a_seed_does_the_same_thing_every_time():
    assert run_seeds("--seeds", "3", "--from", "7") == run_seeds("--seeds", "3", "--from", "7")


@pytest.mark.planted_bug
@pytest.mark.parametrize("name", [*names_of_bugs(), *CAUGHT_WITH_BROKER])
def test_the_planted_bug_is_caught(name: str):
    assert run_seeds("--seeds", "400", "--bug", name)["finding"] is not None
