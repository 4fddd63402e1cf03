"""Writes log lines to standard error, for people or as one JSON object a line."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_ONLY_FOR_MACHINES = frozenset(("bytes", "correlation_id", "entity_type", "event_type"))
_OF_ONE_ITEM = frozenset(("entity", "version"))


def set_up_logs(log_format: Literal["console", "json"], least_level: str) -> None:
    """Send Goldwire's log lines to standard error.

    Args:
        log_format: for people, or one JSON object a line.
        least_level: lines below it are left out: `debug`, `info`, `warning` or `error`.
    """
    level = logging.getLevelNamesMapping()[least_level.upper()]
    logging.getLogger("goldwire").setLevel(level)
    last: Processor
    times = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shaped: list[Processor] = []
    if log_format == "json":
        last = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        times = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%SZ", utc=True)
        shaped = [_for_people]
        last = structlog.dev.ConsoleRenderer(0, colors=sys.stderr.isatty(), sort_keys=False, pad_level=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            times,
            structlog.processors.format_exc_info,
            *shaped,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _for_people(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """Keep what fits on a line: the target comes first, and a report of several items names none of them."""
    several = fields.get("items", 1) != 1
    kept = {name: value for name, value in fields.items() if name not in _ONLY_FOR_MACHINES}
    return {
        **({"target": kept.pop("target")} if "target" in kept else {}),
        **{name: value for name, value in kept.items() if not (several and name in _OF_ONE_ITEM)},
    }
