"""The programs and commands that the documentation shows do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_target_that_the_how_to_builds_passes_the_suite(tmp_path: Path) -> None:
    for language, text in FENCE.findall((DOCS / "how-to-add-a-target.md").read_text(encoding="utf-8")):
        if language != "python":
            continue
        name = text.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"folder.py", "test_folder.py"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def shown(text: str) -> str:
    """Output without what differs from one run to the next: moments, hashes, ids, keys, blanks at ends of lines."""
    for number, entity_id in enumerate(dict.fromkeys(re.findall(r"goldwire:entity:[0-9a-f]{32}", text))):
        text = text.replace(entity_id, f"ENTITY {number}")
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "MOMENT", text)
    text = re.sub(r"share key [0-9a-f]{8}\b", "share key KEY", text)
    return "\n".join(line.rstrip() for line in re.sub(r"sha256:[0-9a-f]{64}", "HASH", text).strip().splitlines())


def test_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    here = tmp_path
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "200", "LAST": str(tmp_path / "last")}
    output = ""
    for language, text in FENCE.findall((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if language == "sh":
            done = subprocess.run(
                ["bash", "-c", f'{text}\npwd > "$LAST"'],
                cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
            output = done.stdout
            assert done.returncode == 0, output
            here = Path((tmp_path / "last").read_text(encoding="utf-8").strip())
        elif language == "text":
            assert shown(output) == shown(text)
