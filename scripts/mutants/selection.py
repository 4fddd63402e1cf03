"""Chooses the tests that can notice a mutant: those that run its lines, or that run lines which name what it defines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from coverage import CoverageData


class Selection:
    """The tests by the lines they run, and how long each takes.

    Args:
        root: the repository.
        data_file: what coverage wrote with one context a test.
        report_file: the same run's JUnit report.
        budget_seconds: a mutant gets so much of its tests' usual time, the quickest first; what goes beyond is left out.
    """

    def __init__(self, root: Path, data_file: Path, report_file: Path, budget_seconds: float) -> None:
        self._root = root
        self._budget_seconds = budget_seconds
        data = CoverageData(str(data_file))
        data.read()
        self._contexts = {name: data.contexts_by_lineno(name) for name in data.measured_files()}
        self.seconds: dict[str, float] = {}
        for case in ET.parse(report_file).getroot().iter("testcase"):  # noqa: S314 - our own report
            if case.find("failure") is None and case.find("error") is None and case.find("skipped") is None:
                name = f"{_node(root, case.get('classname') or '')}::{case.get('name')}"
                self.seconds[name] = float(case.get("time") or 0)

    def tests(self, mutant: dict[str, Any]) -> tuple[list[str], int]:
        """The tests to run, those of the mutant's own room and the quickest first; and how many were left out."""
        lines = range(mutant["first_line"], mutant["last_line"] + 1)
        found = self._of_lines(mutant["file"], lines)
        if not in_function(self._root / mutant["file"], mutant["first_line"]):
            found |= self._naming(mutant["file"], lines)
        if not found:
            found = self._of_lines(mutant["file"], _function_around(self._root / mutant["file"], lines))
        room = mutant["room"].replace("goldwire_consumer", "consumer").split("/")[-1]
        if not found and not in_function(self._root / mutant["file"], mutant["first_line"]):
            # Nothing that is measured names it: what stands outside functions is run by whatever imports it.
            found = {test for test in self.seconds if f"/{room}/" in test}
        order = sorted(
            (test for test in found if test in self.seconds),
            key=lambda test: (f"/{room}/" not in test, self.seconds[test], test),
        )
        spent, chosen = 0.0, []
        for test in order:
            spent += self.seconds[test]
            if chosen and spent > self._budget_seconds:
                break
            chosen.append(test)
        return chosen, len(order) - len(chosen)

    def _of_lines(self, file: str, lines: Iterable[int]) -> set[str]:
        contexts = self._contexts.get(file, {})
        return {context.rpartition("|")[0] for line in lines for context in contexts.get(line, ()) if context}

    def _naming(self, file: str, lines: Sequence[int]) -> set[str]:
        """The tests that run a line which names what is defined on these lines."""
        names = _names_at(self._root / file, lines)
        if not names:
            return set()
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
        found: set[str] = set()
        for name, contexts in self._contexts.items():
            for number, line in enumerate(_text(self._root / name), 1):
                if word.search(line):
                    found.update(context.rpartition("|")[0] for context in contexts.get(number, ()) if context)
        return found


def _node(root: Path, dotted: str) -> str:
    """The file of a test, and its class if it has one: JUnit names both with dots."""
    file, inner = dotted.split("."), []
    while not (root / f"{'/'.join(file)}.py").exists():
        inner.insert(0, file.pop())
    return "::".join([f"{'/'.join(file)}.py", *inner])


@cache
def _text(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse("\n".join(_text(file)))


def _names_at(file: Path, lines: Sequence[int]) -> set[str]:
    """What the statements outside functions define that touch these lines."""
    names: set[str] = set()
    for node in ast.walk(_tree(file)):
        if not isinstance(node, ast.stmt) or node.lineno > lines[-1] or (node.end_lineno or 0) < lines[0]:
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
    return names


def in_function(file: Path, line: int) -> bool:
    """Whether a line stands in the body of a function; defaults and decorators do not."""
    return line in _function_around(file, range(line, line + 1))


def _function_around(file: Path, lines: Sequence[int]) -> range:
    """The lines of the body of the innermost function that holds these."""
    found = range(0)
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = range(node.body[0].lineno, (node.end_lineno or 0) + 1)
            if lines[0] in body:
                found = body
    return found
