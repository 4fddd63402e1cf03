"""What a run of the tests says of itself: coverage by room, and how many planted bugs were caught."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "coverage_by_room.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_by_room", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(statements: int, covered: int, branches: int, taken: int) -> dict[str, dict[str, int]]:
    counts = {"num_statements": statements, "covered_lines": covered, "num_branches": branches, "covered_branches": taken}
    return {"summary": counts}


def test_files_are_summed_over_their_room_and_rooms_over_all(script: ModuleType) -> None:
    rooms = script.by_room(
        {
            "src/goldwire/clock.py": measured(10, 10, 0, 0),
            "src/goldwire/relay/lanes.py": measured(30, 20, 8, 4),
            "src/goldwire/relay/deeper/still.py": measured(10, 10, 2, 1),
            "src/goldwire_consumer/guard.py": measured(50, 20, 10, 10),
        }
    )
    assert script.table(rooms).splitlines() == [
        "room               statements  covered  branches  covered",
        "goldwire                   10   100.0%         0        -",
        "goldwire/relay             40    75.0%        10    50.0%",
        "goldwire_consumer          50    40.0%        10   100.0%",
        "all                       100    60.0%        20    75.0%",
    ]


def test_without_a_run_the_script_names_the_command_that_makes_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "coverage: no data; run `make coverage`\n")


def test_the_summary_counts_the_planted_bugs_that_were_caught(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  planted_bug: as in pyproject.toml\n", encoding="utf-8")
    (tmp_path / "test_two.py").write_text(
        "import pytest\n"
        "@pytest.mark.planted_bug\n@pytest.mark.parametrize('caught', [True, True, False])\n"
        "def test_the_planted_bug_is_caught(caught, record_property):\n"
        "    record_property('unknown_seed', 'a-bug')\n    assert caught\n"
        "def test_another():\n    pass\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", "--rootdir", ".", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "2 of 3 planted bugs caught" in lines
    assert [line for line in lines if "known_seeds.py" in line and line.startswith("2 of them after a search")]
