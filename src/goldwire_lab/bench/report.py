"""Shows a report to people: a table of throughput, and a few lines on recovery, memory and the machine."""

from __future__ import annotations

from goldwire.cli.output import say, table
from goldwire_lab.bench.figures import Aim, Machine, Memory, Recovery, Report

ROUNDS_MIN = 3
"""With fewer there is no useful median."""


def print_report(report: Report) -> None:
    """Write a report to standard output."""
    _machine(report.machine)
    if report.size.rounds < ROUNDS_MIN:
        say("Too small to measure anything: it shows that everything runs, and no more.")
    if report.throughput:
        _throughput(report)
    if report.recovery is not None:
        _recovery(report.recovery)
    if report.memory is not None:
        _memory(report.memory)


def _machine(machine: Machine) -> None:
    load = "" if machine.load_average is None else f", load {machine.load_average:.1f} before it began"
    say(
        f"{machine.measured_at[:10]}, {machine.processor}, {machine.cores} cores, {machine.system}, "
        f"Python {machine.python}, SQLite {machine.sqlite}{load}"
    )


def _throughput(report: Report) -> None:
    where = "on one core" if report.machine.one_core else "on any core"
    say(
        f"\nThroughput {where}, everything on: three masks, chain, control table, ledger. Rounds: {report.size.rounds} of "
        f"{report.size.events:,} events\nof 1.6 KB with 10 attributes. CPU seconds are for 100,000 events."
    )
    columns = ("", "CPU s", "least", "most", "floor", "× floor", "events/s", "events/s a core")
    rows = [
        (
            one.name,
            f"{one.cpu_seconds:.2f}",
            f"{one.cpu_seconds_best:.2f}",
            f"{one.cpu_seconds_worst:.2f}",
            f"{one.floor_cpu_seconds:.2f}",
            f"{one.ratio:.1f}",
            round(one.events_per_second),
            round(one.events_per_core_second),
        )
        for one in report.throughput
    ]
    table(columns, rows)
    for one in report.throughput:
        say(f"{one.name}: {one.what}")
        say(f"  floor: {one.floor}")
        plain, ratio = one.plain_floor_cpu_seconds, one.plain_ratio
        if plain is not None and ratio is not None:
            say(f"  a floor that decodes every value takes {plain:.2f} CPU s; this is {ratio:.1f} × that")
        _aims(one.aims)


def _recovery(found: Recovery) -> None:
    say(
        f"\nRecovery: SIGKILL in mid-send with {found.log_rows:,} rows in the log; {found.sent_before_kill:,} of "
        f"{found.events:,} were sent, {found.settled_before_kill:,} of these settled"
    )
    say(
        f"The first new event came {found.first_event_seconds:.2f} s after the restart, start of Python included; "
        f"{found.first_event_seconds_without_crash:.2f} s on a short log without a crash"
    )
    say(
        f"Missing {found.missing:,}, written twice {found.repeated:,}; recounted from the rows, "
        f"the ledger {'balances' if found.ledger_balances else 'does not balance'}"
    )
    _aims(found.aims)


def _memory(found: Memory) -> None:
    first, last, most = (
        count / 2**20 for count in (found.resident_bytes_first, found.resident_bytes_last, found.resident_bytes_most)
    )
    say(
        f"\nResident memory while tailing {found.log_rows:,} rows: {first:.0f} MiB in the first tenth, {last:.0f} MiB in the "
        f"last, {most:.0f} MiB at most\n{found.events_per_second:,.0f} events/s, start and end of the process included"
    )
    _aims(found.aims)


def _aims(aims: list[Aim]) -> None:
    for one in aims:
        say(f"  {one.verdict}: {one.text}")
