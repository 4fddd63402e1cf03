"""Names in the configuration: the path of a setting, and a name in one section that another section has to declare.

A model, a contract and a whole configuration each list the names that they use (`NameUse`), once. What checks one of them goes
through its list and raises an error of its own kind; what is wrong with a name, and which one is near, is said here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from goldwire.errors import did_you_mean

SettingPath = tuple[str, ...]
"""The path of a value: keys from the top, an item of a list as `[3]`."""


def dotted(path: SettingPath) -> str:
    """Write a path as it is read aloud: `targets.crm.clearance[0]`."""
    return ".".join(path).replace(".[", "[")


class NameUse(NamedTuple):
    """One name, where it is used, and what it has to be the name of."""

    path: SettingPath
    name: str
    what: str
    """What is declared under such a name, e.g. `entity type`."""
    declared: Collection[str]
    """All names of that kind."""

    @property
    def is_declared(self) -> bool:
        """Whether there is something of this name."""
        return self.name in self.declared

    @property
    def hint(self) -> str:
        """The end of a sentence about a name that is not declared: the nearest one, or those that there are."""
        return did_you_mean(self.name, self.declared) or "; none is declared"

    @property
    def text(self) -> str:
        """What is wrong with a name that is not declared."""
        return f"{self.name} is no known {self.what}{self.hint}"


def uses_in_list(path: SettingPath, names: Iterable[str], what: str, declared: Collection[str]) -> Iterator[NameUse]:
    """Yield the uses in a list of names.

    Args:
        path: of the list.
        names: its items.
        what: what each is the name of.
        declared: all names of that kind.
    """
    return (NameUse((*path, f"[{index}]"), name, what, declared) for index, name in enumerate(names))


def undeclared(uses: Iterable[NameUse]) -> Iterator[NameUse]:
    """Yield the uses of names that are not declared."""
    return (use for use in uses if not use.is_declared)
