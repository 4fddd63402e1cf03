"""Target kind `sql`: golden records as rows of tables in SQLite, PostgreSQL or MariaDB."""

from goldwire.targets.sql.settings import ExternalIdKey, SqlSettings
from goldwire.targets.sql.target import SqlTarget

__all__ = ["ExternalIdKey", "SqlSettings", "SqlTarget"]
