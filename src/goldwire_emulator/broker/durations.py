"""ISO 8601 durations as Azure's entity settings use them: `PT1M`, `P14D`, `PT0.5S`."""

from __future__ import annotations

import re

_FORM = re.compile(
    r"P(?!$)(?:(?P<days>\d+)D)?(?:T(?!$)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,7})?)S)?)?"
)
_MILLISECONDS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}


def milliseconds(text: str) -> int:
    """Return how long a duration is.

    Args:
        text: days, hours, minutes and seconds; years and months are refused, since their length varies.

    Raises:
        ValueError: the text is no such duration.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no ISO 8601 duration of days, hours, minutes and seconds, such as PT1M")
    return round(sum(float(match[name]) * length for name, length in _MILLISECONDS.items() if match[name]))
