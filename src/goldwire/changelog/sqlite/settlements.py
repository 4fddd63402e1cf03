"""Settle: all that one chunk did to one target, checked against what is there and applied in one transaction."""

from __future__ import annotations

from goldwire.changelog.checksums import control_checksum
from goldwire.changelog.rows import Control, Settlement
from goldwire.changelog.rules import ENDS, check_settlement, contradiction, fence, ordered
from goldwire.changelog.sqlite import queries as query
from goldwire.changelog.sqlite.entities import Part, slot
from goldwire.changelog.sqlite.lane_rows import lanes_of, update_open
from goldwire.changelog.sqlite.targets import known_target


class SqliteSettlements(Part):
    """The part of the store that settles."""

    def settle(self, settlement: Settlement) -> None:
        """See `Store.settle`."""
        database = self._database
        with database.writing("settle"):
            cursor, number = known_target(database, settlement.target)
            fence(cursor, settlement.epoch)
            check_settlement(cursor, settlement)
            self._save_controls(settlement, number)
            database.checkpoint("settle:after-controls")
            self._save_codes(settlement, number)
            self._apply_open(settlement, number)
            database.checkpoint("settle:after-open")
            ended = [settlement.codes.count(code) for code in ENDS]
            for closing in settlement.closed:
                ended[ENDS.index(closing.code)] += 1
            database.execute(query.ADVANCE, (settlement.position_to, settlement.reach, *ended, settlement.stop, number))

    def _save_controls(self, settlement: Settlement, number: int) -> None:
        if not settlement.controls:
            return
        numbers = self._numbers.of([control.entity_id for control in settlement.controls])
        try:
            lowest = slot(number)
            written = [(lowest + numbers[control[0]], *control[1:]) for control in settlement.controls]
        except KeyError as error:
            raise contradiction(settlement, f"control row of entity {error.args[0]}, which is not in the log") from error
        rows = [(*row, control_checksum(row)) for row in sorted(written)]
        if self._database.executemany(query.SAVE_CONTROL, rows).rowcount != len(rows):
            self._refuse_older(settlement, {slot(number, numbers[row.entity_id]): row for row in settlement.controls})

    def _refuse_older(self, settlement: Settlement, controls: dict[int, Control]) -> None:
        for row in self._database.each(query.CONTROLS, (), controls):
            control = controls[row[0]]
            if control.version < row[1]:
                raise contradiction(
                    settlement,
                    f"control row of entity {control.entity_id} would go back from version {row[1]} to {control.version}",
                )
        raise contradiction(settlement, "a control row would go back in version, or an entity has two")

    def _save_codes(self, settlement: Settlement, number: int) -> None:
        if settlement.codes:
            self._database.execute(query.INSERT_SETTLEMENT, (number, settlement.position_from, settlement.codes))

    def _apply_open(self, settlement: Settlement, number: int) -> None:
        database = self._database
        if settlement.opened:
            database.executemany(query.INSERT_OPEN, [(number, *delivery) for delivery in settlement.opened])
        if settlement.updated:
            update_open(database, settlement.target, number, settlement.updated)
        if settlement.closed:
            closed = sorted(settlement.closed)
            gone = database.executemany(query.DELETE_OPEN, [(number, closing.seq) for closing in closed]).rowcount
            if gone != len(closed):
                raise contradiction(settlement, "a delivery was closed that is not open")
            database.executemany(query.INSERT_CLOSING, [(number, *closing) for closing in closed])
        # A letter may have been discarded or redriven since the relay looked; what the relay put behind it must not hang.
        waiting = {delivery.entity_id for delivery in settlement.opened if delivery.state != "retrying"}
        for lane in lanes_of(database, number, waiting).values():
            update_open(database, settlement.target, number, ordered(lane, 0.0))
