"""Reading a configuration takes an effort that grows with its size, not with its size times its depth. Calls are counted."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldwire.config.problems import Problems
from goldwire.config.reader import load
from goldwire.config.typed_reader import TypedReader
from goldwire.config.yaml_nodes import compose

NODE_CALLS = 60
"""At most so many calls, of Python's and of C's functions, for one value of a tree."""


def calls(work: Callable[[], Any]) -> int:
    """Count the calls that some work makes, once everything is imported and cached."""
    work()
    count = 0

    def seen(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()  # a pass of the collector would call what Hypothesis registers with it, and count
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def tree_calls(text: str, wanted: Any) -> int:
    """Count the calls for a tree that is parsed already: how the YAML library reads is its own affair."""
    problems = Problems("f.yaml")
    root = compose(text, problems)
    found = calls(lambda: TypedReader(problems).read(root, wanted))  # type: ignore[arg-type]
    assert problems.lines() == []
    return found


def nested(depth: int) -> str:
    """A mapping in a mapping in a mapping."""
    return "".join(f"{' ' * level}a{level}:\n" for level in range(depth)) + f"{' ' * depth}last: 1\n"


def nested_type(depth: int) -> Any:
    wanted: Any = dict[str, int]
    for _ in range(depth):
        wanted = dict[str, wanted]
    return wanted


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "any"])
def test_a_tree_twice_as_deep_takes_twice_the_calls(typed: bool) -> None:
    counts = [tree_calls(nested(depth), nested_type(depth) if typed else dict[str, Any]) for depth in (20, 40, 80)]
    assert counts[2] <= 2 * counts[1] <= 4 * counts[0], counts
    assert counts[2] <= 80 * NODE_CALLS


def test_a_list_twice_as_long_takes_twice_the_calls() -> None:
    counts = [tree_calls(f"words: [{', '.join(['x'] * size)}]", dict[str, list[str]]) for size in (100, 200, 400)]
    assert counts[2] <= 2 * counts[1] <= 4 * counts[0], counts
    assert counts[2] <= 400 * NODE_CALLS


def configuration(folder: Path, size: int) -> Path:
    """A whole configuration in which each section has so many entries, and each entry as many names."""
    lines = ["types:"]
    for number in range(size):
        lines += [f"  T{number}:", "    attributes:", *[f"      a{one}: {{tags: [pii]}}" for one in range(4)]]
        lines += ["    match:", "      - name: one", "        equal: [a0, a1]", "        normalise: {a0: [casefold]}"]
    lines += ["tags:", "  pii: {}", "sources:"]
    for number in range(size):
        lines += [f"  s{number}: {{system: s{number}, type: T{number}, path: x.csv, id: id, attributes: {{a0: x, a1: y}}}}"]
    lines += ["contracts:"]
    for number in range(size):
        lines += [f"  c{number}: {{types: [T{number}], masks: {{pii: hash}}, attributes: [a0, a1]}}"]
    lines += ["targets:"]
    for number in range(size):
        lines += [f"  t{number}: {{kind: file, contract: c{number}, settings: {{path: out.jsonl}}}}"]
    file = folder / f"{size}.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_configuration_twice_as_large_takes_at_most_twice_the_calls(tmp_path: Path) -> None:
    small, large = (calls(lambda file=file: load(file, {})) for file in (configuration(tmp_path, n) for n in (10, 20)))
    assert large <= 2 * small
