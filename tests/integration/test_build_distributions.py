"""What is built for a release holds our own files, whatever an index offers under our names."""

from __future__ import annotations

import json
import runpy
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def wheel_of(folder: Path, name: str, version: str, needs: str | None = None) -> Path:
    """Write the smallest wheel that pip takes."""
    folder.mkdir(exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    stated = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {needs}\n" if needs else "")
    files = {"METADATA": stated, "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", text)
        wheel.writestr(f"{stem}.dist-info/RECORD", "".join(f"{stem}.dist-info/{file},,\n" for file in [*files, "RECORD"]))
    return folder / f"{stem}-py3-none-any.whl"


@pytest.mark.parametrize("elsewhere", ["9.9", "0.1"])
def test_a_name_of_ours_on_an_index_does_not_get_into_what_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    dist = tmp_path / "dist"
    lab = wheel_of(dist, "goldwire-lab", "0.1", "goldwire")
    own = [lab, wheel_of(dist, "goldwire", "0.1"), wheel_of(dist, "goldwire-emulator", "0.1")]
    wheel_of(tmp_path / "index", "goldwire", elsewhere, "taken-over")
    wheel_of(tmp_path / "index", "taken-over", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    venv.create(tmp_path / "made", with_pip=True)
    python = tmp_path / "made/bin/python"
    runpy.run_path(str(ROOT / "scripts/build_distributions.py"))["install"](python, lab, "msgspec==0.19.0 \\\n", own)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True).stdout
    found = {one["name"]: one["version"] for one in json.loads(listed)}
    assert {name: found[name] for name in found if name not in {"pip", "setuptools"}} == {
        "goldwire": "0.1",
        "goldwire-lab": "0.1",
    }
    assert list((tmp_path / "made").rglob("direct_url.json")) == []
