"""What the benchmark finds out, as plain structs: the same for people and for `--json`."""

from __future__ import annotations

from statistics import median
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from goldwire_lab.bench.setting import Size

Verdict = Literal["met", "missed"]

PER = 100_000
"""CPU time is stated for so many events, because one event takes microseconds."""


class Cost(NamedTuple):
    """What one piece of work took."""

    cpu_seconds: float
    """User and system time of all threads of this process."""
    wall_seconds: float


class Round(NamedTuple):
    """One measurement with its floors, taken one after the other, so that all meet the same machine."""

    floor: Cost
    measured: Cost
    plain: Cost | None = None


class Aim(Struct, frozen=True):
    """What a figure should reach, and whether it did."""

    text: str
    verdict: Verdict


class Throughput(Struct, frozen=True, kw_only=True):
    """How fast one way through Goldwire is. Times are medians over the rounds."""

    name: str
    what: str
    floor: str
    """What the floor consists of."""
    events: int
    """In each round; every one of them was accounted for."""
    rounds: int
    cpu_seconds: float
    """For 100,000 events."""
    cpu_seconds_best: float
    cpu_seconds_worst: float
    floor_cpu_seconds: float
    """For 100,000 events."""
    ratio: float
    """CPU time to that of the floor, as the median of the rounds' own ratios."""
    plain_floor_cpu_seconds: float | None = None
    """The same for a floor that decodes every value to Python and encodes it again, where that was taken too."""
    plain_ratio: float | None = None
    events_per_second: float
    """By the clock on the wall, waiting for disk and network included."""
    events_per_core_second: float
    """By CPU time."""
    aims: list[Aim]


class Recovery(Struct, frozen=True, kw_only=True):
    """What happened when a relay was killed in mid-send and started again."""

    log_rows: int
    events: int
    """Deliveries of the target that was killed."""
    sent_before_kill: int
    settled_before_kill: int
    """Fewer than were sent: the kill came between a send and its settlement."""
    first_event_seconds: float
    """From the start of the new process to its first new event at the target."""
    first_event_seconds_without_crash: float
    """The same for a target on a log of a few thousand rows that nothing ever happened to: the floor."""
    missing: int
    repeated: int
    ledger_balances: bool
    aims: list[Aim]


class Memory(Struct, frozen=True, kw_only=True):
    """Resident memory of a process that tails a long log."""

    log_rows: int
    resident_bytes_first: int
    """The most that was seen while it went through the first tenth of the log."""
    resident_bytes_last: int
    """The most while it went through the last tenth."""
    resident_bytes_most: int
    events_per_second: float
    """From the start of the process to its end."""
    aims: list[Aim]


class Machine(Struct, frozen=True, kw_only=True):
    """Where and when it was measured."""

    measured_at: str
    processor: str
    cores: int
    system: str
    python: str
    sqlite: str
    load_average: float | None
    """Of the last minute, before the first round; near 0 when the machine had nothing else to do."""
    one_core: bool
    """Whether throughput was measured on one core, because the system lets a process be held there."""


class Report(Struct, frozen=True, kw_only=True):
    """All of it."""

    machine: Machine
    size: Size
    throughput: list[Throughput]
    recovery: Recovery | None
    memory: Memory | None


class Wanted(Struct, frozen=True):
    """The aims of a throughput figure, as far as it has any."""

    ratio: float | None = None
    per_core_second: int | None = None
    per_second: int | None = None
    unit: str = "events"


def throughput(name: str, what: str, floor: str, events: int, rounds: list[Round], aims: Wanted) -> Throughput:
    """Sum up the rounds of one figure.

    Args:
        name: the figure's name.
        what: what was measured.
        floor: what its floor consists of.
        events: in each round.
        rounds: the measurements.
        aims: what it should reach.
    """
    spent = sorted(_scaled(one.measured, events) for one in rounds)
    plain = [(_scaled(one.plain, events), one.measured.cpu_seconds / one.plain.cpu_seconds) for one in rounds if one.plain]
    figure = Throughput(
        name=name,
        what=what,
        floor=floor,
        events=events,
        rounds=len(rounds),
        cpu_seconds=median(spent),
        cpu_seconds_best=spent[0],
        cpu_seconds_worst=spent[-1],
        floor_cpu_seconds=median(_scaled(one.floor, events) for one in rounds),
        ratio=median(one.measured.cpu_seconds / one.floor.cpu_seconds for one in rounds),
        plain_floor_cpu_seconds=median(cost for cost, _ in plain) if plain else None,
        plain_ratio=median(ratio for _, ratio in plain) if plain else None,
        events_per_second=events / median(one.measured.wall_seconds for one in rounds),
        events_per_core_second=PER / median(spent),
        aims=[],
    )
    return replace(figure, aims=_aims(figure, aims))


def aim(text: str, *, reached: bool) -> Aim:
    """Say whether an aim was reached."""
    return Aim(text, "met" if reached else "missed")


def _scaled(cost: Cost, events: int) -> float:
    return cost.cpu_seconds * PER / events


def _aims(figure: Throughput, wanted: Wanted) -> list[Aim]:
    aims = []
    if wanted.ratio is not None:
        aims.append(aim(f"at most {wanted.ratio:g} × the floor", reached=figure.ratio <= wanted.ratio))
    if (least := wanted.per_core_second) is not None:
        aims.append(aim(f"more than {least:,} {wanted.unit}/s a core", reached=figure.events_per_core_second > least))
    if (least := wanted.per_second) is not None:
        aims.append(aim(f"more than {least:,} {wanted.unit}/s", reached=figure.events_per_second > least))
    return aims
