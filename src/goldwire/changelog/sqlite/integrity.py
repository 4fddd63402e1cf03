"""Go through a whole store and name what is damaged in it: file, log, heads, control rows, ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from goldwire.changelog.checksums import control_checksum, log_checksum
from goldwire.changelog.ledger import unbalanced
from goldwire.changelog.ports.integrity import CheckProgress, Damage
from goldwire.changelog.sqlite import integrity_queries as query
from goldwire.changelog.sqlite.entities import SLOT_BITS, Part
from goldwire.changelog.sqlite.ledger import counted, recounted
from goldwire.changelog.sqlite.queries import CURSORS
from goldwire.changelog.sqlite.targets import known_target
from goldwire.errors import StoreCorruptError

PAGE = 500
"""How many rows are in memory at once."""

_SUM = "its checksum does not fit: it is not what was written"
_ENTITY_BITS = (1 << SLOT_BITS) - 1


class SqliteIntegrity(Part):
    """The part of the store that looks for damage."""

    def damages(self, progress: CheckProgress | None = None) -> Iterator[Damage]:
        """See `Integrity.damages`."""
        report = progress or _silent
        for part in (self._of_file, self._of_log, self._of_heads, self._of_controls, self._of_ledgers):
            try:
                yield from part(report)
            except StoreCorruptError as error:  # SQLite itself cannot read on
                yield Damage(part.__name__.removeprefix("_of_"), self._database.path, str(error))

    def damaged_row(self) -> Damage | None:
        """Return the first damaged row of the log or of the control table; None where all are whole."""
        return next(chain(self._of_log(_silent), self._of_controls(_silent)), None)

    def _of_file(self, report: CheckProgress) -> Iterator[Damage]:
        report("file", 0, 1)
        with self._any_text():
            found = self._database.execute(query.INTEGRITY_CHECK).fetchall()
        for (text,) in found:
            if text != "ok":
                yield Damage("file", self._database.path, str(text))
        report("file", 1, 1)

    def _of_log(self, report: CheckProgress) -> Iterator[Damage]:
        database = self._database
        with database.reading():
            size = database.execute(query.LOG_ROWS).fetchone()[0]
        after, done = 0, 0
        while True:
            with self._any_text():
                page = database.execute(query.LOG_PAGE, (after, PAGE)).fetchall()
            for row in page:
                if row[0] != after + 1:
                    yield Damage("log", f"position {after + 1}", f"missing: the log goes on at position {row[0]}")
                after = row[0]
                if not _fits_log(row):
                    yield Damage("log", f"position {row[0]} (entity {row[1]}, version {row[3]})", _SUM)
            done += len(page)
            report("log", min(done, size), size)
            if len(page) < PAGE:
                return

    def _of_heads(self, report: CheckProgress) -> Iterator[Damage]:
        report("heads", 0, 1)
        with self._any_text():
            found = self._database.execute(query.WRONG_HEADS).fetchall()
        for entity_id, version, versions, newest in found:
            yield Damage(
                "heads", f"entity {entity_id}",
                f"its head is at version {version}, but its row there is another; the log has {versions} versions of it, the "
                f"newest is {newest}",
            )  # fmt: skip
        report("heads", 1, 1)

    def _of_controls(self, report: CheckProgress) -> Iterator[Damage]:
        database = self._database
        with database.reading():
            size = database.execute(query.CONTROL_ROWS).fetchone()[0]
            targets = dict(database.execute(query.TARGET_NAMES).fetchall())
        after, done = -1, 0
        while True:
            with self._any_text():
                page = database.execute(query.CONTROL_PAGE, (after, PAGE)).fetchall()
            for row in page:
                after = row[0]
                if control_checksum(row[:11]) != row[11]:
                    target, entity_no = targets.get(after >> SLOT_BITS, "?"), after & _ENTITY_BITS
                    entity_id = row[12] or f"number {entity_no}"
                    yield Damage("control", f"target {target}, entity {entity_id}", _SUM)
            done += len(page)
            report("control", min(done, size), size)
            if len(page) < PAGE:
                return

    def _of_ledgers(self, report: CheckProgress) -> Iterator[Damage]:
        database = self._database
        with database.reading():
            names = [row[0] for row in database.execute(CURSORS)]
        for number, name in enumerate(names):
            report("ledger", number, len(names))
            try:
                with database.reading():  # both at one moment, while a relay settles
                    target = known_target(database, name)
                    counters, rows = counted(database, target), recounted(database, target)
            except StoreCorruptError as error:
                yield Damage("ledger", f"target {name}", str(error))
                continue
            if wrong := unbalanced(counters, rows):
                yield Damage("ledger", f"target {name}", wrong)
        report("ledger", len(names), len(names))

    @contextmanager
    def _any_text(self) -> Iterator[None]:
        """Read bytes that are no text anyway, since SQLite's error names no row; a checksum never fits them."""
        connection = self._database.connection
        before = connection.text_factory
        connection.text_factory = _readable
        try:
            with self._database.reading():
                yield
        finally:
            connection.text_factory = before


def _fits_log(row: tuple[Any, ...]) -> bool:
    try:
        return bool(log_checksum(row[:10], row[10]) == row[11])
    except TypeError:  # the entity's number is damaged too
        return False


def _readable(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _silent(_part: str, _done: int, _total: int) -> None:
    """Report nothing."""
