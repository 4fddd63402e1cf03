"""YAML as a tree that remembers its lines, and in which a scalar is its text until a type asks for more.

YAML 1.1 turns `no` into false, `0123` into 83 and `2026-01-01` into a date. None of this happens here: the
reader of a value knows which type it wants, and where any type is welcome JSON's rules decide (`plain_scalar`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from goldwire.config.problems import Location, Problems
from goldwire.setting_names import SettingPath

_TAGS = {BaseResolver.DEFAULT_SCALAR_TAG, BaseResolver.DEFAULT_SEQUENCE_TAG, BaseResolver.DEFAULT_MAPPING_TAG}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")
_NULLS = {"", "~", "null"}
_NAMED = re.compile(r" '!?[\w!-]{2,}'")
"""The name of an alias, an anchor or a tag in a message of the YAML library: it may be a secret without quotes."""


Entry = tuple[str, Node, Location]
"""A key, its value, and where the key stands."""


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes and resolves nothing."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


def compose(text: str, problems: Problems) -> MappingNode | None:
    """Return the one mapping that a text holds; None, and a problem noted, where it holds none."""
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = Location(mark.line + 1, mark.column + 1) if mark else Location(1, 1)
        said = _NAMED.sub("", str(error.problem or error.context))
        problems.add(location, (), f"no valid YAML: {said}{_hint(text, location.line, said)}")
        return None
    except ReaderError as error:
        before = text[: error.position]
        location = Location(before.count("\n") + 1, error.position - before.rfind("\n"))
        problems.add(location, (), f"a control character (U+{error.character:04X}) cannot stand in YAML")
        return None
    if node is None:
        problems.add(Location(1, 1), (), "the file is empty; `goldwire init` writes one to start from")
        return None
    if not isinstance(node, MappingNode):
        problems.add(location_of(node), (), f"expected settings such as `store:`, found {describe(node)}")
        return None
    return node


def location_of(node: Node) -> Location:
    """Return where a node begins."""
    return Location(node.start_mark.line + 1, node.start_mark.column + 1)


def describe(node: Node) -> str:
    """Say what a node is, without its value."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if is_null(node):
        return "nothing"
    value = plain_scalar(node) if isinstance(node, ScalarNode) else None
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number"


def is_null(node: Node) -> bool:
    """Say whether a node is null, that is an unquoted `null`, `~` or nothing."""
    return isinstance(node, ScalarNode) and node.style is None and node.value in _NULLS


def plain_scalar(node: ScalarNode) -> Any:
    """Return a scalar by the rules of JSON; what JSON does not know (`no`, `0123`, a date) stays text."""
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _NULLS:
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _NUMBER.match(text) else text


def entries(node: MappingNode, path: SettingPath, problems: Problems) -> Iterator[Entry]:
    """Yield a mapping's keys, values and the keys' locations; note keys that stand twice.

    `<<` brings in what another mapping has and this one has not.
    """
    seen: dict[str, Location] = {}
    merged: list[MappingNode] = []
    for key, value in node.value:
        location = location_of(key)
        if not isinstance(key, ScalarNode):
            problems.add(location, path, f"a key must be text, not {describe(key)}")
            continue
        name = str(key.value)
        if name == "<<" and key.style is None:
            wanted = value.value if isinstance(value, SequenceNode) else [value]
            merged += [other for other in wanted if isinstance(other, MappingNode)]
            if not all(isinstance(other, MappingNode) for other in wanted):
                problems.add(location, (*path, name), "merges mappings only")
        elif name in seen:
            problems.add(location, (*path, name), f"stands twice; first on line {seen[name].line}. Rename or remove one")
        else:
            seen[name] = location
            yield name, value, location
    for other in merged:
        if other is node:
            problems.add(location_of(node), path, "an alias refers to the value it stands in")
            continue
        for name, value, location in entries(other, path, problems):
            if name not in seen:
                seen[name] = location
                yield name, value, location


def foreign_tag(node: Node) -> str | None:
    """Return a node's tag where it has one of its own (`!!python/name`, `!secret`)."""
    return None if node.tag in _TAGS else str(node.tag)


def _hint(text: str, line: int, said: str) -> str:
    if said == "found undefined alias":
        return "; put a text that begins with `*` into quotes"
    lines = text.splitlines()
    around = "\n".join(lines[max(line - 2, 0) : line])
    if "${" in around and "{" in around.replace("${", ""):
        return '; inside { } put a reference into quotes: "${env:NAME}"'
    if "\t" in around:
        return "; indent with spaces, not with tabs"
    return ""
