"""Decides which regular expressions of `matches()` run here: those that take time in proportion to the length of the text.

Python's engine goes back and tries again, so a hostile value could stop a relay with most patterns. A pattern that is anchored
at the start and has at most one unbounded repeat leaves it nothing to go back to. All others go to the package that compiles to
automata.
"""

from __future__ import annotations

import re

_BOUNDED_MAX = 64

_SAFE = re.compile(
    r"""
    \^
    (?P<atoms>(?:
        (?:[^\\^$.|?*+()\[\]{}] | \. | \\[d.\\/\-+*?^$|(){}\[\]] | \[\^?(?:[^\\\[\]^&~|]|\\[d.\\\-\]\[])+\])
        (?:[*+?]|\{[0-9]{1,2}(?:,(?:[0-9]{1,2})?)?\})?
    )*)
    (?P<end>\$?)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\.|\[\^?(?:[^\\\]]|\\.)+\]", re.DOTALL)
_UNBOUNDED = re.compile(r"[*+]|\{[0-9]+,\}")
_COUNTS = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")


def linear_pattern(pattern: str) -> re.Pattern[str] | None:
    """Compile a pattern if it is certainly harmless; otherwise return None."""
    safe = _SAFE.fullmatch(pattern)
    if safe is None:
        return None
    bare = _ESCAPED.sub("x", safe["atoms"])
    if len(_UNBOUNDED.findall(bare)) > 1:
        return None
    variable = _UNBOUNDED.findall(bare) + re.findall(r"\?|\{[0-9]+,[0-9]+\}", bare)
    if len(variable) > 2:  # noqa: PLR2004 - one unbounded repeat and one bounded one: at most 64 times the text
        return None
    if any(int(count or 0) > _BOUNDED_MAX for counts in _COUNTS.findall(bare) for count in counts):
        return None
    end = r"\Z" if safe["end"] else ""
    try:
        return re.compile(f"^{safe['atoms']}{end}", re.ASCII)
    except re.error:
        return None
