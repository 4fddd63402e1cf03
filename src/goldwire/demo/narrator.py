"""Prints the story for people: headings, figures and tables, a hundred columns wide where output is no terminal."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldwire.demo.backplane import INSTALL
from goldwire.demo.folder import DemoFolder
from goldwire.demo.result import DemoDelivery, Intake, Killed, Mirror, Quality, RelayCrash, Summary, TargetTally

WIDTH = 100
_TERMS = ("committed", "delivered", "filtered", "superseded", "dead", "parked", "pending")
_CELL = 48
"""The widest cell; what is cut ends in `…`."""
_HASH = 18
_NOTHING_LOST = {False: "A SIGKILL in mid-send lost nothing.", True: "SIGKILL in mid-send and in mid-read lost nothing."}
_NUMBERS = {3: "three", 4: "four"}


class Teller:
    """Writes to standard output as the demo goes.

    Args:
        folder: of the demo.
        silent: write nothing.
    """

    def __init__(self, folder: DemoFolder, *, silent: bool) -> None:
        self._folder = folder
        console = Console(highlight=False, quiet=silent)
        if not console.is_terminal or console.width > WIDTH:
            console = Console(highlight=False, quiet=silent, width=WIDTH)
        self._console = console

    def opening(self) -> None:
        """Say what is to come."""
        self._say("Goldwire: two systems know the same 5,000 people. Master them, deliver them, crash, prove it.")

    def without_backplane(self) -> None:
        """Say that a part is left out, and what it needs."""
        self._say(
            f"The backplane and its subscriber are left out; they need, in a clone of the repository:\n  {INSTALL}",
            style="yellow",
        )

    def ingested(self, intakes: Sequence[Intake]) -> None:
        """Step 1."""
        self._head("1", "Facts of two systems")
        self._table(
            ("system", "file", "rows", "facts", "rejected", "versions", "merges", "facts/s"),
            [
                (one.source, one.file, one.rows, one.facts, one.rejected, one.versions, one.merges, round(one.rows_per_second))
                for one in intakes
            ],
        )

    def mastered(self, found: Quality, intakes: Sequence[Intake], *, rules: int) -> None:
        """Step 2."""
        self._head("2", "Golden records")
        records = sum(one.facts for one in intakes)
        self._say(f"{records:,} records became {found.golden_records:,} golden records by {rules} match rules.")
        self._say("The data set says which records are one person, so that every pair can be checked:\n")
        self._quality("match rules", found)

    def delivered(self, sent: Sequence[DemoDelivery]) -> None:
        """Step 3."""
        number = _NUMBERS[len(sent)]
        self._head("3", f"{number.capitalize()} targets under {number} contracts")
        self._table(
            ("target", "kind", "contract", "delivered", "filtered", "superseded", "events/s"),
            [
                (one.target, one.kind, one.contract, one.delivered, one.filtered, one.superseded, round(one.events_per_second))
                for one in sent
            ],
        )
        with_backplane = len(sent) == max(_NUMBERS)
        self._say("eventlog takes every version of every record; partner the newest golden ones, masked and signed;")
        self._say(f"warehouse the newest golden ones that are approved{';' if with_backplane else '.'}")
        if with_backplane:
            self._say("backplane the same, masked, and only what changed, for every subscriber.")

    def shown(self, sample: dict[str, Any], clear: dict[str, Any]) -> None:
        """The sample event, beside the golden record."""
        received = sample["changes"]["attributes"]
        self._say("\nOne customer, as mastered and as the partner received it:")
        rows = [
            (name, one["value"], one["provenance"], received[name]["value"] if name in received else "-")
            for name, one in clear.items()
        ]
        self._table(("attribute", "golden record", "from", "partner"), rows)
        self._event("The rest of that event", {name: value for name, value in sample.items() if name != "changes"})

    def killed(self, killed: Killed) -> None:
        """The subscriber, killed."""
        self._say(
            "A subscriber, built on the kit and nothing else of Goldwire, rebuilds the customers from the hub.\n"
            f"It was killed with signal {killed.exit_signal} when it had applied {killed.applied:,} of "
            f"{killed.published:,} events."
        )

    def second_wave(self, intakes: Sequence[Intake], before: Quality, after: Quality) -> None:
        """Step 4, before the crash."""
        moves, steward = intakes
        self._head("4", "A second wave, and a crash")
        self._say(
            f"{moves.facts:,} customers moved; {moves.rejected} of the {moves.rows:,} rows were bad and are named in "
            f"{self._folder.rejects}:"
        )
        for line in self._folder.rejects.read_bytes().splitlines():
            one = json.loads(line)
            field = f"{one['field']}: " if one["field"] else ""
            self._say(f"  line {one['origin'].rpartition(':')[2]}: {field}{one['reason']}", style="dim")
        self._say(
            f"A steward made {steward.decisions} decisions: {steward.merges} merges, {steward.unmerges} unmerges, deletions, "
            "withdrawn approvals."
        )
        self._quality("match rules", before, "and steward", after)

    def crashed(self, crash: RelayCrash) -> None:
        """Step 4, the crash."""
        self._say(
            f"The relay was killed with signal {crash.exit_signal} when the partner had {crash.partner_had} of "
            f"{crash.partner_has} events.\nThe ledger at that moment:"
        )
        self._ledgers(crash.at_kill)
        self._say(
            f"Started again, it was done in {crash.seconds_to_catch_up:.1f} s. {crash.partner_repeated} events came to the "
            f"partner twice, {'each time the same bytes' if crash.partner_repeats_identical else 'NOT THE SAME BYTES'}."
        )

    def proven(self, summary: Summary) -> None:
        """Step 5."""
        self._head("5", "The proof")
        self._say("What the targets hold of what the steward decided:")
        self._fates(summary)
        self._event("The tombstone of the first one merged, in the event log", summary.tombstone)
        self._say("committed = delivered + filtered + superseded + dead + parked + pending, counted twice:")
        self._ledgers(summary.ledgers)
        self._say("Hash chains, verified from the files alone:")
        self._table(
            ("file", "events", "entities", "sent twice", "findings"),
            [(one.file, one.events, one.entities, one.repeated, one.findings) for one in summary.chains],
        )
        table = summary.warehouse
        self._say(
            f"The SQL table has {table.rows:,} rows for {table.golden_records:,} approved golden records; "
            f"{table.rows_equal:,} are equal in\nall {table.columns} columns, {table.unexpected} are too many or missing. "
            f"{table.rows_marked_deleted} more rows are marked deleted.\n"
        )
        if summary.mirror is not None:
            self._mirror(summary.mirror)
        for promise in summary.promises:
            self._say(f"  {'kept  ' if promise.kept else 'BROKEN'}  {promise.text}", style="green" if promise.kept else "red")

    def _fates(self, summary: Summary) -> None:
        columns = ["decision", "record", "eventlog", "partner", "warehouse"]
        rows = [[one.decision, one.record.partition("/")[2], one.eventlog, one.partner, one.warehouse] for one in summary.fates]
        if summary.mirror is not None:
            columns.append("subscriber")
            rows = [[*row, str(one.mirror)] for row, one in zip(rows, summary.fates, strict=True)]
        self._table(columns, rows)

    def _mirror(self, mirror: Mirror) -> None:
        self._say(
            f"The subscriber was started again and read to the end: {mirror.published:,} events, of which it applied "
            f"{mirror.applied:,}\nand ignored {mirror.published - mirror.applied} that came twice. "
            f"Folded from the stream alone, its table has {mirror.rows:,} rows;\n"
            f"{mirror.rows_equal:,} are equal to the {mirror.golden_records:,} golden records as its contract shows them, "
            f"{mirror.unexpected} are too many or missing.\n"
            f"{mirror.guards_equal:,} of {mirror.settled:,} chains end with the version and hash that the control table has.\n"
        )

    def ending(self, summary: Summary) -> None:
        """Step 6."""
        broken = sum(not promise.kept for promise in summary.promises)
        self._head("6", f"BROKEN PROMISES: {broken}" if broken else "All promises kept")
        folder = self._folder
        rows = sum(one.rows for one in (*summary.intakes, *summary.second_wave))
        self._say(
            f"{rows:,} rows of two systems and a steward became {summary.after_steward.golden_records:,} golden records,\n"
            f"held by {_NUMBERS[len(summary.sent)]} targets as their contracts allow. "
            f"{_NOTHING_LOST[summary.killed is not None]}\n"
            if not broken
            else "What is marked BROKEN above is not as Goldwire promises it; please report it with the folder's files.\n"
        )
        self._say(f"It took {summary.seconds:.0f} s. Look at {folder.config} and at the files in {folder.out}, and go on:\n")
        for command in next_commands(folder, summary):
            self._console.print(Text(f"  {shlex.join(command)}"), soft_wrap=True)

    def _quality(self, *named: Any) -> None:
        pairs = list(zip(named[::2], named[1::2], strict=True))
        self._table(
            ("linked by", "pairs linked", "right", "true pairs", "precision", "recall"),
            [
                (name, one.pairs_linked, one.pairs_right, one.pairs_true, f"{one.precision:.4f}", f"{one.recall:.4f}")
                for name, one in pairs
            ],
        )

    def _event(self, what: str, event: dict[str, Any]) -> None:
        shown = {
            name: _cut(value, _HASH) if name in ("hash", "previousHash") and value else value for name, value in event.items()
        }
        self._say(f"{what}:")
        self._say(json.dumps(shown, ensure_ascii=False) + "\n", style="dim")

    def _ledgers(self, ledgers: Iterable[TargetTally]) -> None:
        rows = [
            (one.target, *[getattr(one, term) for term in _TERMS], "balanced" if one.balanced else "DOES NOT BALANCE")
            for one in ledgers
        ]
        self._table(("target", *_TERMS, ""), rows)

    def _head(self, number: str, text: str) -> None:
        self._console.print(f"\n[bold]{number}  {text}[/bold]")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=False)

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int) or _is_figure(row[index]) for row in rows)
            drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*[Text(f"{cell:,}" if isinstance(cell, int) else _cut(str(cell), _CELL)) for cell in row])
        self._console.print(drawn)
        self._console.print()


def next_commands(folder: DemoFolder, summary: Summary) -> list[list[str]]:
    """Return commands to go on with; they work from the folder in which the demo was started."""
    goldwire, config = _goldwire(), ["--config", str(folder.config)]
    wrong = next(one.record for one in summary.fates if one.decision == "unmerge")
    return [
        [goldwire, "ledger", "--recount", *config],
        [goldwire, "verify", str(folder.eventlog)],
        [goldwire, "verify", str(folder.partner)],
        [goldwire, "entity", "show", wrong, *config],
        [goldwire, "schema", "partner", *config],
    ]


def _goldwire() -> str:
    """Return how to call the command from here: it need not be on the path, as after `make demo`."""
    installed = Path(sys.executable).parent / "goldwire"
    found = shutil.which("goldwire")
    if found is not None and Path(found).resolve() == installed.resolve():
        return "goldwire"
    here = Path.cwd()
    return str(installed.relative_to(here) if installed.is_relative_to(here) else installed)


def _is_figure(cell: Any) -> bool:
    return str(cell).replace(".", "", 1).isdigit()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
