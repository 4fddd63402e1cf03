"""Reads what the annotation of a setting says: its bare type, and what `msgspec.Meta` adds to it."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec


class Described(NamedTuple):
    """An annotation, taken apart. What stands further out wins over what stands inside of a union."""

    bare: Any
    """The type without metadata; of a union the union, whose options may have metadata of their own."""
    description: str
    examples: tuple[Any, ...]
    extra: dict[str, Any]
    """What a setting says beyond help and limits: `secret`, `url`, `advanced`, `path`. Not to be changed."""
    lengths: tuple[msgspec.Meta, ...]
    """What limits how long a value is; of the annotation itself, not of a union's options."""


@cache
def described(wanted: Any) -> Described:
    """Take an annotation apart.

    Args:
        wanted: as `msgspec.structs.fields` or `typing.get_type_hints` (with extras) returns it.
    """
    metas: list[msgspec.Meta] = []
    while get_origin(wanted) is Annotated:
        metas += [meta for meta in wanted.__metadata__ if isinstance(meta, msgspec.Meta)]
        wanted = get_args(wanted)[0]
    lengths = tuple(meta for meta in metas if meta.min_length is not None or meta.max_length is not None)
    found = [Described(wanted, meta.description or "", tuple(meta.examples or ()), meta.extra or {}, ()) for meta in metas]
    if get_origin(wanted) in (Union, types.UnionType):
        found += [described(option) for option in get_args(wanted)]
    extra: dict[str, Any] = {}
    for one in reversed(found):
        extra |= one.extra
    description = next((one.description for one in found if one.description), "")
    return Described(wanted, description, next((one.examples for one in found if one.examples), ()), extra, lengths)
