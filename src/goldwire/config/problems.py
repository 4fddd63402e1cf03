"""What is wrong with a configuration, each with its location, so that one error can report all."""

from __future__ import annotations

from typing import NamedTuple

from goldwire.errors import ConfigError
from goldwire.setting_names import SettingPath, dotted


class Location(NamedTuple):
    """Line and column of a value in its file, both from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing to mend. The text never holds a value that may be secret."""

    location: Location
    path: SettingPath
    text: str


class Problems:
    """Collects what is wrong with one file.

    Args:
        file: its name as the user gave it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[Problem, None] = {}  # in order, each once

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, location: Location, path: SettingPath, text: str) -> None:
        """Note one problem."""
        self._found[Problem(location, path, text)] = None

    def lines(self) -> list[str]:
        """Return them in the order of the file, e.g. `goldwire.yaml:17:5: targets.crm.kind: ...`."""
        return [
            f"{self.file}:{location.line}:{location.column}: {dotted(path)}{': ' if path else ''}{text}"
            for location, path, text in sorted(self._found)
        ]

    def raise_if_any(self) -> None:
        """Raise one error with all of them.

        Raises:
            ConfigError: something was noted.
        """
        if self._found:
            raise ConfigError("\n".join(self.lines()))
