"""Applied contract revisions, and what else is kept as it was applied: settings, placements, rules, configurations."""

from __future__ import annotations

from msgspec import structs

from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import KeptDocument, Revision
from goldwire.changelog.sqlite import kept_queries as kept_query
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.kept_queries import KeptStatements
from goldwire.changelog.sqlite.resyncs import insert_resync
from goldwire.changelog.sqlite.targets import find_target
from goldwire.clock import timestamp


class SqliteDocuments(Part):
    """The part of the store that keeps what was applied."""

    def apply_revision(self, target: str, document: bytes, now: float, resync: Resync | None = None) -> Revision:
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
            if resync is not None:
                insert_resync(database, structs.replace(resync, revision=revision.revision), now)
            return revision

    def revisions(self, target: str) -> list[Revision]:
        """See `Store.revisions`."""
        with self._database.reading():
            return [Revision._make(row) for row in self._database.execute(query.REVISIONS, (target,))]

    def newest_revision(self, target: str) -> int:
        """See `Revisions.newest_revision`."""
        with self._database.reading():
            return int(self._database.execute(query.NEWEST_REVISION_NUMBER, (target,)).fetchone()[0])

    def keep_settings(self, target: str, document: bytes, now: float) -> int:
        """See `Revisions.keep_settings`."""
        return self._keep("keep_settings", kept_query.SETTINGS, (target,), document, now)

    def kept_settings(self, target: str) -> list[KeptDocument]:
        """See `Revisions.kept_settings`."""
        return self._kept(kept_query.SETTINGS, (target,))

    def reserve_placement(self, target: str, document: bytes, now: float) -> int:
        """See `Revisions.reserve_placement`."""
        return self._keep("reserve_placement", kept_query.PLACEMENTS, (target,), document, now)

    def placements(self, target: str) -> list[KeptDocument]:
        """See `Revisions.placements`."""
        return self._kept(kept_query.PLACEMENTS, (target,))

    def keep_mastering_rules(self, document: bytes, now: float) -> int:
        """See `Revisions.keep_mastering_rules`."""
        return self._keep("keep_mastering_rules", kept_query.MASTERING_RULES, (), document, now)

    def mastering_rules(self) -> list[KeptDocument]:
        """See `Revisions.mastering_rules`."""
        return self._kept(kept_query.MASTERING_RULES, ())

    def keep_configuration(self, document: bytes, now: float) -> int:
        """See `Revisions.keep_configuration`."""
        return self._keep("keep_configuration", kept_query.CONFIGURATIONS, (), document, now)

    def configurations(self) -> list[KeptDocument]:
        """See `Revisions.configurations`."""
        return self._kept(kept_query.CONFIGURATIONS, ())

    def _keep(self, step: str, table: KeptStatements, of: tuple[str, ...], document: bytes, now: float) -> int:
        database = self._database
        with database.reading():  # what is known must not wait for another writer
            newest = database.execute(table.newest, of).fetchone()
        if newest is not None and newest[1] == document:
            return int(newest[0])
        with database.writing(step):
            newest = database.execute(table.newest, of).fetchone()
            if newest is not None and newest[1] == document:
                return int(newest[0])
            number = 1 if newest is None else int(newest[0]) + 1
            database.execute(table.insert, (*of, number, timestamp(now), document))
            return number

    def _kept(self, table: KeptStatements, of: tuple[str, ...]) -> list[KeptDocument]:
        with self._database.reading():
            return [KeptDocument._make(row) for row in self._database.execute(table.all, of)]
