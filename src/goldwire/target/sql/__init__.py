"""Target kind `sql`: golden records as rows of one table in SQLite, PostgreSQL or MariaDB."""

from goldwire.target.sql.settings import ExternalIdKey, SqlSettings
from goldwire.target.sql.target import SqlTarget

__all__ = ["ExternalIdKey", "SqlSettings", "SqlTarget"]
