"""Draws a random sample of mutants of the rooms with mutmut's operators, one JSON object a line; the first line is the head.

It runs in an environment of its own, `.venv-mutants`, since mutmut needs a pytest and a terminal interface of its own.
mutmut runs what it mutates itself, too, but mutates no code outside functions, and all the mutants of a file stand in one file
that every test sees; a sample of 22,000 needs neither. So only its operators are used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import libcst
from libcst import matchers
from mutmut.mutation.file_mutation import Mutation, create_mutations

ROOT = Path(__file__).parents[2]
ROOMS = (
    "goldwire/mastering",
    "goldwire/changelog",
    "goldwire/contract",
    "goldwire/event",
    "goldwire/relay",
    "goldwire_consumer",
)
_LOG_CALL = matchers.Call(
    func=matchers.Attribute(attr=matchers.OneOf(*map(matchers.Name, ("debug", "info", "warning", "error"))))
)


class _Wording(libcst.CSTVisitor):
    """Collects the literal texts of what is raised or logged: people read them, so another letter breaks no promise."""

    def __init__(self) -> None:
        self.texts: set[libcst.CSTNode] = set()
        self._depth = 0

    def on_visit(self, node: libcst.CSTNode) -> bool:
        self._depth += self._speaks(node)
        if self._depth and isinstance(node, libcst.SimpleString):
            self.texts.add(node)
        return True

    def on_leave(self, original_node: libcst.CSTNode) -> None:
        self._depth -= self._speaks(original_node)

    def _speaks(self, node: libcst.CSTNode) -> bool:
        return isinstance(node, libcst.Raise) or matchers.matches(node, _LOG_CALL)


def mutations(file: Path) -> Iterator[tuple[libcst.Module, Mutation]]:
    """Every mutation of a file that can change what a program does."""
    module, found, _, _ = create_mutations(str(file), file.read_text(encoding="utf-8"))
    wording = _Wording()
    module.visit(wording)
    for mutation in found:
        if mutation.original_node not in wording.texts:
            yield module, mutation


def changed_lines(before: str, after: str) -> tuple[int, int]:
    """The first and the last line of `before`, from 1, that `after` has otherwise."""
    shortest = min(len(before), len(after))
    head = next((index for index in range(shortest) if before[index] != after[index]), shortest)
    tail = next((index for index in range(shortest - head) if before[-1 - index] != after[-1 - index]), shortest - head)
    return before.count("\n", 0, head) + 1, before.count("\n", 0, max(head, len(before) - tail - 1)) + 1


def main() -> None:
    """Print the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sample", type=int, required=True)
    options = parser.parse_args()
    found: list[tuple[str, Path, libcst.Module, Mutation]] = []
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((ROOT / "src" / room).rglob("*.py")):
            digest.update(file.read_bytes())
            found += [(room, file, module, mutation) for module, mutation in mutations(file)]
    drawn = random.Random(options.seed).sample(range(len(found)), min(options.sample, len(found)))
    head = {"seed": options.seed, "of": len(found), "sources": digest.hexdigest()[:16]}
    sys.stdout.write(json.dumps(head) + "\n")
    for index in drawn:
        room, file, module, mutation = found[index]
        before = module.code
        after = libcst.ensure_type(module.deep_replace(mutation.original_node, mutation.mutated_node), libcst.Module).code
        first, last = changed_lines(before, after)
        mutant = {
            "id": index,
            "room": room,
            "file": str(file.relative_to(ROOT)),
            "first_line": first,
            "last_line": last,
            "source": after,
        }
        sys.stdout.write(json.dumps(mutant) + "\n")


if __name__ == "__main__":
    main()
