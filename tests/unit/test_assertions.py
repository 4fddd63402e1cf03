"""Assertions hold invariants and nothing else, so that what Goldwire does never depends on whether Python evaluates them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
PURE = {"all", "any", "frozenset", "isinstance", "issubclass", "len", "max", "min", "range", "set", "sorted", "sum", "tuple"}
"""Builtins that change nothing, also when they are called with what our code gives them."""

OPTIMISED = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
FIX = "without -O, and with PYTHONOPTIMIZE unset"


def is_suite(tree: ast.Module) -> bool:
    """A published suite is made of tests: what it asserts is what it observes. It refuses a Python without assertions."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.name.startswith("test_") for node in functions)


def assertions(tree: ast.Module) -> Iterator[ast.Assert]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Assert))


def calls_of(tested: ast.AST, *, pure: set[str]) -> list[str]:
    """What an expression calls, awaits or assigns that is not in the list."""
    return [
        ast.unparse(node)
        for node in ast.walk(tested)
        if isinstance(node, ast.Await | ast.Yield | ast.NamedExpr)
        or (isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in pure))
    ]


def is_plain(function: ast.FunctionDef) -> bool:
    """Whether a property only returns what is there: one expression, without a call that could do or refuse anything."""
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    returned = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return) else None
    return returned is not None and not calls_of(returned, pure=PURE)


@cache
def working_properties() -> frozenset[str]:
    """Names of properties, of whichever class, that do more than return what is there."""
    found = set()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                decorators = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
                if "cached_property" in decorators or ("property" in decorators and not is_plain(node)):
                    found.add(node.name)
    return frozenset(found)


def test_the_properties_that_work_are_found() -> None:
    assert {"mastering", "store"} <= working_properties()
    assert not {"takes_effect", "version"} & working_properties(), "they return what is there"


def faults(tested: ast.AST) -> Iterator[str]:
    yield from calls_of(tested, pure=PURE)
    for node in ast.walk(tested):
        if isinstance(node, ast.Attribute) and node.attr in working_properties():
            yield f"the property {node.attr}"


def test_an_assertion_does_nothing_but_look() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{one.lineno}: {fault}"
        for path, tree in TREES.items()
        if not is_suite(tree)
        for one in assertions(tree)
        for fault in faults(one.test)
    ]
    assert found == [], "make it plain code: an assertion may be left out"


def test_the_kit_for_subscribers_asserts_nothing_since_it_runs_in_programs_that_may_leave_assertions_out() -> None:
    kit = ROOT / "src/goldwire_consumer"
    assert [str(path) for path, tree in TREES.items() if path.is_relative_to(kit) and any(assertions(tree))] == []


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=OPTIMISED | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("words", [("apply",), ("--help",), ("--version",), ("demo",)])
def test_the_command_refuses_a_python_without_assertions(words: tuple[str, ...]) -> None:
    done = python("-O", "-m", "goldwire", *words)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("goldwire: ")
    assert FIX in line


@pytest.mark.parametrize("level", ["1", "2"])
def test_the_variable_that_leaves_assertions_out_is_refused_too(level: str) -> None:
    done = python("-m", "goldwire", "status", PYTHONOPTIMIZE=level)
    assert done.returncode == 2
    assert FIX in done.stderr


def test_the_library_refuses_a_python_without_assertions() -> None:
    code = (
        "from pathlib import Path; from goldwire.services.application import Application; Application.of(Path('nowhere.yaml'))"
    )
    done = python("-O", "-c", code)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("goldwire.errors.ConfigError: ")
    assert FIX in done.stderr


def test_a_suite_that_would_assert_nothing_is_refused() -> None:
    done = python("-O", "-c", "import goldwire.testing.target_suite")
    assert done.returncode != 0
    assert FIX in done.stderr


def test_the_kit_for_subscribers_runs_without_assertions() -> None:
    assert python("-O", "-c", "import goldwire_consumer").returncode == 0
