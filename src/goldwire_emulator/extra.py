"""Packages that only a part of the emulator needs: imported where used, and missed with the command that installs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from goldwire_emulator.errors import MissingPackageError


@contextlib.contextmanager
def needed(package: str, *, used_by: str) -> Iterator[None]:
    """Import inside of it what a part of the emulator needs.

    Args:
        package: as `pip install` takes it, e.g. `aiohttp`.
        used_by: the part, as the error shall name it, e.g. `--tls`.

    Raises:
        MissingPackageError: it is not installed; the text holds the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{used_by} needs the package {package}, which is not installed: pip install {package}"
        ) from error
