"""Builds every distribution of the repository into `dist/`, with a CycloneDX bill of materials for each (`make dist`).

A bill is made of an environment that holds the wheel and what it needs, as the lock pins that, and nothing else.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"


def projects() -> list[Path]:
    """The folders with a pyproject.toml: the repository itself and packages under `src/`."""
    return [ROOT, *sorted(file.parent for file in (ROOT / "src").glob("*/pyproject.toml"))]


def name_and_version(project: Path) -> tuple[str, str]:
    """What the project's pyproject.toml calls it."""
    stated = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return stated["name"], stated["version"]


def run(*command: str | Path) -> None:
    """Run a command; it must succeed."""
    subprocess.run([str(word) for word in command], check=True)  # noqa: S603 - fixed words and paths of our own


def build(project: Path) -> Path:
    """Build sdist and, from it, wheel; return the wheel."""
    before = set(DIST.glob("*.whl"))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, project)
    (wheel,) = set(DIST.glob("*.whl")) - before
    return wheel


def install(python: Path, wheel: Path, lock: str, own: list[Path]) -> None:
    """Install a wheel with what it needs: the versions of the lock, and of our own names these very files.

    A name of ours with a higher version on an index must not get in: what is installed here runs beside the right to publish.

    Args:
        python: of the environment.
        wheel: what is installed.
        lock: the text of a lock.
        own: the wheels of all our distributions.
    """
    pins = python.parent.parent / "pins.txt"
    pins.write_text("".join([*pins_of(lock), *files_of(own)]), encoding="utf-8")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", pins, wheel)
    for file in python.parent.parent.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        file.unlink()  # else the bill holds a path of this machine


def write_bill(project: Path, wheel: Path, own: list[Path]) -> None:
    """Install the wheel into an environment of its own and write down what is in it."""
    name, version = name_and_version(project)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        install(python, wheel, (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8"), own)
        run(python, "-m", "pip", "uninstall", "--quiet", "--disable-pip-version-check", "--yes", "pip", "setuptools")
        run(
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", project / "pyproject.toml"),
            *("--output-reproducible", "--output-format", "JSON", "--output-file", DIST / f"{name}-{version}.cdx.json", python),
        )


def pins_of(lock: str) -> list[str]:
    """The lock's versions without hashes: constraints may hold none beside wheels that were just built."""
    return [f"{line.removesuffix(chr(92)).strip()}\n" for line in lock.splitlines() if "==" in line and line[0].isalnum()]


def files_of(wheels: list[Path]) -> list[str]:
    """Constraints that let pip take a name from its wheel here and from nowhere else."""
    return [f"{wheel.name.partition('-')[0].replace('_', '-')} @ {wheel.absolute().as_uri()}\n" for wheel in wheels]


def main() -> None:
    """Build all; first see that the version asked for is the one that every distribution states."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--version", help="end with an error unless every distribution has this version")
    wanted = parser.parse_args().version
    others = [f"{name} is {version}" for name, version in map(name_and_version, projects()) if wanted not in {None, version}]
    if others:
        sys.exit(f"The tag says {wanted}, but {', '.join(others)}. Set `version` in each pyproject.toml, or move the tag.")
    shutil.rmtree(DIST, ignore_errors=True)
    wheels = [(project, build(project)) for project in projects()]
    for project, wheel in wheels:
        write_bill(project, wheel, [each for _, each in wheels])
    sys.stdout.write("".join(f"dist/{file.name}\n" for file in sorted(DIST.iterdir())))


if __name__ == "__main__":
    main()
