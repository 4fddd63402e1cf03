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
import re
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
_TYPE_NAME = matchers.Call(func=matchers.OneOf(*map(matchers.Name, ("cast", "TypeVar"))))
_CALLABLE_ALIAS = matchers.Assign(value=matchers.Subscript(value=matchers.Name("Callable")))
_NEVER_READ = {"Column": {"comment"}, "Table": {"comment"}, "defstruct": {"gc"}}
"""By what is called, the arguments that change nothing: SQLite keeps no comments, and `gc` only spares the collector work."""
_ALSO_FALSE = {"nullable", "sqlite_with_rowid"}
"""Arguments of a column or a table that SQLAlchemy takes for False where they are None."""
_STATEMENT = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|PRAGMA|BEGIN|COMMIT|ROLLBACK|CREATE|DROP|ALTER)\b")


class _Unread(libcst.CSTVisitor):
    """Collects what no program reads.

    The literal texts of what is raised, logged or asserted and the comments of tables: people read them, so another letter
    breaks no promise. The types that `cast` and `TypeVar` name, and aliases of `Callable`: only a type checker reads them.
    """

    def __init__(self) -> None:
        self.nodes: set[libcst.CSTNode] = set()
        self._silent: set[libcst.CSTNode] = set()
        self._depth = 0

    def on_visit(self, node: libcst.CSTNode) -> bool:
        self._silent.update(_parts_unread(node))
        self._depth += self._speaks(node)
        if matchers.matches(node, _CALLABLE_ALIAS) or (self._depth and isinstance(node, libcst.SimpleString | libcst.Name)):
            self.nodes.add(node)
        return True

    def on_leave(self, original_node: libcst.CSTNode) -> None:
        self._depth -= self._speaks(original_node)

    def _speaks(self, node: libcst.CSTNode) -> bool:
        return node in self._silent


def _parts_unread(node: libcst.CSTNode) -> Iterator[libcst.CSTNode]:
    """The parts of a node in which no literal is read."""
    if isinstance(node, libcst.Raise) or matchers.matches(node, _LOG_CALL):
        yield from matchers.findall(node, matchers.SimpleString())
    if isinstance(node, libcst.Assert) and node.msg is not None:
        yield from matchers.findall(node.msg, matchers.SimpleString())
    if isinstance(node, libcst.Call) and matchers.matches(node, _TYPE_NAME):
        yield node.args[0]
    if isinstance(node, libcst.Call | libcst.ClassDef):
        arguments = node.args if isinstance(node, libcst.Call) else node.keywords
        unread = _NEVER_READ.get(_called(node), set()) if isinstance(node, libcst.Call) else {"gc"}
        yield from (each for each in arguments if each.keyword is not None and each.keyword.value in unread)


def _called(call: libcst.Call) -> str:
    """The last name of what is called."""
    function = call.func.attr if isinstance(call.func, libcst.Attribute) else call.func
    return function.value if isinstance(function, libcst.Name) else ""


def _same_call(before: libcst.CSTNode, after: libcst.CSTNode) -> bool:
    """Whether two calls differ in nothing that a program reads."""
    if not isinstance(before, libcst.Call) or not isinstance(after, libcst.Call):
        return False
    return before.func.deep_equals(after.func) and _read_of(before) == _read_of(after)


def _read_of(call: libcst.Call) -> list[tuple[str, str]]:
    """The arguments of a call as far as a program reads them, each with its keyword."""
    found = []
    for index, each in enumerate(call.args):
        keyword, value = each.keyword.value if each.keyword else "", libcst.Module([]).code_for_node(each.value)
        if keyword in _NEVER_READ.get(_called(call), ()):
            continue
        if index == 0 and matchers.matches(call, _TYPE_NAME):
            value = ""
        found.append((keyword, "False" if keyword in _ALSO_FALSE and value == "None" else value))
    return found


def _same_statement(file: Path, before: libcst.CSTNode, after: libcst.CSTNode) -> bool:
    """Whether two texts are one statement of SQLite, whose words are the same in upper and lower case but for quoted ones."""
    if (
        "changelog" not in file.parts
        or not isinstance(before, libcst.SimpleString)
        or not isinstance(after, libcst.SimpleString)
    ):
        return False
    text = before.raw_value
    statement = _STATEMENT.match(text.strip()) or (file.name.endswith("queries.py") and " " in text)
    return bool(statement) and not set("'\"") & set(text) and text.lower() == after.raw_value.lower()


def mutations(file: Path) -> Iterator[tuple[libcst.Module, Mutation]]:
    """Every mutation of a file that can change what a program does."""
    module, found, _, _ = create_mutations(str(file), file.read_text(encoding="utf-8"))
    unread = _Unread()
    module.visit(unread)
    for mutation in found:
        before, after = mutation.original_node, mutation.mutated_node
        if not (before in unread.nodes or _same_statement(file, before, after) or _same_call(before, after)):
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
