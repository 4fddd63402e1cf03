"""Begins the log of a command that delivers: its lines, those of libraries, and its own remarks, all in one format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire.cli.output import write_remarks_as_json

if TYPE_CHECKING:
    from goldwire.config.model import LogConfig


def begin_log(log: LogConfig) -> None:
    """Send everything to standard error as `log:` of the configuration wants it."""
    from goldwire.observability.library_lines import take_over_libraries  # noqa: PLC0415 - slow to import
    from goldwire.observability.logs import set_up_logs  # noqa: PLC0415 - see above

    set_up_logs(log.format, log.level)
    take_over_libraries(log.format, log.level)
    if log.format == "json":
        write_remarks_as_json()
