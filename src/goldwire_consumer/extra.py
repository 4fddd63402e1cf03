"""Names the command that installs what an adapter or a store needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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
        text = f'{error.name} is not installed: pip install "goldwire-consumer[{name}]"'
        raise ModuleNotFoundError(text, name=error.name) from error
