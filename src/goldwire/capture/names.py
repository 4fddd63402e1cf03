"""Finds an object that has a name twice: I-JSON forbids it, and decoders keep the last value and lose the one before."""

from __future__ import annotations

import json
import re
from typing import Any

NAME_TWICE = "an object has the same name twice; keep one of them"
"""The reason of the reject."""

_NAME = re.compile(rb'"([^"\\]*)"\s*:')
_ODD = re.compile(rb'\\|[,{]\s*"\s*:')
"""A name that could be written in two ways (`a` and `\\u0061`), or that begins with a colon and looks like the end of one."""


def has_name_twice(line: bytes) -> bool:
    """Say whether some object in a line has a name twice (RFC 7493, section 2.3).

    Most lines have each name once in all. Where a name comes again, perhaps in another object, or is written oddly, the
    function reads the line once more.

    Args:
        line: valid JSON.
    """
    names = _NAME.findall(line)
    if len(names) == len(set(names)) and _ODD.search(line) is None:
        return False
    twice = False

    def note(members: list[tuple[str, Any]]) -> None:
        nonlocal twice
        twice = twice or len({name for name, _ in members}) < len(members)

    json.loads(line, object_pairs_hook=note)
    return twice
