"""Keeps the loggers of the database libraries from printing what they quote of rows."""

from __future__ import annotations

import logging

LIBRARIES = ("sqlalchemy", "psycopg", "pymysql")


def silence() -> None:
    """Let nothing that these libraries log reach a handler of the process.

    Without a handler of its own, Python prints warnings to standard error; a driver's warning holds the server's message, and
    that holds the whole row that was refused. A handler that a program adds to one of these loggers by itself still gets them.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            logger.addHandler(logging.NullHandler())
