"""Checks each promise of Goldwire against what the demo found; a broken one ends the demo with an error."""

from __future__ import annotations

import signal

from goldwire.demo.backplane import TARGET
from goldwire.demo.folder import DemoFolder
from goldwire.demo.partner import arrivals
from goldwire.demo.result import Promise, Summary

PRECISION_LEAST = 0.995
RECALL_LEAST = 0.995


def promises(summary: Summary, folder: DemoFolder) -> list[Promise]:
    """Return every promise, kept or broken."""
    return [*_mastering(summary), *_crash(summary), *_delivery(summary, folder), *_warehouse(summary), *_backplane(summary)]


def _mastering(summary: Summary) -> list[Promise]:
    rules = summary.by_rules
    return [
        Promise(
            f"match rules alone: precision {rules.precision:.4f}, recall {rules.recall:.4f}",
            rules.precision >= PRECISION_LEAST and rules.recall >= RECALL_LEAST,
        ),
        Promise(
            "bad rows never stop the good ones",
            all(one.facts + one.decisions + one.rejected == one.rows for one in (*summary.intakes, *summary.second_wave)),
        ),
        Promise("each target holds what the steward decided", all(fate.as_decided for fate in summary.fates)),
    ]


def _crash(summary: Summary) -> list[Promise]:
    crash = summary.crash
    return [
        Promise(
            "the relay was killed by SIGKILL in mid-send",
            crash.exit_signal == signal.SIGKILL and 0 < crash.partner_had < crash.partner_has,
        ),
        Promise("the ledger balanced at the moment of death", all(one.balanced for one in crash.at_kill)),
        Promise("what was sent again was sent as the same bytes", crash.partner_repeats_identical),
    ]


def _delivery(summary: Summary, folder: DemoFolder) -> list[Promise]:
    ledgers = {one.target: one for one in summary.ledgers}
    arrived = {(one.entity_id, one.version) for one in arrivals(folder.arrivals)}
    logged, partner = summary.chains
    return [
        Promise(
            "every ledger balances, and a recount of all rows agrees",
            bool(ledgers) and all(one.balanced and one.recount_agrees for one in summary.ledgers),
        ),
        Promise("nothing is pending, parked or dead", not any(one.pending + one.parked + one.dead for one in summary.ledgers)),
        Promise(
            f"the event log has each of its {ledgers['eventlog'].delivered:,} deliveries once",
            logged.events == ledgers["eventlog"].delivered and logged.repeated == 0,
        ),
        Promise(
            f"the partner has each of its {ledgers['partner'].delivered:,} deliveries at least once",
            len(arrived) == ledgers["partner"].delivered == partner.events - partner.repeated,
        ),
        Promise(
            "every hash holds, every chain is whole and ends with what was settled last",
            logged.findings == partner.findings == 0 and logged.ends_as_settled and partner.ends_as_settled,
        ),
    ]


def _warehouse(summary: Summary) -> list[Promise]:
    table = summary.warehouse
    return [
        Promise(
            f"the SQL table equals the {table.golden_records:,} approved golden records, row by row",
            0 < table.golden_records == table.rows == table.rows_equal and not table.unexpected,
        )
    ]


def _backplane(summary: Summary) -> list[Promise]:
    killed, mirror = summary.killed, summary.mirror
    if killed is None or mirror is None:
        return []
    delivered = next(one.delivered for one in summary.ledgers if one.target == TARGET)
    return [
        Promise(
            "the subscriber was killed by SIGKILL in mid-stream",
            killed.exit_signal == signal.SIGKILL and 0 < killed.applied < killed.published,
        ),
        Promise(
            f"it applied each of {delivered:,} deliveries once, and set none aside",
            mirror.applied == delivered <= mirror.published and mirror.dead_letters == 0,
        ),
        Promise(
            f"its table equals the {mirror.golden_records:,} golden records under its contract, row by row",
            0 < mirror.golden_records == mirror.rows == mirror.rows_equal and not mirror.unexpected,
        ),
        Promise(
            f"its {mirror.settled:,} chains end with what was settled last",
            0 < mirror.settled == mirror.guards_equal and not mirror.guards_unexpected,
        ),
    ]
