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

_TEXT = [chr(each) for each in range(33, 127) if chr(each) not in '"\\']
_SPEAKING = frozenset(
    (one + other).encode() for one in _TEXT for other in _TEXT if any(each.isalnum() and each != "0" for each in (one, other))
)
"""Two first characters after which a text is no placeholder, as long as none begins with them."""


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
        self.clear = _SPEAKING.difference(*map(_beginnings, words))
        """Two first characters of a text that says something, whatever follows: a call of `holds` can be saved."""

    def holds(self, value: bytes) -> bool:
        """Return whether a value says nothing.

        Args:
            value: canonical JSON bytes; anything but a text is compared as its JSON.
        """
        is_text = value[:1] == b'"'
        if is_text and value[1:3] in self.clear:
            return False
        text = msgspec.json.decode(value, type=str) if is_text else value.decode()
        return self._match(text.strip().casefold()) is not None


def _beginnings(word: str) -> set[bytes]:
    """Return the first two characters that a text may have which a placeholder matches."""
    ones = _TEXT if word[:1] in ("", "*") or not word[0].isascii() else [word[0], word[0].upper()]
    fits_any = len(word) < 2 or "*" in word[:2] or not word[:2].isascii()  # noqa: PLR2004 - as many as are looked at
    others = _TEXT if fits_any else [word[1], word[1].upper()]
    return {(one + other).encode() for one in ones for other in others}
