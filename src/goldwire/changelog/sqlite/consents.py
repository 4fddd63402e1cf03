"""Consents: a person's yes to what a target's guards hold back, and what the guards are measured by."""

from __future__ import annotations

import msgspec

from goldwire.changelog.consents import Consent, Holdings
from goldwire.changelog.sqlite import consent_queries as query
from goldwire.changelog.sqlite.entities import Part, slot
from goldwire.changelog.sqlite.resyncs import release_held
from goldwire.changelog.sqlite.targets import find_target, known_target
from goldwire.errors import StoreCorruptError

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Consent)


class SqliteConsents(Part):
    """The part of the store that knows what was consented to."""

    def keep_consent(self, target: str, consent: Consent) -> None:
        """See `Consents.keep_consent`."""
        database = self._database
        with database.writing("keep_consent"):
            known_target(database, target)
            database.execute(query.SAVE_CONSENT, (target, _encode(consent)))
            release_held(database, target)

    def consent(self, target: str) -> Consent | None:
        """See `Consents.consent`."""
        database = self._database
        with database.reading():
            row = database.execute(query.CONSENT, (target,)).fetchone()
        if row is None:
            return None
        try:
            return _decoder.decode(row[0])
        except (msgspec.DecodeError, TypeError):
            raise StoreCorruptError(
                f"{database.path}: the consent of target {target} is not what was written; restore a copy of the store"
            ) from None

    def holdings(self, target: str, since: str, above: int) -> Holdings:
        """See `Consents.holdings`."""
        database = self._database
        with database.reading():
            found = find_target(database, target)
            if found is None:
                return Holdings(0, 0)
            row = database.execute(query.HOLDINGS, (since, above, slot(found.no), slot(found.no + 1))).fetchone()
            return Holdings(*row)
