"""Every error Goldwire raises, sorted by what its reader does next."""

from __future__ import annotations


class GoldwireError(Exception):
    """Base of all: the text names the thing at fault and the fix, and never holds a secret or a masked value.

    Attributes:
        exit_code: what the command line exits with when this error ends a command.
    """

    exit_code = 1


class ConfigError(GoldwireError):
    """The configuration is wrong: mend `goldwire.yaml` at the place named."""

    exit_code = 2


class ContractError(ConfigError):
    """A contract cannot be compiled, or would let a classified attribute reach a target without clearance."""


class InputError(GoldwireError):
    """A file or a value given to a command is unusable as a whole: mend the input. Single bad rows are only rejected."""

    exit_code = 3


class StoreBusyError(GoldwireError):
    """Another process holds the store or the target: wait for it, or stop it, then repeat the command."""

    exit_code = 4


class StoreFullError(GoldwireError):
    """The disk or the database has no room: free some; nothing was committed, nothing is lost."""

    exit_code = 5


class StoreCorruptError(GoldwireError):
    """The store's own rows contradict one another: restore a copy; do not go on writing."""

    exit_code = 6


class TargetStoppedError(GoldwireError):
    """A target was stopped, by the dead-letter cap or by hand: read the reason, mend it, then `goldwire resume`."""

    exit_code = 7


class FencedError(GoldwireError):
    """A newer relay took this target over: this one must stop; nothing it has in flight may be settled."""

    exit_code = 8


class VerificationError(GoldwireError):
    """A chain, a hash or a ledger does not hold: what was claimed is not so."""

    exit_code = 9
