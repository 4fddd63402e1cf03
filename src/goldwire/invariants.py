"""Keeps invariants on: Goldwire checks them with assertions, which Python leaves out when it is asked to optimise."""

from __future__ import annotations

import sys

from goldwire.errors import ConfigError


def require_assertions() -> None:
    """Refuse a Python that leaves assertions out; every door calls this before it opens anything.

    Raises:
        ConfigError: this process was started with `-O`, or with PYTHONOPTIMIZE set.
    """
    if sys.flags.optimize:
        raise ConfigError(
            "this Python leaves assertions out, and Goldwire's invariants are assertions: start it without -O, and with "
            "PYTHONOPTIMIZE unset"
        )
