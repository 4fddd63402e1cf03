"""Names the command that installs what an adapter or a store needs: the packages themselves, wherever the kit is from."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shlex
from collections.abc import Iterator

_DISTRIBUTION = "goldwire-consumer"
_OF_EXTRA = re.compile(r"""\bextra\s*==\s*['"]([\w-]+)['"]""")


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Import inside of it what comes with an extra of this package.

    Args:
        name: of the extra.

    Raises:
        ModuleNotFoundError: it is not installed; it says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed: {install_command(name)}"
        raise ModuleNotFoundError(text, name=error.name) from error


def install_command(name: str) -> str:
    """Return what installs an extra's packages, e.g. `pip install 'confluent-kafka>=2.8'`.

    Args:
        name: of the extra; what it brings is read from the installed distribution.
    """
    listed = (line.partition(";") for line in importlib.metadata.requires(_DISTRIBUTION) or ())
    packages = [need.strip() for need, _, marker in listed if (found := _OF_EXTRA.search(marker)) and found[1] == name]
    return shlex.join(["pip", "install", *packages])
