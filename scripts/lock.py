"""Locks what Goldwire needs of others, with hashes: `requirements/NAME.in` says what is wanted, `NAME.txt` what that is.

`lock.py` writes them anew (`make lock`); `lock.py --check` compares them, offline, with every `pyproject.toml`.

- `core`: what every distribution of the repository needs to be built and to run, and what `make demo` needs besides.
- `dev`: the same with every extra but `APART`, so that every test can run that is not optional.
- One for each dependency group of `pyproject.toml`: tools that stand alone, each in an environment of its own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
DEMO = ("goldwire[azure]",)
"""What `make demo` needs beside the bare distributions: its fourth target is an Event Hub."""
APART = {"spark"}
"""Extras too heavy for everybody who runs the tests; the optional tests of them install what they need."""
OLDEST_PYTHON = "3.11"
MADE = "# Made by `make lock` from every pyproject.toml of the repository; a test compares. Change those, not this file."

Projects = dict[str, dict[str, Any]]


def projects() -> Projects:
    """The distributions of this repository by name: their `[project]` and `[build-system]`, found by their pyproject.toml."""
    found: Projects = {}
    for file in [ROOT / "pyproject.toml", *sorted((ROOT / "src").glob("*/pyproject.toml"))]:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        found[canonicalize_name(content["project"]["name"])] = content
    return found


def wanted(known: Projects) -> dict[str, list[str]]:
    """What each lock must hold, by the lock's name, sorted and without the repository's own distributions."""
    bare = [need for content in known.values() for need in content["build-system"]["requires"]]
    bare += [*known, *DEMO]
    full = [
        f"{name}[{','.join(extras)}]"
        for name, content in known.items()
        if (extras := [extra for extra in content["project"].get("optional-dependencies", {}) if extra not in APART])
    ]
    locks = {"core": bare, "dev": [*bare, *full]}
    for content in known.values():
        locks |= content.get("dependency-groups", {})
    return {name: sorted(set(foreign(needs, known, set())), key=str.lower) for name, needs in locks.items()}


def foreign(needs: Iterable[str], known: Projects, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The requirements with each of our own distributions replaced by what it and its wanted extras need."""
    for need in needs:
        requirement = Requirement(need)
        name = canonicalize_name(requirement.name)
        if name not in known:
            yield str(requirement)
            continue
        project = known[name]["project"]
        for extra in sorted({"", *requirement.extras}):
            if (name, extra) not in seen:
                seen.add((name, extra))
                more = project["optional-dependencies"][extra] if extra else project.get("dependencies", [])
                yield from foreign(more, known, seen)


def problems(locks: dict[str, list[str]]) -> list[str]:
    """What the files under `requirements/` lack or hold too much, one line each; none if they fit."""
    found = [
        f"requirements/{file.name}: no distribution and no group asks for it"
        for file in sorted(FOLDER.glob("*.*"))
        if file.stem not in locks
    ]
    for name, needs in locks.items():
        asked, locked = FOLDER / f"{name}.in", FOLDER / f"{name}.txt"
        if not asked.exists() or not locked.exists():
            found.append(f"requirements/{name}.txt: is missing")
            continue
        if asked.read_text(encoding="utf-8") != text_of(needs):
            found.append(f"requirements/{name}.in: differs from what the pyproject.toml files ask for")
        pins = pinned(locked.read_text(encoding="utf-8"))
        found += [f"requirements/{name}.txt: does not hold {need}" for need in needs if not satisfied(need, pins)]
    return found


def pinned(lock: str) -> dict[str, set[Version]]:
    """The versions that a lock holds of each package: several where they depend on the Python version or the system."""
    pins: dict[str, set[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)", lock, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), set()).add(Version(version))
    return pins


def satisfied(need: str, pins: dict[str, set[Version]]) -> bool:
    """Whether every locked version of the package is one that the requirement allows."""
    requirement = Requirement(need)
    versions = pins.get(canonicalize_name(requirement.name), set())
    return bool(versions) and all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def text_of(needs: list[str]) -> str:
    """The content of a file `NAME.in`."""
    return "\n".join([MADE, *needs, ""])


def write(locks: dict[str, list[str]], *, upgrade: bool) -> None:
    """Write every file under `requirements/` with uv, for each Python and system that is supported at once."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.*"):
        if file.stem not in locks:
            file.unlink()
    for name, needs in locks.items():
        (FOLDER / f"{name}.in").write_text(text_of(needs), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--python-version", OLDEST_PYTHON, "--no-emit-index-url", "--no-emit-find-links", "--no-header"),
            *("--no-config", "--custom-compile-command", "make lock", f"{name}.in", "--output-file", f"{name}.txt"),
            *(("--upgrade",) if upgrade else ()),
        ]
        # What is installed with the tests and without them is to be the same version.
        if name == "dev":
            command += ["--constraint", "core.txt"]
        subprocess.run(command, cwd=FOLDER, check=True)  # noqa: S603 - fixed words and names of our own
        sys.stdout.write(f"requirements/{name}.txt\n")


def main() -> None:
    """Write or compare, as the arguments say; end with 1 and the fix where a lock does not fit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; say what does not fit")
    parser.add_argument(
        "--upgrade", action="store_true", help="take the newest versions; without it a lock keeps what still fits"
    )
    options = parser.parse_args()
    locks = wanted(projects())
    if not options.check:
        write(locks, upgrade=options.upgrade)
    found = problems(locks)
    if found:
        sys.exit("\n".join([*found, "Run `make lock` and commit requirements/."]))


if __name__ == "__main__":
    main()
