"""`goldwire-emulator` is `goldwire emulator` without Goldwire: the same options, results and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 60
BIN = Path(sys.executable).parent
DOORS = {
    "goldwire": [str(BIN / "goldwire"), "emulator"],
    "goldwire-emulator": [str(BIN / "goldwire-emulator")],
    "python -m goldwire_emulator": [sys.executable, "-m", "goldwire_emulator"],
}


def run(door: str, *words: str, folder: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    settings.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        [*DOORS[door], *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        **settings,
    )


def ready(door: str, *words: str, folder: Path, **settings: Any) -> dict[str, Any]:
    """Start it, read what it says, end it with SIGTERM."""
    command = [*DOORS[door], *words, "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, **settings) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
    return json.loads("".join(lines))  # type: ignore[no-any-return]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--config", "none.json"), 3, "none.json: "),
        (("--policy", "writer"), 3, "--policy writer: write NAME=send"),
        (("--https-port", "0"), 3, "--https-port: needs --tls FOLDER"),
        (("--data", "file"), 3, "file: that is a file; give a folder"),
        (("--tls", "tls", "--port", "0"), 3, "cert.pem and key.pem are no certificate"),
    ],
)
def test_each_door_says_what_is_wrong_in_one_line(
    door: str, words: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "cert.pem").write_text("no certificate")
    done = run(door, *words, folder=tmp_path)
    prefix = "goldwire: " if door == "goldwire" else "goldwire-emulator: "
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert done.stderr.startswith(prefix)
    assert said in done.stderr


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_option_is_a_wrong_command_line(door: str, tmp_path: Path) -> None:
    done = run(door, "--colour", folder=tmp_path)
    assert done.returncode == 2
    assert "No such option: --colour" in done.stderr


def test_each_door_says_the_same_once_it_listens(tmp_path: Path) -> None:
    found = [ready(door, "--port", "0", "--policy", "app=send", folder=tmp_path) for door in DOORS]
    said = [re.sub(r"\b\d{4,5}\b", "PORT", json.dumps(one)) for one in found]
    assert said[0].count("PORT") >= 3
    assert said[1:] == said[:-1]


@pytest.mark.parametrize("door", DOORS)
def test_a_full_device_has_an_exit_code_of_its_own(door: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(door, "--port", "0", folder=tmp_path, stdout=full)
    assert done.returncode == 5, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_packages_of_its_extras_it_runs_and_names_the_one_that_is_needed(tmp_path: Path) -> None:
    absent = ("aiohttp", "confluent_kafka", "cryptography", "goldwire", "uvloop")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({absent}))\n")
    settings = {"folder": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    assert ready("goldwire-emulator", "--port", "0", **settings)["certificate"] is None
    done = run("goldwire-emulator", "--tls", "tls", "--port", "0", **settings)
    assert done.returncode == 2
    assert (
        done.stderr
        == "goldwire-emulator: --tls needs the package cryptography, which is not installed: pip install cryptography\n"
    )


def test_no_part_of_the_emulator_loads_goldwire() -> None:
    code = """
import pkgutil, sys
import goldwire_emulator
for module in pkgutil.walk_packages(goldwire_emulator.__path__, "goldwire_emulator."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules if name.startswith("goldwire")}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "goldwire_emulator\n"
