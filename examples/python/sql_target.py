"""A table that follows the golden records, in SQLite here and in PostgreSQL or MariaDB by another address."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from customers import configuration

from goldwire import Goldwire

warehouse = {
    "kind": "sql", "contract": "whole", "clearance": ["pii"],
    "settings": {
        "url": "sqlite:///warehouse.db", "table": "customer", "create_table": True,
        "columns": {"full_name": "name", "town": "city"},
    },
}  # fmt: skip

with Goldwire.open(configuration(targets={"warehouse": warehouse})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.ingest("billing")
    goldwire.run()

with closing(sqlite3.connect("warehouse.db")) as database:
    for name, town in database.execute("SELECT full_name, town FROM customer ORDER BY full_name"):
        print(f"{name}, {town}")
