"""Writes what libraries log, and what Python warns of, as lines of the log: where it comes from, and never its text.

The text is not Goldwire's own. A database driver quotes a whole row in it, which must not leave the store.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO

OWN = "goldwire"
"""Loggers whose names begin like this are Goldwire's; what they say holds no value."""

WITHHELD = "a library logged something; its text is withheld, since it may quote a record"


def take_over_libraries(log_format: Literal["console", "json"], least_level: str) -> None:
    """Have everything that the process logs and warns of written to standard error in the format of the log.

    Args:
        log_format: for people, or one JSON object a line.
        least_level: lines below it are left out, and of libraries also those below `warning`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(log_format))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[least_level.upper()]))

    def warned(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        del message, file, line
        fields = {"category": category.__name__, "where": f"{Path(filename).name}:{lineno}"}
        handler.acquire()
        try:
            handler.stream.write(_line(log_format, "warning", "Python warns of something in a library", fields) + "\n")
        finally:
            handler.release()

    warnings.showwarning = warned
    if log_format == "json":
        sys.excepthook = _crashed


class _Lines(logging.Formatter):
    def __init__(self, log_format: Literal["console", "json"]) -> None:
        super().__init__()
        self._log_format = log_format

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        own = record.name.split(".")[0].startswith(OWN)
        fields = {"logger": record.name, "where": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        return _line(self._log_format, record.levelname.lower(), record.getMessage() if own else WITHHELD, fields)


def _crashed(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Write what nothing foresaw as one line, with where it happened and without its text."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
    sys.stderr.write(
        _line("json", "error", "a defect of Goldwire ended the command", {"error": kind.__name__, "at": frames}) + "\n"
    )


def _line(log_format: Literal["console", "json"], level: str, event: str, fields: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    if log_format == "json":
        return json.dumps({"event": event, "level": level, "timestamp": now.isoformat(), **fields}, sort_keys=True)
    shown = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{now:%Y-%m-%d %H:%M:%SZ} [{level}] {event} {shown}"
