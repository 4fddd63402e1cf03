"""Checks that one event is what its hash says: the definition in wire.md, computed the slow and independent way.

It shares no code with sealing: it parses the text, writes it in RFC 8785 form without `hash`, and hashes that.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from goldwire.canonical import NotPlainError, canonical
from goldwire.event.envelope import Header, read_header

_ABOVE = -8
"""Where to begin to count depth: a value as deep as may be captured stands a few levels down in its event."""


_QUOTED = re.compile(r"""Invalid enum value ('.*'|".*")""", re.DOTALL)


class UnreadableError(ValueError):
    """A text is no event; the error says why and shows no value."""


def read(text: bytes) -> tuple[Header, bool]:
    """Read one event.

    Args:
        text: JSON, UTF-8, in any spacing and order of members.

    Returns:
        its header, and whether its hash holds.

    Raises:
        UnreadableError: no JSON, no event, a member twice, or a number that JSON readers disagree on.
    """
    try:
        header = read_header(text)
        event, whole = _parse(text)
        if whole != text:
            _refuse_twice(text)
        event.pop("hash")
        plain = canonical(event, depth=_ABOVE)
    except NotPlainError as error:
        raise UnreadableError(f"no canonical form: {error}") from error
    except msgspec.ValidationError as error:
        raise UnreadableError(f"no event: {_without_values(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise UnreadableError(str(error) if isinstance(error, UnreadableError) else "no JSON in UTF-8") from error
    return header, header.hash == "sha256:" + sha256(plain).hexdigest()


def _parse(text: bytes) -> tuple[dict[str, Any], bytes]:
    """Return an event with its canonical form; its numbers are doubles, also where they are written like large integers."""
    event = orjson.loads(text)
    try:
        return event, canonical(event, depth=_ABOVE)
    except NotPlainError:
        event = json.loads(text, parse_int=float)
        return event, canonical(event, depth=_ABOVE)


def _without_values(text: str) -> str:
    """Return what a decoder says, without the word that it quotes from the line."""
    return _QUOTED.sub("a word that is not known here", text)


def _refuse_twice(text: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise UnreadableError("a member stands twice, so that readers see different events")

    json.loads(text, object_pairs_hook=check)
