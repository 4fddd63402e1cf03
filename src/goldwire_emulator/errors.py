"""Every error that the emulator raises to its user, each with the exit code of its command: the same as Goldwire's."""

from __future__ import annotations

from typing import ClassVar


class EmulatorError(Exception):
    """Base of all: the text names the thing at fault and the fix."""

    exit_code: ClassVar[int] = 1


class MissingPackageError(EmulatorError):
    """A package is not installed that only a part of the emulator needs: install it."""

    exit_code = 2


class InputError(EmulatorError):
    """A file or a value given to the command is unusable: mend it."""

    exit_code = 3


class StoreBusyError(EmulatorError):
    """Another process has the data folder open: stop it, or give another folder."""

    exit_code = 4


class StoreCorruptError(EmulatorError):
    """The data folder's file was written by another version, or is damaged: restore a copy, or give another folder."""

    exit_code = 6
