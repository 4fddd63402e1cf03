"""Applied contract revisions and configuration documents."""

from __future__ import annotations

from goldwire.changelog.rows import Revision
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.targets import find_target
from goldwire.clock import timestamp


class SqliteDocuments(Part):
    """The part of the store that keeps what was applied."""

    def apply_revision(self, target: str, document: bytes, now: float) -> Revision:
        """See `Store.apply_revision`."""
        database = self._database
        with database.writing("apply_revision"):
            row = database.execute(query.NEWEST_REVISION, (target,)).fetchone()
            if row is not None and row[3] == document:
                return Revision._make(row)
            found = find_target(database, target)
            sent = 0 if found is None else found.cursor.reach
            revision = Revision(1 if row is None else row[0] + 1, sent, timestamp(now), document)
            database.execute(query.INSERT_REVISION, (target, *revision))
            return revision

    def revisions(self, target: str) -> list[Revision]:
        """See `Store.revisions`."""
        with self._database.reading():
            return [Revision._make(row) for row in self._database.execute(query.REVISIONS, (target,))]

    def newest_revision(self, target: str) -> int:
        """See `Revisions.newest_revision`."""
        with self._database.reading():
            return int(self._database.execute(query.NEWEST_REVISION_NUMBER, (target,)).fetchone()[0])

    def save_document(self, name: str, document: bytes, now: float) -> int:
        """See `Store.save_document`."""
        database = self._database
        with database.writing("save_document"):
            row = database.execute(query.NEWEST_DOCUMENT, (name,)).fetchone()
            if row is not None and row[1] == document:
                return int(row[0])
            number = 1 if row is None else row[0] + 1
            database.execute(query.INSERT_DOCUMENT, (name, number, timestamp(now), document))
            return int(number)

    def documents(self, name: str) -> list[tuple[int, str, bytes]]:
        """See `Store.documents`."""
        with self._database.reading():
            return self._database.execute(query.DOCUMENTS, (name,)).fetchall()
