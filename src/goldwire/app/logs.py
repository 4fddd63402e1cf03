"""Where log lines go and how they look: standard error, for people or as one JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

from goldwire.app.config import LogConfig


def set_up_logs(config: LogConfig) -> None:
    """Send Goldwire's log lines to standard error.

    Args:
        config: format and least level.
    """
    level = logging.getLevelNamesMapping()[config.level.upper()]
    logging.getLogger("goldwire").setLevel(level)
    last: Processor
    if config.format == "json":
        last = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
