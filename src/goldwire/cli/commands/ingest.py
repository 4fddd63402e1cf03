"""`goldwire ingest`: files of facts and decisions become golden records, and every change a version in the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.exit_codes import DONE_WITH_REJECTS
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import counted, note, progress, say, show

if TYPE_CHECKING:
    from goldwire.config.model import Config
    from goldwire.services.ingest import Ingested

KEPT_REJECTS_FILES = 20
"""So many files of rejects stay beside the store, the newest ones; those that a person named stay anyway."""

SHOWN_REJECTS = 5
"""How many rejected rows are shown; the rejects file has all of them."""

SHOWN_KEYS = 3
"""How many of the match keys that most records share are shown."""

MAPPED_SUFFIXES = (".csv", ".parquet", ".pq")
"""Files that are read only by way of a source."""

NOTED_SECONDS = 1.0
"""The command warns of a clock that is set back by more."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ingest)


def ingest(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE|FILE",
            help="A source of the configuration and its files; without a source, JSON lines of facts and decisions.",
        ),
    ] = None,
    *,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            help="Where rejected rows are named, a JSON line each, without their values; else a new file beside the store.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=100_000, help="Rows in one transaction.")] = 1000,
    correlation_id: Annotated[
        str | None, typer.Option("--correlation-id", help="Travels with every change of this run; without it a new one.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read files, master what they say, and commit every change to the log.

    A source alone reads the file that its `path` names. Good rows go in whatever bad rows stand beside them; exits with 10
    where some were rejected. Repeating the command after a crash does no harm: what is known already changes nothing.
    """
    from goldwire.clock import timestamp
    from goldwire.services.application import Application
    from goldwire.services.ingest import count_lines

    with Application.of(config) as application:
        named = rejects is not None
        if rejects is None:
            moment = timestamp(application.clock.now()).replace(":", "")
            rejects = application.store_location.rejects(moment)
        behind_seconds = application.keep_time_rising()
        if behind_seconds > NOTED_SECONDS:
            note(
                f"goldwire: the clock of this machine is {behind_seconds:,.0f} s behind the newest change in the log; "
                "rows without a time of their own are dated as that change. Set the clock right; "
                "if it is right, and was ahead once: `goldwire redate`"
            )
        source, files = _source_and_files(words or [], application.loaded.config, application.loaded.folder)
        with progress(quiet=as_json) as display:
            total = None if display.disable else count_lines(files)
            task = display.add_task("rows", total=total, note="")

            def moved(counts: Ingested) -> None:
                display.update(task, completed=counts.rows, note=counted(counts.versions, "version"))

            result = application.ingest_service().files(
                source,
                files,
                rejects_file=rejects,
                batch_size=batch_size,
                correlation_id=correlation_id,
                progress=moved,
            )
            display.update(task, completed=result.rows, total=result.rows)  # a quoted line break is no row of its own
        removed = [] if named or not result.rejected else application.store_location.older_rejects(KEPT_REJECTS_FILES)
    for file in removed:
        file.unlink(missing_ok=True)
    show(result, as_json=as_json, render=lambda: _render(result))
    if removed:
        note(f"goldwire: {counted(len(removed), 'older rejects file')} removed; the newest {KEPT_REJECTS_FILES} stay")
    if result.rejected:
        raise typer.Exit(DONE_WITH_REJECTS)


def _source_and_files(words: list[str], config: Config, folder: Path) -> tuple[str | None, list[Path]]:
    """Separate the source from the files."""
    from goldwire.errors import InputError, did_you_mean

    if words and words[0] in config.sources:
        path = config.sources[words[0]].path
        files = [Path(word) for word in words[1:]] or ([folder / path] if path else [])
        if not files:
            raise typer.BadParameter(f"name a file for the source {words[0]}, or give the source a `path`")
        return words[0], files
    if not words:
        raise typer.BadParameter(f"name a source and its files, or JSON lines{did_you_mean('', config.sources)}")
    if not Path(words[0]).exists() and not Path(words[0]).suffix:
        raise InputError(
            f"{words[0]} is neither a source of the configuration nor a file{did_you_mean(words[0], config.sources)}"
        )
    files = [Path(word) for word in words]
    for file in files:
        if file.suffix in MAPPED_SUFFIXES and file.exists():
            known = did_you_mean("", config.sources)
            raise InputError(f"{file}: name the source that says how it is read: `goldwire ingest SOURCE {file}`{known}")
    return None, files


def _render(result: Ingested) -> None:
    say(
        f"{counted(result.rows, 'row')}: {counted(result.facts, 'fact')} and {counted(result.decisions, 'decision')} taken, "
        f"{result.rejected:,} rejected; {counted(result.versions, 'version')} committed, "
        f"the log is at position {result.position:,}"
    )
    if result.joined or result.merges or result.moves or result.shared:
        _render_identity(result)
    for one in result.first_rejects[:SHOWN_REJECTS]:
        note(f"  {one.origin}: {one.field + ': ' if one.field else ''}{one.reason}")
    if result.rejected > SHOWN_REJECTS:
        note(f"  … and {result.rejected - SHOWN_REJECTS:,} more")
    if result.rejected:
        named = "all of them" if not result.rejects_left_out else f"all but {result.rejects_left_out:,}"
        note(f"goldwire: {named} are named in {result.rejects_file}")


def _render_identity(result: Ingested) -> None:
    """Say what became one entity, and for which keys: a key that too many share is seldom what its rule means."""
    moved = f", {counted(result.moves, 'record')} moved by an upstream hub" if result.moves else ""
    say(
        f"{counted(result.joined, 'record')} joined the entity of another one, "
        f"{counted(result.merges, 'entity', 'entities')} merged{moved}"
    )
    for one in result.shared[:SHOWN_KEYS]:
        weak = "" if one.is_evidence else "; too many to be evidence"
        shared = f"{one.records:,} records share key {one.key}, one of them in {one.entity_id}"
        say(f"  {one.entity_type}, rule {one.rule!r}: {shared}{weak}")
