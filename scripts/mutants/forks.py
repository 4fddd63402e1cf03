"""A pytest plugin: collects the tests once, and then runs for each mutant the tests chosen for it in a fork of the process.

A fork has all modules loaded. What a mutant changes inside functions gets there by new code objects for the functions that are
loaded; what it changes outside them, by importing the repository's modules anew. So a mutant costs its tests and little more.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("goldwire", "goldwire_consumer", "goldwire_emulator", "goldwire_lab", "support", "tests")
_KILLED, _SURVIVED, _BROKEN = 1, 0, 3


class Forks:
    """Runs mutants instead of the tests as they are.

    Args:
        work: the mutants, each with the tests to run (`tests`) and their usual duration (`usual_seconds`).
        jobs: how many at a time.
        results: takes a line of JSON for each: `killed`, `survived`, `timeout`, or `broken` where it could not be brought in.
    """

    def __init__(self, work: Sequence[dict[str, Any]], jobs: int, results: Path) -> None:
        self._work = list(work)
        self._jobs = jobs
        self._results = results
        self._items: dict[str, pytest.Item] = {}
        self._loaded: dict[str, list[FunctionType]] = {}
        self._running: dict[int, tuple[dict[str, Any], float, Path]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every mutant."""
        self._items = {item.nodeid: item for item in session.items}
        gc.collect()
        # Here and not in the forks: to walk over all objects there would copy most of the memory.
        self._loaded = loaded_functions()
        gc.freeze()
        for mutant in self._work:
            while len(self._running) >= self._jobs:
                self._wait()
            self._start(session, mutant)
        while self._running:
            self._wait()
        return True

    def _start(self, session: pytest.Session, mutant: dict[str, Any]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        items = [self._items[test] for test in mutant["tests"] if test in self._items]
        child = os.fork()
        if not child:
            code = _BROKEN
            try:
                code = _try(session, items, mutant, self._loaded.get(str(ROOT / mutant["file"]), ()), folder)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent hears of it
                (folder / "error").write_text(repr(error), encoding="utf-8")
            finally:
                os._exit(code)
        # The limit of CPU time ends one that runs in circles; this one only what waits for ever, also on a busy machine.
        deadline = time.monotonic() + 300 + 20 * mutant["usual_seconds"]
        self._running[child] = (mutant, deadline, folder)

    def _wait(self) -> None:
        """Wait until a child has ended or is out of time."""
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child in self._running:
                code = os.waitstatus_to_exitcode(status)
                return self._note(
                    child, {_KILLED: "killed", _SURVIVED: "survived"}.get(code, "timeout" if code < 0 else "broken")
                )
            for pid, (_, deadline, _) in self._running.items():
                if time.monotonic() > deadline:
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    return self._note(pid, "timeout")
            time.sleep(0.02)

    def _note(self, child: int, result: str) -> None:
        mutant, _, folder = self._running.pop(child)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests started and left behind
        said = {name: (folder / name).read_text(encoding="utf-8") for name in ("error", "killer") if (folder / name).exists()}
        shutil.rmtree(folder, ignore_errors=True)
        record = {key: mutant[key] for key in ("id", "room", "file", "first_line", "left_out", "seeds")}
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "result": result, "tests": len(mutant["tests"]), **said}) + "\n")


def _try(
    session: pytest.Session,
    items: Sequence[pytest.Item],
    mutant: dict[str, Any],
    loaded: Sequence[FunctionType],
    folder: Path,
) -> int:
    """In the fork: bring the mutant in and run the tests until one fails."""
    os.setpgid(0, 0)
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    seconds = int(30 + 10 * mutant["usual_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    if not mutant["tests"] and not mutant["seeds"]:
        return _SURVIVED
    if not (mutant["in_function"] and exchange(ROOT / mutant["file"], mutant["source"], loaded)):
        return _anew(mutant, folder)
    session.config.get_terminal_writer()._file = io.StringIO()
    session.config._tmp_path_factory._basetemp = folder / "tmp"
    (folder / "tmp").mkdir()
    for item, following in zip_longest(items, items[1:]):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            (folder / "killer").write_text(item.nodeid, encoding="utf-8")
            with suppress(BaseException):
                session._setupstate.teardown_exact(None)
            return _KILLED
    return _simulate(mutant["seeds"], folder)


def _simulate(seeds: int, folder: Path) -> int:
    """Show a mutant that all tests let live to the simulation."""
    if not seeds:
        return _SURVIVED
    from goldwire_lab.simulation import run_seeds  # noqa: PLC0415 - with the mutant in it

    failures = run_seeds(seeds, stop_at_first=True).failures
    if failures:
        (folder / "killer").write_text(f"seed {failures[0].seed} of the simulation: {failures[0].finding}", encoding="utf-8")
    return _KILLED if failures else _SURVIVED


def loaded_functions() -> dict[str, list[FunctionType]]:
    """Every function of this process by its file."""
    found: dict[str, list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            found.setdefault(each.__code__.co_filename, []).append(each)
    return found


def exchange(file: Path, source: str, loaded: Sequence[FunctionType]) -> bool:
    """Give the loaded functions of a file the code that they have in `source`; return whether one is another now."""
    path = str(file)
    before = dict(_codes(compile(file.read_text(encoding="utf-8"), path, "exec", dont_inherit=True)))
    after = dict(_codes(compile(source, path, "exec", dont_inherit=True)))
    new = {_key(code): after[where] for where, code in before.items() if where in after and code != after[where]}
    found = False
    for each in loaded:
        code = new.get(_key(each.__code__))
        if code is not None:
            each.__code__ = code
            found = True
    return found


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _codes(code: CodeType, where: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], CodeType]]:
    """Every function's code in a module by its way there, which a mutant does not change."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    for index, each in enumerate(inner):
        yield (*where, index), each
        yield from _codes(each, (*where, index))


def _anew(mutant: dict[str, Any], folder: Path) -> int:
    """Forget the repository's modules, and let a pytest of its own import them anew, the mutant among them."""
    for name in list(sys.modules):
        if name.partition(".")[0] in OURS or name.startswith("conftest"):
            del sys.modules[name]
    from prometheus_client import REGISTRY  # noqa: PLC0415 - it knows the metrics of the modules that are forgotten

    for collector in list(REGISTRY._collector_to_names):
        REGISTRY.unregister(collector)
    get_code, path = SourceFileLoader.get_code, str(ROOT / mutant["file"])

    def mutated(loader: SourceFileLoader, name: str) -> CodeType | None:
        if loader.get_filename(name) != path:
            return get_code(loader, name)
        return compile(mutant["source"], path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = mutated  # type: ignore[method-assign]  # a migration is found by its path, not by its name
    options = ["-x", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder / 'tmp'}"]
    code = pytest.main([*options, *mutant["tests"]]) if mutant["tests"] else 0
    if code:
        (folder / "killer").write_text(f"pytest ended with {int(code)}", encoding="utf-8")
    return _KILLED if code else _simulate(mutant["seeds"], folder)
