"""Settings as documentation: what each field of a settings struct means, wants and defaults to."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from goldwire.annotations import described

_WORDS = {int: "integer", float: "number", bool: "true or false", str: "text", Any: "any value"}


class Setting(msgspec.Struct, frozen=True):
    """One documented field."""

    name: str
    type: str
    default: str
    """As YAML, or `required`."""
    description: str
    examples: tuple[str, ...]
    secret: bool
    advanced: bool


def settings_of(struct: type[msgspec.Struct]) -> list[Setting]:
    """Return the fields of a settings struct, documented from their metadata or from the docstring below them."""
    docstrings = _docstrings(struct)
    found = []
    for info in fields(struct):
        about = described(info.type)
        found.append(
            Setting(
                name=info.encode_name,
                type=type_name(info.type),
                default=_default(info),
                description=about.description or docstrings.get(info.name, ""),
                examples=tuple(_yaml(example) for example in about.examples),
                secret=bool(about.extra.get("secret")),
                advanced=bool(about.extra.get("advanced")),
            )
        )
    return found


def structs_in(wanted: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that an annotation mentions, without looking inside them."""
    bare = described(wanted).bare
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        yield bare
    elif get_origin(bare) is not Literal:
        for part in get_args(bare):
            yield from structs_in(part)


def type_name(wanted: Any) -> str:
    """Say in words what an annotation accepts."""
    bare = described(wanted).bare
    origin = get_origin(bare)
    if origin is Literal:
        return " or ".join(f"`{word}`" for word in get_args(bare))
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(part) for part in get_args(bare) if part is not type(None))
    if origin is dict:
        return f"names, each with {type_name(get_args(bare)[1])}"
    if origin in (tuple, list, set, frozenset):
        return f"list of {type_name(get_args(bare)[0])}"
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return f"[{bare.__name__}](#{bare.__name__.lower()})"
    return _WORDS.get(bare, getattr(bare, "__name__", str(bare)))


def _default(info: FieldInfo) -> str:
    if info.required:
        return "required"
    value = info.default_factory() if info.default is msgspec.NODEFAULT else info.default
    return _yaml(msgspec.to_builtins(value))


def _yaml(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict) and not value:
        return "{}"
    return value if isinstance(value, str) and value else msgspec.json.encode(value).decode()


@cache
def _docstrings(struct: type) -> dict[str, str]:
    """Return the texts that stand as string literals below the fields."""
    found: dict[str, str] = {}
    for cls in reversed(struct.__mro__[:-2]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        except (OSError, TypeError):
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                text = below.value.value if isinstance(below.value, ast.Constant) else None
                if isinstance(text, str):
                    found[field.target.id] = " ".join(text.split())
    return found
