"""What setup prints on a machine that cannot make an environment: one line, naming what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts/setup.sh"


@pytest.fixture
def setup(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts/setup.sh")

    def run(python: str) -> str:
        interpreter = tmp_path / "python"
        interpreter.write_text(python)
        interpreter.chmod(0o755)
        env = {**os.environ, "PYTHON": str(interpreter)}
        ran = subprocess.run(
            ["sh", tmp_path / "scripts/setup.sh", "core"], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 1
        assert not (tmp_path / ".venv").exists()
        return ran.stderr

    return run


def test_a_python_without_venv_is_told_which_package_to_install(setup, tmp_path):
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing/ensurepip.py").write_text('raise ImportError("not packaged here")\n')
    said = setup(f'#!/bin/sh\nPYTHONPATH={tmp_path}/missing exec "{sys.executable}" "$@"\n')
    assert len(said.splitlines()) == 1
    assert "cannot make environments: " in said
    assert "install python" in said


def test_an_old_python_is_told_of(setup):
    said = setup(f'#!/bin/sh\n[ "$1" = -c ] && exit 1\nexec "{sys.executable}" "$@"\n')
    assert len(said.splitlines()) == 1
    assert "is older than 3.11" in said
