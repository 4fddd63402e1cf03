"""The store's schema revisions, oldest first. Readable without Alembic, so that an up-to-date store opens fast."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision that this version of Goldwire knows, oldest first; a test compares it with the files in `versions/`."""

NEWEST = REVISIONS[-1]
