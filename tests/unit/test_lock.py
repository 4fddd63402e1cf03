"""The locks in `requirements/` hold what every pyproject.toml asks for, with hashes, and nothing of one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "lock.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    projects = [ROOT / "pyproject.toml", *(ROOT / "src").glob("*/pyproject.toml")]
    for file in [*projects, ROOT / "scripts" / "lock.py", *(ROOT / "requirements").iterdir()]:
        goal = tmp_path / file.relative_to(ROOT)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, goal)
    return tmp_path


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), encoding="utf-8")


def test_the_locks_hold_what_the_distributions_ask_for() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("project", ["pyproject.toml", "src/goldwire_consumer/pyproject.toml"])
def test_a_dependency_that_was_added_without_a_lock_is_named_with_the_fix(copy: Path, project: str) -> None:
    replace(copy / project, "dependencies = [\n", 'dependencies = [\n  "not-locked-yet>=1",\n')
    done = check(copy)
    assert done.returncode == 1
    assert "requirements/core.txt: does not hold not-locked-yet>=1" in done.stderr
    assert "requirements/dev.txt: does not hold not-locked-yet>=1" in done.stderr
    assert "Run `make lock`" in done.stderr


def test_a_bound_above_what_is_locked_is_named(copy: Path) -> None:
    replace(copy / "pyproject.toml", '"orjson>=3.10"', '"orjson>=999"')
    assert "requirements/core.txt: does not hold orjson>=999" in check(copy).stderr


def test_a_dependency_that_is_needed_no_more_is_noticed(copy: Path) -> None:
    replace(copy / "pyproject.toml", '  "aiolimiter>=1.2",\n', "")
    assert "requirements/core.in: differs" in check(copy).stderr


def test_a_lock_that_nothing_asks_for_is_noticed(copy: Path) -> None:
    shutil.copy(copy / "requirements" / "docs.txt", copy / "requirements" / "other.txt")
    assert "requirements/other.txt: no distribution and no group asks for it" in check(copy).stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_of_a_lock_has_hashes_and_no_line_names_a_machine_or_an_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"^\s*--(?!hash)\S*|\w+://|file:|(?<![\w.])/\w+", text, re.MULTILINE) == []


def test_what_is_locked_for_users_is_locked_alike_for_the_tests() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9][\w.-]*==[^ ;]+)", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))

    assert pins("core.txt") - pins("dev.txt") == set()
