"""Replays on SQLite: their records, and what a target was sent of an entity's past."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from goldwire.changelog.replays import Fate, Past, Replay
from goldwire.changelog.rows import DELIVERED, FILTERED
from goldwire.changelog.rules import fence
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite import replay_queries as replay_query
from goldwire.changelog.sqlite.entities import Part
from goldwire.changelog.sqlite.log import SCAN_LIMIT
from goldwire.changelog.sqlite.log_rows import log_rows
from goldwire.changelog.sqlite.targets import controls_of, find_target, known_target
from goldwire.changelog.sqlite.work_queries import REPLAYS
from goldwire.changelog.sqlite.work_records import REPLAY_RECORDS, encode_record
from goldwire.clock import timestamp

_ENDS = (DELIVERED, FILTERED)


class SqliteReplays(Part):
    """The part of the store that knows replays."""

    def add_replay(self, replay: Replay) -> None:
        """See `Replays.add_replay`."""
        database = self._database
        with database.writing("add_replay"):
            known_target(database, replay.target)
            database.execute(REPLAYS.insert, (replay.id, replay.target, replay.state, encode_record(replay)))

    def replays(self, target: str | None = None) -> list[Replay]:
        """See `Replays.replays`."""
        database = self._database
        with database.reading():
            rows = database.execute(*((REPLAYS.all,) if target is None else (REPLAYS.of_target, (target,))))
            return [REPLAY_RECORDS.read(database.path, *row) for row in rows]

    def open_replay(self, target: str) -> Replay | None:
        """See `Replays.open_replay`."""
        with self._database.reading():
            row = self._database.execute(REPLAYS.open, (target,)).fetchone()
        return None if row is None else REPLAY_RECORDS.read(self._database.path, *row)

    def save_replay(self, replay: Replay, epoch: int) -> bool:
        """See `Replays.save_replay`."""
        database = self._database
        with database.writing("save_replay"):
            fence(known_target(database, replay.target).cursor, epoch)
            changed = database.execute(REPLAYS.update, (replay.state, encode_record(replay), replay.id)).rowcount
        return changed == 1

    def cancel_replay(self, replay_id: str, now: float) -> Replay | None:
        """See `Replays.cancel_replay`."""
        database = self._database
        with database.writing("cancel_replay"):
            row = database.execute(REPLAYS.open_by_id, (replay_id,)).fetchone()
            if row is None:
                return None
            record = REPLAY_RECORDS.read(database.path, *row)
            ended = msgspec.structs.replace(record, state="cancelled", ended_at=timestamp(now), begun=(), waiting=())
            database.execute(REPLAYS.update, (ended.state, encode_record(ended), replay_id))
            return ended

    def first_rows(self, after: int, upto: int, above: int, limit: int) -> tuple[list[tuple[int, str]], int]:
        """See `Replays.first_rows`; one call looks at no more than `SCAN_LIMIT` positions."""
        upto = max(after, min(upto, after + SCAN_LIMIT))
        with self._database.reading():
            found = self._database.execute(replay_query.FIRST_ROWS, (after, upto, above, limit)).fetchall()
        return found, found[-1][0] if 0 < limit == len(found) else upto

    def pasts(self, target: str, entity_ids: Collection[str]) -> dict[str, Past]:
        """See `Replays.pasts`."""
        database = self._database
        with database.reading():
            known = find_target(database, target)
            numbers = self._numbers.of(entity_ids)
            if known is None or not numbers:
                return {}
            found = database.each(replay_query.PASTS, (known.no, known.no), numbers.values())
            fates: dict[str, list[Fate]] = {}
            erased: dict[str, int] = {}
            for row, (code, revision, settled) in zip(log_rows(database.path, found), (one[13:] for one in found), strict=True):
                mine = fates.setdefault(row.entity_id, [])
                if row.kind == "erased":
                    erased[row.entity_id] = row.version
                end = code if code is not None else settled[0] if settled else 0
                # What was sent again to another target ended as filtered here, and is no part of what this one was sent.
                if end in _ENDS and row.concerns(target):
                    mine.append(Fate(row, end, revision))
            controls = controls_of(database, known, numbers)
        return {entity_id: Past(mine, erased.get(entity_id, 0), controls.get(entity_id)) for entity_id, mine in fates.items()}

    def erased_since(self, entity_ids: Collection[str], after: int) -> set[str]:
        """See `Replays.erased_since`."""
        with self._database.reading():
            numbers = self._numbers.of(entity_ids).values()
            rows = log_rows(self._database.path, self._database.each(replay_query.SINCE, (after,), numbers))
        return {row.entity_id for row in rows if row.kind == "erased"}

    def position_before(self, moment: str) -> int:
        """See `Replays.position_before`: times never fall along positions, so halving finds it."""
        database = self._database
        execute = database.execute
        with database.reading():
            low, high = 0, int(execute(query.NEWEST_POSITION).fetchone()[0])
            while low < high:
                middle = (low + high + 1) // 2
                [row] = log_rows(database.path, execute(query.READ, (middle - 1, middle, 1)))
                if row.committed_at < moment:
                    low = middle
                else:
                    high = middle - 1
        return low
