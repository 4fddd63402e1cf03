"""Turns the JSON text of a configuration into its types; reports what is wrong with line, column and field."""

from __future__ import annotations

import codecs
import json
import re
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml

from goldwire_emulator.errors import InputError

_T = TypeVar("_T")
_Path = tuple[str | int, ...]

_AT = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_COMMENT = re.compile(r"\s*(//|/\*)")
_CLOSING = re.compile(r"\s*[\]}]")
_WORD = re.compile(r"`((?:\w+ \| )*(?:int|str|float|bool|object|array|null))`")
_IN_WORDS = {
    "int": "a whole number", "str": "text", "float": "a number", "bool": "true or false", "object": "an object { }",
    "array": "a list [ ]",
}  # fmt: skip
_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value (.*)", re.DOTALL)


def typed(text: bytes | str, wanted: type[_T], name: str) -> _T:
    """Return what a JSON text says.

    Args:
        text: UTF-8; it may begin with the mark that editors on Windows write.
        wanted: a Struct.
        name: of the file, for the errors.

    Raises:
        InputError: it is no JSON, has a key twice, or is not of the type; the text begins with `name:line:column:`.
    """
    if isinstance(text, bytes):
        text = _decoded(text, name)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        said = error.msg[:1].lower() + error.msg[1:]
        raise InputError(f"{name}:{error.lineno}:{error.colno}: no valid JSON: {said}{_hint(text, error.pos)}") from None
    except RecursionError:
        raise InputError(f"{name}: no configuration is nested so deeply") from None
    tree = _composed(text)
    if tree is not None:
        _refuse_doubles(tree, (), name)
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        said, path = _explained(str(error), wanted)
        raise InputError(f"{name}{_location(tree, path)}: {_dotted(path)}{': ' if path else ''}{said}") from None


def _decoded(text: bytes, name: str) -> str:
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{name}: it is written in UTF-16; save it as UTF-8")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: it holds bytes that are no UTF-8; save it as UTF-8") from None


def _hint(text: str, position: int) -> str:
    """Return the fix of what JSON does not have and editors take."""
    rest, before = text[position:], text[:position].rstrip()
    if _COMMENT.match(rest):
        return "; remove the comment, which JSON does not have"
    if _CLOSING.match(rest if before.endswith(",") else rest.removeprefix(",") if rest.startswith(",") else ""):
        return "; remove the comma before the closing bracket"
    if rest.startswith("'"):
        return "; put texts into double quotes"
    return "" if rest.strip() else "; the file ends too early"


def _composed(text: str) -> yaml.Node | None:
    """Return the text as a tree that knows its lines: JSON is read as YAML, which takes no tabs. None where that fails."""
    try:
        node: yaml.Node | None = yaml.compose(text.replace("\t", " "), yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):  # the two differ in odd corners, and then the line is not known
        return None
    return node


def _refuse_doubles(node: yaml.Node, path: _Path, name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            here = (*path, key.value)
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if key.value in lines:
                raise InputError(
                    f"{name}:{line}:{column}: {_dotted(here)}: stands twice; first on line {lines[key.value]}. Merge the two"
                )
            lines[key.value] = line
            _refuse_doubles(value, here, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _refuse_doubles(value, (*path, number), name)


def _explained(said: str, wanted: type) -> tuple[str, _Path]:
    """Return msgspec's text without its path, with what would be right; and the path, to the field where one is at fault."""
    match = _AT.fullmatch(said)
    assert match is not None, "it takes any text"
    said, at = match[1], match[2] or ""
    path: _Path = tuple(field or int(number) for field, number in _STEP.findall(at))
    there = _type_at(wanted, path)
    if unknown := _FIELD.fullmatch(said):
        known = there.__struct_encode_fields__ if isinstance(there, type) and issubclass(there, msgspec.Struct) else ()
        near = get_close_matches(unknown[1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"there is no such setting; {hint}", (*path, unknown[1])
    if (bad := _ENUM.fullmatch(said)) and get_origin(there) is Literal:
        return f"expected {' or '.join(repr(each) for each in get_args(there))}, found {bad[1]}", path
    said = _WORD.sub(lambda match: " or ".join(_IN_WORDS.get(word, word) for word in match[1].split(" | ")), said)
    return said[:1].lower() + said[1:].replace(", got ", ", found "), path


def _type_at(wanted: Any, path: _Path) -> Any:
    """Return the type of what stands at a path, without None; None: it has none of its own."""
    for step in path:
        if isinstance(step, int):
            wanted = next(iter(get_args(wanted)), None)
        elif isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            names = dict(zip(wanted.__struct_encode_fields__, wanted.__struct_fields__, strict=True))
            wanted = get_type_hints(wanted).get(names.get(step, ""))
        else:
            return None
        if type(None) in get_args(wanted):
            wanted = get_args(wanted)[0]
    return wanted


def _location(node: yaml.Node | None, path: _Path) -> str:
    """Return `:line:column` of a field's key or a list's item, as far down as the text has the path; empty: not known."""
    if node is None:
        return ""
    mark = node.start_mark
    for step in path:
        if isinstance(step, int) and isinstance(node, yaml.SequenceNode) and step < len(node.value):
            node = node.value[step]
            mark = node.start_mark
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == step), None)
        if found is None:
            break
        mark, node = found[0].start_mark, found[1]
    return f":{mark.line + 1}:{mark.column + 1}"


def _dotted(path: _Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
