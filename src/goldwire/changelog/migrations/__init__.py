"""The store's schema revisions, oldest first. Readable without Alembic, so that an up-to-date store opens fast.

Each file in `versions/` declares as its `effect` whether code of the schema before may still use the store (docs/adr/0043).
"""

from typing import Final

EXPANDS: Final = "expands"
"""Code of the schema before reads and writes the store rightly: a default or a trigger writes what it does not write."""

BREAKS: Final = "breaks"
"""Code of the schema before would read or write something wrong, so it is refused from then on."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""Every revision that this version of Goldwire knows, oldest first; a test compares it with the files in `versions/`."""

NEWEST = REVISIONS[-1]
