"""What the Python API takes: each check returns a value as it may be used, or names the parameter at fault and the fix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import asdict

from goldwire.errors import InputError
from goldwire.services.replay import ReplayRequest

T = TypeVar("T")

LARGEST = 2**63 - 1
"""The largest position that a store can hold."""


def text(name: str, value: object, *, empty: bool = False) -> str:
    """Return a text.

    Args:
        name: of the parameter; so in all these functions.
        value: what was given for it.
        empty: allow that it holds nothing.

    Raises:
        InputError: it is no text, is empty, or cannot be written as UTF-8; so in all these functions, each of its own type.
    """
    if not isinstance(value, str):
        raise _refused(name, "a str", value)
    if not value and not empty:
        raise InputError(f"`{name}` is empty; give a text that holds something")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"`{name}` holds half of a surrogate pair, which is no character; give whole characters") from None
    return value


def texts(name: str, values: Sequence[object]) -> list[str]:
    """Return the texts that were given one by one, such as the names of targets."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            raise _refused(name, "each name by itself", value, fix="; write `*names` to give the names that it holds")
    return [text(name, value) for value in values]


def number(name: str, value: object, *, least: int = 1) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
        raise _refused(name, f"a whole number of at least {least}", value)
    return value


def numbers(name: str, values: Sequence[object]) -> list[int]:
    """Return the whole numbers that were given one by one, such as positions."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            raise _refused(name, "each number by itself", value, fix=f"; write `*{name}` to give the numbers that it holds")
    return [number(name, value) for value in values]


def flag(name: str, value: object) -> bool:
    """Return a bool."""
    if not isinstance(value, bool):
        raise _refused(name, "True or False", value)
    return value


def callback(name: str, value: T) -> T:
    """Return a function, or None."""
    if value is not None and not callable(value):
        raise _refused(name, "a function or None", value)
    return value


def path(name: str, value: object) -> Path:
    """Return a path."""
    if not isinstance(value, str | os.PathLike):
        raise _refused(name, "a path: a str or a Path", value)
    plain = os.fspath(value)
    if not isinstance(plain, str):
        raise _refused(name, "a path of text", value)
    text(name, plain)
    if "\0" in plain:
        raise InputError(f"`{name}` holds a NUL character, which no path may; leave it out")
    return Path(plain)


def configuration_path(name: str, value: object) -> Path:
    """Return the path of a configuration, which may be given as a dict too."""
    if not isinstance(value, str | os.PathLike):
        raise _refused(name, "the path of a goldwire.yaml or a dict of what one holds", value)
    return path(name, value)


def paths(name: str, value: object) -> list[Path]:
    """Return the paths of one file or several; at least one."""
    if isinstance(value, str | os.PathLike):
        return [path(name, value)]
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise _refused(name, "a path or a list of paths", value)
    found = [path(name, one) for one in value]
    if not found:
        raise InputError(f"`{name}` names no file; give one at least")
    return found


def rows(name: str, value: object) -> list[Mapping[str, Any]]:
    """Return rows, each a mapping."""
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise _refused(name, "a list of dicts", value, fix="; write `[row]` for one row" if isinstance(value, Mapping) else "")
    found = list(value)
    for index, row in enumerate(found, 1):
        if not isinstance(row, Mapping):
            raise _refused(name, "a list of dicts", row, fix=f" as row {index}")
    return found


def replay_request(name: str, value: object) -> ReplayRequest:
    """Return what a replay is to repeat; all unless given."""
    if value is None:
        return ReplayRequest()
    if not isinstance(value, ReplayRequest):
        raise _refused(name, "a ReplayRequest", value)
    given = {field: one for field, one in asdict(value).items() if one is not None}
    entities = given.pop("entities", ())
    if not isinstance(entities, list | tuple):
        raise _refused("entities", "a tuple of names", entities, fix="; write `(name,)` for one entity")
    texts("entities", entities)
    for field in ("from_seq", "to_seq", "from_version", "to_version"):
        if field in given:  # `to_version` may be too small: the selection says what the oldest version is
            number(field, given.pop(field), least=0 if field == "to_version" else 1)
    for field, one in given.items():
        text(field, one)
    return value


def _refused(name: str, wanted: str, value: object, *, fix: str = "") -> InputError:
    """Return the error about a value; it shows a number, and of anything else the type alone."""
    if value is None or isinstance(value, bool):
        got = str(value)
    elif (isinstance(value, int) and abs(value) <= LARGEST) or (isinstance(value, float) and isfinite(value)):
        got = f"{value}"
    elif isinstance(value, int):
        got = "a number beyond 63 bits"
    else:
        got = f"a {type(value).__name__}"
    return InputError(f"`{name}` takes {wanted}, not {got}{fix}")
