"""`goldwire simulate` and `goldwire bench`: what the path survives, and how fast it is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import JsonOption
from goldwire.cli.output import complain, counted, progress, say, show


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(simulate)
    app.command()(bench)


def simulate(
    *,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many runs.")] = 200,
    start: Annotated[int, typer.Option("--from", min=0, help="The first seed; a run is exactly what its seed says.")] = 0,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; without it one for each core.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole path under random faults and virtual time, and check what Goldwire promises.

    Exits with 9 where a promise was broken; the seed that broke it is named and does it again.
    """
    import os

    from goldwire.errors import VerificationError
    from goldwire_lab.simulation.run import run_seeds

    with progress(quiet=as_json) as display:
        task = display.add_task("seeds", total=seeds, note="")
        result = run_seeds(
            seeds,
            start,
            workers=workers or os.cpu_count() or 1,
            progress=lambda done: display.update(task, completed=done),
        )
    for failure in result.failures:
        complain(f"seed {failure.seed}: {failure.finding}")
    broken = len(result.failures)
    said = f"{counted(result.seeds, 'run')} from seed {result.start}: " + (
        f"{broken} broke a promise" if broken else "every promise held"
    )
    show(result, as_json=as_json, render=lambda: say(said))
    if broken:
        raise typer.Exit(exit_code(VerificationError))


def bench(
    directory: Annotated[
        Path, typer.Argument(help="Where it works, on the disk that is to be measured; it leaves nothing there.")
    ] = Path("bench-out"),
    *,
    events: Annotated[
        int | None, typer.Option("--events", min=2_000, help="Events in each round; 50,000 unless given.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Only this figure: memory, file, ingest, webhook, webhook-arrays, kafka, event-hubs, service-bus, "
            "event-hubs-kafka, subscriber, sql-sqlite, sql-sqlite-newer and the same of postgresql and mariadb, "
            "event-hubs-ceiling, service-bus-ceiling, recovery or resident; may be repeated.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke test of seconds: too small to measure anything.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure throughput, recovery and memory beside the floor of this machine.

    The floor is the least that any program would have to do on the same rows, measured in the same rounds. Takes some minutes
    and 3 GB of disk.
    """
    from msgspec.structs import replace

    from goldwire.errors import did_you_mean
    from goldwire_lab.bench import NAMES, run_bench
    from goldwire_lab.bench.report import print_report
    from goldwire_lab.bench.setting import FULL, QUICK

    for name in only or ():
        if name not in NAMES:
            raise typer.BadParameter(f"there is no figure {name}{did_you_mean(name, NAMES)}", param_hint="--only")
    size = QUICK if quick else FULL
    if events is not None:
        size = replace(size, events=events)
    with progress(quiet=as_json, refreshes_per_second=2) as display:
        report = run_bench(directory, size, only or (), display)
    show(report, as_json=as_json, render=lambda: print_report(report))
