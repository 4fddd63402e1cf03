"""Reads a YAML tree by the types of the settings; what does not fit is noted with its location."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec.structs import FieldInfo, fields
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from goldwire.annotations import described
from goldwire.config.problems import Location, Problems
from goldwire.config.yaml_nodes import Entry, describe, entries, foreign_tag, is_null, location_of, plain_scalar
from goldwire.errors import did_you_mean
from goldwire.setting_names import SettingPath

WRONG = msgspec.UNSET
"""Stands for a value that was refused; why is noted."""

NODE_LIMIT = 200_000
"""More values than this are no configuration but aliases that multiply."""

Choose = Callable[[type, list[Entry], SettingPath], dict[str, Any]]
"""Gives types for fields that depend on what stands beside them (a target's `settings` on its `kind`)."""

_REFERENCE = "${"
_WHOLE_REFERENCE = re.compile(r"\$\{[^}]*\}")
_STAND_IN = "\ue000"
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


class TypedReader:
    """Turns nodes into plain values, guided by type annotations that msgspec understands.

    Args:
        problems: where everything that is wrong is noted.
        choose: gives types that depend on neighbours.
    """

    def __init__(self, problems: Problems, choose: Choose | None = None) -> None:
        self.problems = problems
        self.locations: dict[SettingPath, Location] = {}
        """Where each value stands: its key, or itself in a list."""
        self._choose = choose
        self._open: set[int] = set()
        self._visited = 0

    def read(self, node: Node, wanted: Any, path: SettingPath = ()) -> Any:
        """Return a node as the plain value that `wanted` asks for, or WRONG."""
        self.locations.setdefault(path, location_of(node))
        with self._visit(node, path) as allowed:
            if not allowed:
                return WRONG
            return self._read(node, wanted, path)

    def _read(self, node: Node, wanted: Any, path: SettingPath) -> Any:
        extra = described(wanted).extra
        if extra.get("secret") and (bared := _bared(node, url=bool(extra.get("url")))) is not None:
            return self._refuse(bared, path, "a secret is never written here; refer to it as ${env:NAME} or ${file:PATH}")
        value = self._by_kind(node, described(wanted).bare, path)
        return value if value is WRONG else self._constrained(node, value, wanted, path)

    def _by_kind(self, node: Node, bare: Any, path: SettingPath) -> Any:
        origin = get_origin(bare)
        if origin in (Union, types.UnionType):
            return self._union(node, get_args(bare), path)
        if bare is Any:
            return self._any(node, path)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self._struct(node, bare, path)
        if origin is dict:
            return self._dict(node, get_args(bare), path)
        if origin in (tuple, list, set, frozenset):
            return self._list(node, get_args(bare)[0], path)
        return self._scalar(node, bare, path)

    def _struct(self, node: Node, wanted: type[msgspec.Struct], path: SettingPath) -> Any:
        if not isinstance(node, MappingNode) and not is_null(node):
            return self._refuse(node, path, f"expected settings ({_some_fields(wanted)}), found {describe(node)}")
        known = _fields(wanted)
        here_entries = list(entries(node, path, self.problems)) if isinstance(node, MappingNode) else []
        chosen = self._choose(wanted, here_entries, path) if self._choose else {}
        tag = wanted.__struct_config__.tag_field
        found: dict[str, Any] = {}
        sound = True
        for name, value_node, location in here_entries:
            here = (*path, name)
            self.locations[here] = location
            if name == tag:
                found[name] = self._scalar(value_node, str, here)
            elif name in known:
                found[name] = self.read(value_node, chosen.get(name, known[name].type), here)
            else:
                self.problems.add(location, here, f"unknown field{did_you_mean(name, known)}")
                sound = False
        for name, info in known.items():
            if info.required and name not in found:
                self.problems.add(self.locations[path], path, f"`{name}` is missing")
                sound = False
        return found if sound and not any(value is WRONG for value in found.values()) else WRONG

    def _dict(self, node: Node, wanted: tuple[Any, ...], path: SettingPath) -> Any:
        if is_null(node):
            return {}  # `targets:` with everything below it commented out
        if not isinstance(node, MappingNode):
            return self._refuse(node, path, f"expected names with settings below them, found {describe(node)}")
        found = {}
        for name, value_node, location in entries(node, path, self.problems):
            here = (*path, name)
            self.locations[here] = location
            found[name] = self.read(value_node, wanted[1], here)
            try:
                msgspec.convert(name, wanted[0])
            except msgspec.ValidationError:
                self.problems.add(location, here, f"the name does not fit{_pattern(wanted[0])}")
                found[name] = WRONG
        return WRONG if any(value is WRONG for value in found.values()) else found

    def _list(self, node: Node, wanted: Any, path: SettingPath) -> Any:
        if not isinstance(node, SequenceNode):
            return self._refuse(node, path, f"expected a list such as [a, b], found {describe(node)}")
        found = [self.read(item, wanted, (*path, f"[{index}]")) for index, item in enumerate(node.value)]
        return WRONG if any(value is WRONG for value in found) else found

    def _union(self, node: Node, options: tuple[Any, ...], path: SettingPath) -> Any:
        if is_null(node) and type(None) in options:
            return None
        fitting = [option for option in options if option is not type(None) and _could_be(node, option)]
        tagged = [option for option in fitting if _tag_matches(node, option)]
        fitting = tagged or fitting
        if len(fitting) == 1:
            return self._read(node, fitting[0], path)
        if isinstance(node, ScalarNode) and fitting:
            return self._first_scalar(node, fitting, path)
        known = [str(described(option).bare.__struct_config__.tag) for option in fitting]
        if known and isinstance(node, MappingNode):
            field = described(fitting[0]).bare.__struct_config__.tag_field
            return self._refuse(node, path, f"`{field}` must be one of {', '.join(known)}")
        return self._refuse(node, path, f"{describe(node)} does not fit here; expected {_expected(options)}")

    def _first_scalar(self, node: ScalarNode, fitting: list[Any], path: SettingPath) -> Any:
        # Text comes last: it accepts everything.
        for option in sorted(fitting, key=lambda option: described(option).bare is str):
            aside = TypedReader(Problems(self.problems.file))
            value = aside.read(node, option, path)
            if value is not WRONG:
                return value
        words = [word for option in fitting for word in _words(option)]
        hint = did_you_mean(str(node.value), words) if words else f"; expected {_expected(tuple(fitting))}"
        return self._refuse(node, path, f"{describe(node)} does not fit here{hint}")

    def _scalar(self, node: Node, wanted: Any, path: SettingPath) -> Any:
        if not isinstance(node, ScalarNode):
            return self._refuse(node, path, f"expected {_expected((wanted,))}, found {describe(node)}")
        if is_null(node) and wanted is not type(None):
            return self._refuse(node, path, f"expected {_expected((wanted,))}, found nothing")
        words = _words(wanted)
        if wanted is str or (words and str(node.value) in words):
            return str(node.value)  # `0123`, `no` and `2026-01-01` mean what they say where text is wanted
        if words:
            return self._refuse(node, path, f"not one of the words known here{did_you_mean(str(node.value), words)}")
        value = plain_scalar(node)
        try:
            return msgspec.to_builtins(msgspec.convert(value, wanted))
        except msgspec.ValidationError:
            hint = "; write true or false" if wanted is bool else ""
            return self._refuse(node, path, f"expected {_expected((wanted,))}, found {describe(node)}{hint}")

    def _any(self, node: Node, path: SettingPath) -> Any:
        if isinstance(node, MappingNode):
            return self._dict(node, (str, Any), path)
        if isinstance(node, SequenceNode):
            return self._list(node, Any, path)
        assert isinstance(node, ScalarNode), "YAML has no other nodes"
        return plain_scalar(node)

    def _constrained(self, node: Node, value: Any, wanted: Any, path: SettingPath) -> Any:
        """Refuse a value outside the limits of its type; what stands inside of it has been looked at already."""
        try:
            _check(value, wanted)
        except msgspec.ValidationError as error:
            text = str(error).partition(" - at `")[0]
            return self._refuse(node, path, text[:1].lower() + text[1:])
        return value

    def _refuse(self, node: Node, path: SettingPath, text: str) -> Any:
        self.problems.add(location_of(node), path, text)
        return WRONG

    @contextmanager
    def _visit(self, node: Node, path: SettingPath) -> Iterator[bool]:
        self._visited += 1
        tag = foreign_tag(node)
        if tag is not None:
            self._refuse(node, path, "a YAML tag is not used here; put a text that begins with `!` into quotes")
        elif id(node) in self._open:
            self._refuse(node, path, "an alias refers to the value it stands in")
        elif self._visited == NODE_LIMIT:
            self._refuse(node, path, f"more than {NODE_LIMIT:,} values; aliases multiply them")
        entered = tag is None and id(node) not in self._open and self._visited < NODE_LIMIT
        if entered:
            self._open.add(id(node))
        try:
            yield entered
        finally:
            if entered:
                self._open.discard(id(node))


def _bared(node: Node, *, url: bool) -> Node | None:
    """Return the part of a secret setting that is written out instead of referred to.

    Of a mapping or a list each value is a secret. An address is one only where it holds a password or a query, and then
    these must be references.
    """
    if isinstance(node, MappingNode | SequenceNode):
        parts = [part[1] if isinstance(node, MappingNode) else part for part in node.value]
        return next((bared for part in parts if (bared := _bared(part, url=url)) is not None), None)
    text = str(node.value).replace("$${", "")
    if is_null(node):
        return None
    if url:
        return None if _is_open_address(_WHOLE_REFERENCE.sub(_STAND_IN, text)) else node
    return None if _REFERENCE in text else node


def _is_open_address(text: str) -> bool:
    """Say whether an address, with a stand-in for each reference, holds nothing else that may be secret."""
    try:
        parts = urlsplit(text)
        values = [value for _, value in parse_qsl(parts.query)]
    except ValueError:
        return False
    if "@" in text and "@" not in parts.netloc and ":" in parts.netloc:
        return False  # a password with a `/` or a `#` that is not percent-encoded: the host seems to end inside it
    token = parts.username if parts.scheme.startswith("http") and not parts.password else None
    query = [parts.query] if parts.query and not values else values
    return not any((part or "").strip(_STAND_IN) for part in (parts.password, token, *query))


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """Return a struct's fields by name; msgspec evaluates their annotations each time that it is asked."""
    return {info.encode_name: info for info in fields(struct)}


def _check(value: Any, wanted: Any) -> None:
    """Check a value against the limits of its type, without walking through what was checked before.

    Raises:
        msgspec.ValidationError: it lies outside.
    """
    bare, lengths = described(wanted).bare, described(wanted).lengths
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        # Only a struct with a check of its own needs to be made. What a reference becomes is checked once it is resolved.
        if hasattr(bare, "__post_init__") and not _holds_reference(value):
            msgspec.convert(value, wanted)
    elif not isinstance(value, dict | list):
        if not _holds_reference(value):
            msgspec.convert(value, wanted)
    elif lengths:
        limited: Any = Annotated
        shape = dict[str, None] if isinstance(value, dict) else list[None]
        hollow: Any = dict.fromkeys(value) if isinstance(value, dict) else [None] * len(value)
        msgspec.convert(hollow, limited[(shape, *lengths)])


def _holds_reference(value: Any) -> bool:
    if isinstance(value, str):
        return _REFERENCE in value
    if isinstance(value, dict):
        return any(_holds_reference(item) for item in value.values())
    return isinstance(value, list) and any(_holds_reference(item) for item in value)


def _could_be(node: Node, option: Any) -> bool:
    bare = described(option).bare
    origin = get_origin(bare)
    if isinstance(node, MappingNode):
        return origin is dict or (isinstance(bare, type) and issubclass(bare, msgspec.Struct))
    if isinstance(node, SequenceNode):
        return origin in (tuple, list, set, frozenset)
    return origin is Literal or bare in (str, int, float, bool)


def _tag_matches(node: Node, option: Any) -> bool:
    bare = described(option).bare
    if not (isinstance(node, MappingNode) and isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return False
    config = bare.__struct_config__
    return any(
        getattr(key, "value", None) == config.tag_field and getattr(value, "value", None) == config.tag
        for key, value in node.value
    )


def _words(wanted: Any) -> list[str]:
    bare = described(wanted).bare
    return [str(word) for word in get_args(bare)] if get_origin(bare) is Literal else []


def _expected(options: tuple[Any, ...]) -> str:
    said = []
    for option in options:
        bare = described(option).bare
        words = _words(bare)
        if words:
            said.append(", ".join(words))
        elif get_origin(bare) in (tuple, list, set, frozenset):
            said.append("a list")
        elif bare is not type(None):
            said.append(_NAMES.get(bare, "a mapping"))
    return " or ".join(said)


def _pattern(wanted: Any) -> str:
    for meta in getattr(wanted, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return f": {meta.description}"
    return ""


def _some_fields(wanted: type[msgspec.Struct]) -> str:
    names = [info.encode_name for info in fields(wanted)]
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")  # noqa: PLR2004 - a taste, no list
