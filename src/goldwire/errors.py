"""Every error Goldwire raises, sorted by what its reader does next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_LISTED_NAMES = 12
"""More known names than this are not listed."""


class GoldwireError(Exception):
    """Base of all: the text names the thing at fault and the fix, and never holds a secret or a masked value."""


class ConfigError(GoldwireError):
    """The configuration is wrong: mend `goldwire.yaml` at the location named."""


class ConfigMissingError(ConfigError):
    """The file of the configuration is not there: name one that is, or let `goldwire init` write one.

    Args:
        file: where it should be.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file}: no such file; name one that is there, or let `goldwire init` write one")
        self.file = file


class ContractError(ConfigError):
    """A contract cannot be compiled, or would let a classified attribute reach a target without clearance."""


class InputError(GoldwireError):
    """A file or a value given to a command is unusable as a whole: mend the input. Single bad rows are only rejected."""


class StoreBusyError(GoldwireError):
    """Another process holds the store or the target: wait for it, or stop it, then repeat the command."""


class StoreFullError(GoldwireError):
    """The disk or the database has no room: free some; nothing was committed, nothing is lost."""


class StoreCorruptError(GoldwireError):
    """The store's own rows contradict one another: restore a copy; do not go on writing."""


class TargetStoppedError(GoldwireError):
    """A target was stopped, by the dead-letter cap or by hand: read the reason, mend it, then `goldwire resume`."""


class TargetRefusedError(TargetStoppedError):
    """A target says that it wants nothing more, for good: mend its address or remove it, then `goldwire resume`."""


class FencedError(GoldwireError):
    """A newer relay took this target over: this one must stop; nothing it has in flight may be settled."""


class VerificationError(GoldwireError):
    """A chain, a hash or a ledger does not hold: what was claimed is not so."""


class NotFoundError(GoldwireError):
    """What a command was asked for does not exist: an entity, a dead letter, a target."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, or else some of those that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not names:
        return ""
    more = ", …" if len(names) > _LISTED_NAMES else ""
    return f"; known are {', '.join(names[:_LISTED_NAMES])}{more}"


def stopped_text(target: str, reason: str) -> str:
    """Say why a target is stopped, and what lets it run again: the command that the reason names, else `goldwire resume`."""
    said = f"{target} is stopped: {reason}"
    if any(f"`goldwire {command} {target}" in reason for command in ("resume", "resync")):
        return said
    return f"{said}. Mend the cause, then `goldwire resume {target}`"
