"""Go through a whole store and name what is damaged or missing, from the file and the log to the ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from goldwire.changelog.checksums import control_checksum, log_checksum, record_checksum
from goldwire.changelog.ledger import unbalanced
from goldwire.changelog.ports.integrity import CheckProgress, Damage
from goldwire.changelog.rows import DELIVERED
from goldwire.changelog.sqlite import integrity_queries as query
from goldwire.changelog.sqlite.entities import SLOT_BITS, Part, slot
from goldwire.changelog.sqlite.ledger import counted, recounted
from goldwire.changelog.sqlite.queries import CURSORS
from goldwire.changelog.sqlite.targets import known_target
from goldwire.changelog.sqlite.work_queries import REPLAYS, RESYNCS, WorkStatements
from goldwire.changelog.sqlite.work_records import REPLAY_RECORDS, RESYNC_RECORDS, WorkRecords
from goldwire.errors import StoreCorruptError

PAGE = 500
"""How many rows are in memory at once."""

SETTLEMENTS = 20
"""How many settlements are looked at in one transaction."""

_SUM = "its checksum does not fit: it is not what was written"
_ENTITY_BITS = (1 << SLOT_BITS) - 1


class SqliteIntegrity(Part):
    """The part of the store that looks for damage."""

    def damages(self, progress: CheckProgress | None = None) -> Iterator[Damage]:
        """See `Integrity.damages`."""
        report = progress or _silent
        parts = (
            self._of_file,
            self._of_log,
            self._of_heads,
            self._of_control,
            self._of_records,
            self._of_delivered,
            self._of_numbers,
            self._of_replays,
            self._of_resyncs,
            self._of_ledger,
        )
        for part in parts:
            try:
                yield from part(report)
            except StoreCorruptError as error:  # SQLite itself cannot read on
                yield Damage(part.__name__.removeprefix("_of_"), self._database.path, str(error))

    def damaged_row(self) -> Damage | None:
        """Return the first damaged row of the log, the control table or the records; None where all are whole."""
        return next(chain(self._of_log(_silent), self._of_control(_silent), self._of_records(_silent)), None)

    def records_without_checksum(self) -> int:
        """See `Integrity.records_without_checksum`."""
        with self._database.reading():
            return int(self._database.execute(query.RECORDS_WITHOUT_CHECKSUM).fetchone()[0])

    def _of_file(self, report: CheckProgress) -> Iterator[Damage]:
        report("file", 0, 0)
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
        report("heads", 0, 0)
        with self._any_text():
            found = self._database.execute(query.WRONG_HEADS).fetchall()
            headless = self._database.execute(query.HEADLESS).fetchall()
        for entity_id, seq in headless:
            yield Damage(
                "heads", f"entity {entity_id}", f"missing: the log has a version of it at position {seq}, and it has no head"
            )
        for entity_id, version, versions, newest in found:
            yield Damage(
                "heads", f"entity {entity_id}",
                f"its head is at version {version}, but its row there is another; the log has {versions} versions of it, the "
                f"newest is {newest}",
            )  # fmt: skip
        report("heads", 1, 1)

    def _of_control(self, report: CheckProgress) -> Iterator[Damage]:
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
                if _no_text(row[:11]) or control_checksum(row[:11]) != row[11]:
                    target, entity_no = targets.get(after >> SLOT_BITS, "?"), after & _ENTITY_BITS
                    entity_id = row[12] or f"number {entity_no}"
                    yield Damage("control", f"target {target}, entity {entity_id}", _SUM)
            done += len(page)
            report("control", min(done, size), size)
            if len(page) < PAGE:
                return

    def _of_records(self, report: CheckProgress) -> Iterator[Damage]:
        database = self._database
        with database.reading():
            size = database.execute(query.RECORD_ROWS).fetchone()[0]
        after, done = -1, 0
        while True:
            with self._any_text():
                page = database.execute(query.RECORD_PAGE, (after, PAGE)).fetchall()
            for row in page:
                after = row[0]
                where = f"record {row[1]}/{row[2]}"
                if _no_text(row[:7]):  # no read gets it, whether it has a checksum or not
                    yield Damage("records", where, "it holds bytes that are no text: it is not what was written")
                elif row[7] is not None and record_checksum(row[:7]) != row[7]:
                    yield Damage("records", where, _SUM)
            done += len(page)
            report("records", min(done, size), size)
            if len(page) < PAGE:
                return

    def _of_delivered(self, report: CheckProgress) -> Iterator[Damage]:
        """Look for control rows that are missing: what was delivered has one, of that version or a newer one."""
        database = self._database
        with database.reading():
            targets = database.execute(query.TARGET_NAMES).fetchall()
        for number, (target_no, name) in enumerate(targets):
            report("delivered", number, len(targets))
            missing: dict[str, tuple[int, int, int | None]] = {}
            for seq, entity_id, version, held in self._without_control(target_no):
                missing[entity_id] = (seq, version, held)
            for entity_id, (seq, version, held) in missing.items():
                what = "missing" if held is None else f"it is of version {held}"
                text = f"{what}, but version {version} was delivered at position {seq}"
                yield Damage("control", f"target {name}, entity {entity_id}", text)
        report("delivered", len(targets), len(targets))

    def _without_control(self, target_no: int) -> Iterator[tuple[int, str, int, int | None]]:
        database, lowest, after = self._database, slot(target_no), -1
        while True:
            with self._any_text():
                page = database.execute(query.SETTLEMENTS_AFTER, (target_no, after, SETTLEMENTS)).fetchall()
                found = []
                for begin, codes in page:
                    after = begin
                    if DELIVERED in codes:
                        stretch = database.execute(query.WITHOUT_CONTROL, (lowest, begin, begin + len(codes)))
                        found += [row for row in stretch if codes[row[0] - begin - 1] == DELIVERED]
            yield from found
            if len(page) < SETTLEMENTS:
                break
        with self._any_text():
            closed = database.execute(query.CLOSED_WITHOUT_CONTROL, (lowest, target_no, DELIVERED)).fetchall()
        yield from closed

    def _of_numbers(self, report: CheckProgress) -> Iterator[Damage]:
        for done, (name, statement) in enumerate(query.NUMBER_GAPS.items()):
            report("numbers", done, len(query.NUMBER_GAPS))
            with self._database.reading():
                count, newest = self._database.execute(statement).fetchone()
            if count != newest:
                yield Damage("numbers", name, f"there are {count:,} rows for the numbers 1 to {newest:,}, so some were deleted")
        report("numbers", len(query.NUMBER_GAPS), len(query.NUMBER_GAPS))

    def _of_replays(self, report: CheckProgress) -> Iterator[Damage]:
        yield from self._of_work(REPLAY_RECORDS, REPLAYS, report)

    def _of_resyncs(self, report: CheckProgress) -> Iterator[Damage]:
        yield from self._of_work(RESYNC_RECORDS, RESYNCS, report)

    def _of_work(self, records: WorkRecords[Any], statements: WorkStatements, report: CheckProgress) -> Iterator[Damage]:
        with self._any_text():
            found = self._database.execute(statements.all).fetchall()
        for record_id, record in found:
            try:
                records.read(self._database.path, record_id, record)
            except StoreCorruptError:
                yield Damage(
                    f"{records.word}s", f"{records.word} {record_id}", "its record cannot be read: it is not what was written"
                )
        report(f"{records.word}s", len(found), len(found))

    def _of_ledger(self, report: CheckProgress) -> Iterator[Damage]:
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
        """Read bytes that are no text anyway, since SQLite's error names no row; see `_no_text`."""
        connection = self._database.connection
        before = connection.text_factory
        connection.text_factory = _readable
        try:
            with self._database.reading():
                yield
        finally:
            connection.text_factory = before


def _fits_log(row: tuple[Any, ...]) -> bool:
    if _no_text(row[:10]):
        return False
    try:
        return bool(log_checksum(row[:11], row[11]) == row[12])
    except TypeError:  # the entity's number is damaged too
        return False


class _NoText(str):
    """What can be read of bytes that are no text."""

    __slots__ = ()


def _readable(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _NoText(raw.decode(errors="replace"))


def _no_text(row: tuple[Any, ...]) -> bool:
    """Say whether a column of text holds bytes that are none."""
    return any(type(value) is _NoText for value in row)


def _silent(_part: str, _done: int, _total: int) -> None:
    """Report nothing."""
