"""Packages that only some targets need: imported where used, and missed with the command that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from goldwire.errors import ConfigError
from goldwire.extras import install_command


def require(module: str, *, extra: str, used_by: str) -> ModuleType:
    """Import a module that one of Goldwire's extras brings.

    Args:
        module: dotted name, e.g. `psycopg`.
        extra: Goldwire's extra that installs it, e.g. `postgresql`.
        used_by: what needs it, as the error shall name it, e.g. `target 'warehouse'`.

    Raises:
        ConfigError: it is not installed; the text holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        raise ConfigError(f"{used_by} needs the package {missing}, which is not installed: {install_command(extra)}") from error
