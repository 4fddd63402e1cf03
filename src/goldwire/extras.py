"""Names the command that installs what an extra brings: the packages themselves, so that it works wherever Goldwire is from."""

from __future__ import annotations

import importlib.metadata
import re
import shlex

_DISTRIBUTION = "goldwire"
_OF_EXTRA = re.compile(r"""\bextra\s*==\s*['"]([\w-]+)['"]""")


def install_command(extra: str) -> str:
    """Return what installs an extra's packages, e.g. `pip install 'confluent-kafka>=2.8'`.

    Args:
        extra: of Goldwire's `pyproject.toml`; what it brings is read from the installed distribution.
    """
    listed = (line.partition(";") for line in importlib.metadata.requires(_DISTRIBUTION) or ())
    packages = [need.strip() for need, _, marker in listed if (found := _OF_EXTRA.search(marker)) and found[1] == extra]
    assert packages, f"there is no extra {extra}"
    return shlex.join(["pip", "install", *packages])
