"""Who works on this machine, for records that say who asked for something."""

from __future__ import annotations

import getpass


def account() -> str:
    """Return the name of the account that the process runs under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "unknown"
