"""Values that say nothing, such as `N/A` or `unknown`: two records that share one are not one entity for that."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

WORDS = ("null", "n/a", "nan", "none", "unknown", "none@*", "test@*", "1900-01-01*")
"""What people and programs write where they have no value; `*` stands for anything. Part of what a match rule is: where this
changes, `goldwire apply` asks for a remaster."""

_MEANINGLESS = r"[\W_]*|[\W_]*0[0\W_]*"
"""Neither a letter nor a digit, or no digit but 0."""

_LETTERS = bytes(each for each in range(128) if chr(each).isalnum() and chr(each) != "0")


class Placeholders:
    """Recognises values that say nothing, quickly where a value says something: that is nearly always.

    Args:
        more: besides those that everybody writes; `*` stands for anything, case and blanks around do not count.
        defaults: whether those that everybody writes count, too.
    """

    def __init__(self, more: Iterable[str] = (), *, defaults: bool = True) -> None:
        words = [word.strip().casefold() for word in (*(WORDS if defaults else ()), *more)]
        found = [".*".join(map(re.escape, word.split("*"))) for word in words]
        self._match = re.compile("|".join([*([_MEANINGLESS] if defaults else [r"\s*"]), *found]), re.DOTALL).fullmatch
        first = "".join({word[:1] for word in words})
        self.clear: bytes = b"" if "*" in first or not first.isascii() else _without(first)
        """Letters and digits that no placeholder begins with: a text that begins with one says something, whatever follows."""

    def holds(self, value: bytes) -> bool:
        """Return whether a value says nothing.

        Args:
            value: canonical JSON bytes; anything but a text is compared as its JSON.
        """
        is_text = value[:1] == b'"'
        if value[is_text : is_text + 1] in self.clear:
            return False
        text = msgspec.json.decode(value, type=str) if is_text else value.decode()
        return self._match(text.strip().casefold()) is not None


def _without(first: str) -> bytes:
    """Letters and digits that no placeholder begins with, in either case."""
    may_be = (first.lower() + first.upper()).encode()
    return bytes(each for each in _LETTERS if each not in may_be)
