"""Four wheels, each built from its sdist, whole, and installed one by one into empty environments and tried."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from email import message_from_string
from pathlib import Path

import pytest

from goldwire import __version__

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PROJECTS = {
    "goldwire": ROOT,
    "goldwire-consumer": SOURCE / "goldwire_consumer",
    "goldwire-emulator": SOURCE / "goldwire_emulator",
    "goldwire-lab": SOURCE / "goldwire_lab",
}
PACKAGES = {name: name.replace("-", "_") for name in PROJECTS}
PATIENCE_SECONDS = 280
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def run(*command: str | Path, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """The sdist of each distribution, and the wheel that is built from the unpacked sdist, with nothing beside it."""
    folder = tmp_path_factory.mktemp("built")
    found = {}
    for name, project in PROJECTS.items():
        stem = f"{PACKAGES[name]}-{__version__}"
        run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=project)
        sdist = folder / f"{stem}.tar.gz"
        with tarfile.open(sdist) as archive:
            # Debian's Python 3.11.2 has no filter yet; the archive is our own.
            archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=folder / stem)
        found[name] = (sdist, folder / f"{stem}-py3-none-any.whl")
    return found


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_made_from_the_sdist_holds_its_package_and_nothing_of_another(
    name: str, built: dict[str, tuple[Path, Path]]
) -> None:
    package = SOURCE / PACKAGES[name]
    held = set(zipfile.ZipFile(built[name][1]).namelist())
    modules = {str(file.relative_to(SOURCE)) for file in package.rglob("*.py")}
    assert modules <= held
    assert f"{PACKAGES[name]}/py.typed" in held
    assert {path.partition("/")[0] for path in held} == {PACKAGES[name], f"{PACKAGES[name]}-{__version__}.dist-info"}
    assert {path for path in held if path.endswith(".py")} - modules <= {"goldwire/demo/data/subscriber.py"}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_holds_its_licence_its_readme_and_the_pythons_it_is_for(name: str, built: dict[str, tuple[Path, Path]]) -> None:
    with zipfile.ZipFile(built[name][1]) as wheel:
        information = f"{PACKAGES[name]}-{__version__}.dist-info"
        assert wheel.read(f"{information}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        stated = message_from_string(wheel.read(f"{information}/METADATA").decode())
    readme = (PROJECTS[name] / "README.md").read_text(encoding="utf-8")
    assert (stated["Name"], stated["Version"], stated["License-Expression"]) == (name, __version__, "Apache-2.0")
    assert str(stated.get_payload()).strip() == readme.strip()
    assert {f"Programming Language :: Python :: {python}" for python in PYTHONS} <= set(stated.get_all("Classifier") or ())


Environment = Callable[..., Path]


@pytest.fixture
def environment(tmp_path: Path, built: dict[str, tuple[Path, Path]]) -> Environment:
    """Make an empty environment, install wheels into it with what they need from the index, and return its `bin`."""

    def make(*wanted: str) -> Path:
        folder = tmp_path / "environment"
        venv.create(folder, with_pip=True)
        wheels = []
        for one in wanted:
            name, _, extras = one.partition("[")
            wheels.append(f"{built[name][1]}[{extras}" if extras else str(built[name][1]))
        run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *wheels, folder=tmp_path)
        return folder / "bin"

    return make


@pytest.mark.optional
def test_goldwire_alone_runs_its_demo_and_says_what_is_left_out(environment: Environment, tmp_path: Path) -> None:
    folder = environment("goldwire")
    usage = run(folder / "goldwire", "--help", folder=tmp_path).stdout
    assert "ingest" in usage
    for command, distribution in (("bench", "lab"), ("simulate", "lab"), ("emulator", "emulator")):
        assert f" {command} " not in usage
        refused = run(folder / "goldwire", command, folder=tmp_path, code=2)
        assert f"goldwire-{distribution}" in refused.stderr
    told = run(folder / "goldwire", "demo", folder=tmp_path).stdout
    assert "./src/goldwire_emulator" in told
    assert "Three targets under three contracts" in told
    assert "All promises kept" in told


@pytest.mark.optional
def test_with_azure_the_kit_and_the_emulator_the_demo_has_its_backplane(environment: Environment, tmp_path: Path) -> None:
    folder = environment("goldwire[azure]", "goldwire-consumer[azure]", "goldwire-emulator")
    told = run(folder / "goldwire", "demo", "out", folder=tmp_path).stdout
    assert "left out" not in told
    assert "Four targets under four contracts" in told
    assert "All promises kept" in told


@pytest.mark.optional
def test_the_lab_brings_the_benchmark_and_the_simulation(environment: Environment, tmp_path: Path) -> None:
    folder = environment("goldwire", "goldwire-lab")
    assert "--quick" in run(folder / "goldwire", "bench", "--help", folder=tmp_path).stdout
    result = json.loads(run(folder / "goldwire", "simulate", "--seeds", "3", "--json", folder=tmp_path).stdout)
    assert (result["seeds"], result["failures"]) == (3, [])


@pytest.mark.optional
def test_the_emulator_stands_alone(environment: Environment, tmp_path: Path) -> None:
    folder = environment("goldwire-emulator")
    installed = run(folder / "python", "-m", "pip", "list", "--format=json", folder=tmp_path).stdout
    assert [one["name"] for one in json.loads(installed) if "goldwire" in one["name"]] == ["goldwire-emulator"]
    assert "--policy" in run(folder / "goldwire-emulator", "--help", folder=tmp_path).stdout
    assert "pip install cryptography" in run(folder / "goldwire-emulator", "--tls", "x", folder=tmp_path, code=2).stderr
    with subprocess.Popen([folder / "goldwire-emulator", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: ")
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.optional
def test_the_kit_for_subscribers_stands_alone(environment: Environment, tmp_path: Path) -> None:
    folder = environment("goldwire-consumer")
    run(folder / "python", "-W", "error", "-c", "import goldwire_consumer; goldwire_consumer.Consumer", folder=tmp_path)
    refused = run(folder / "python", "-c", "import goldwire_consumer.adapter.kafka", folder=tmp_path, code=1)
    assert "pip install 'confluent-kafka>=" in refused.stderr
