"""What a database's URL says without a connection: which table it leads to, and how long a name may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PORTS = {"postgresql": 5432, "mariadb": 3306}
_LOOPBACK = {"", "127.0.0.1", "::1", "localhost"}
_LIMITS: dict[str, tuple[int, str]] = {"postgresql": (63, "bytes"), "mariadb": (64, "characters")}


def family_of(url: str) -> str:
    """Return `sqlite`, `postgresql`, `mariadb`, or what else stands in front of the colon."""
    family = url.partition(":")[0].partition("+")[0].lower()
    return "mariadb" if family == "mysql" else family


def identifier_limit(url: str) -> tuple[int | None, str]:
    """Return how long the name of a table or a column may be, and in which unit; None: there is no limit."""
    return _LIMITS.get(family_of(url), (None, ""))


def destinations_of(plain: Mapping[str, Any]) -> list[str]:
    """Return the tables to which settings lead, spellings evened out; none where the URL cannot be read.

    Args:
        plain: the settings of a `sql` target by name.
    """
    tables = [plain["table"], *(one["table"] for group in ("tables", "edges") for one in plain[group].values())]
    found = (_destination(plain["url"], plain["schema"], table) for table in dict.fromkeys(tables) if table)
    return [one for one in found if one is not None]


def _destination(url: str, schema: str | None, table: str) -> str | None:
    family = family_of(url)
    if family == "sqlite":
        file = url.partition("///")[2].partition("?")[0]
        return f"sqlite:{Path(file).resolve()}:{(schema or 'main').casefold()}:{table.casefold()}"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").casefold(), parts.port or _PORTS.get(family)
    except ValueError:
        return None
    if "@" in url and "@" not in parts.netloc:
        return None
    host = "localhost" if host in _LOOPBACK else host
    database = parts.path.strip("/")
    schema = schema or ("public" if family == "postgresql" else database)
    return f"{family}:{host}:{port}:{database}:{schema}:{table}"
