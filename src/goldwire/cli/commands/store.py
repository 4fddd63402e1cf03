"""`goldwire store`: the health and the schema of the store itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import complain, counted, note, progress, say, show

if TYPE_CHECKING:
    from goldwire.services.store_copies import Backup

PARTS = ("file", "log", "heads", "control", "records", "delivered", "numbers", "replays", "resyncs", "ledger")
"""What is looked at, in this order."""

SOUND = "each has its checksum, none is missing, and heads and counters fit them"
SOUND_SO_FAR = "none is damaged or missing, and heads and counters fit them"
"""The same where records have no checksum yet."""
UNCHECKED = (
    "not looked at, beyond the structure of the file: what stewards said, the state of open deliveries, applied documents"
)
"""What has no checksum and follows from nothing else, so that a change of it stays unseen."""

WITHOUT_CHECKSUM = "without a checksum yet, which comes with the record's next change: what a disk did to one stays unseen"
"""Records from before schema 0006 have none."""

SHOWN_DAMAGES = 20
"""How many are shown; `--json` has the first thousand."""

group = typer.Typer(help="The store itself.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="store")


@group.callback()
def _group() -> None:
    pass


@group.command("check")
def store_check(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read every row of the log, every control row and every record, and name what is not what was written, or is missing.

    Looked at are the checksums, positions and numbers without gaps, heads, a control row for all that was delivered, counters
    against a recount, and the file's own structure. What stewards said, the state of open deliveries and applied documents
    have no checksum. Relays and `ingest` may run meanwhile. Exits with 6 where something is damaged.
    """
    from goldwire.errors import StoreCorruptError
    from goldwire.services.application import Application
    from goldwire.services.store_check import check_store

    with Application.of(config) as application, progress(quiet=as_json) as display:
        tasks = {part: display.add_task(part, total=None, note="") for part in PARTS}
        found = check_store(
            application.store, lambda part, done, total: display.update(tasks[part], completed=done, total=total or None)
        )

    def render() -> None:
        for one in found.first_damages[:SHOWN_DAMAGES]:
            note(f"goldwire: {one.part}: {one.where}: {one.text}")
        rows = (
            f"{counted(found.looked_at['log'], 'row')} of the log, {counted(found.looked_at['control'], 'control row')}, "
            f"{counted(found.looked_at['records'], 'record')}, {counted(found.looked_at['ledger'], 'ledger')}"
            if {"log", "control", "records", "ledger"} <= found.looked_at.keys()
            else "a part that could not be read"
        )
        sound = SOUND_SO_FAR if found.records_without_checksum else SOUND
        say(f"{rows}: {sound if found.sound else counted(found.damages, 'damage')}")
        if found.records_without_checksum:
            say(f"{counted(found.records_without_checksum, 'record')} {WITHOUT_CHECKSUM}")
        if found.sound:
            say(UNCHECKED)

    result = {
        "sound": found.sound,
        "looked_at": found.looked_at,
        "damages": found.damages,
        "records_without_checksum": found.records_without_checksum,
        "first_damages": [one._asdict() for one in found.first_damages],
    }
    show(result, as_json=as_json, render=render)
    if not found.sound:
        complain("the store is damaged: stop all relays, keep this file, and restore a copy")
        raise typer.Exit(exit_code(StoreCorruptError))


@group.command("backup")
def store_backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; a file that is there is not overwritten.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Copy the store, and check the copy as `store check` does. Relays and `ingest` may run meanwhile.

    The copy is one state of the store, on the disk before the command ends, and readable by its owner alone: it holds all
    values unmasked.
    """
    from goldwire.services.application import Application
    from goldwire.services.store_copies import back_up

    with Application.of(config) as application, progress(quiet=as_json) as display:
        task = display.add_task("pages", total=None, note="")
        made = back_up(
            application.store_location, file, lambda copied, total: display.update(task, completed=copied, total=total)
        )

    def render() -> None:
        say(f"{made.file}: {counted(made.size_bytes, 'byte')}, {_described(made)}")

    show(made, as_json=as_json, render=render)


@group.command("restore")
def store_restore(
    file: Annotated[Path, typer.Argument(help="A file that `store backup` wrote; it stays as it is.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make the store as a backup was. Refused while any process uses the store; what it held before is kept beside it.

    The backup is checked first. Afterwards targets may hold more than the store knows: ingest again what came in since the
    backup, then `goldwire resync` each target.
    """
    from goldwire.clock import timestamp
    from goldwire.services.application import Application
    from goldwire.services.store_copies import restore

    with Application.of(config) as application, progress(quiet=as_json) as display:
        task = display.add_task("pages", total=None, note="")
        moment = timestamp(application.clock.now()).replace(":", "")
        done = restore(
            application.store_location, file, moment, lambda copied, total: display.update(task, completed=copied, total=total)
        )
    targets = done.backup.targets

    def render() -> None:
        say(f"{done.store} is as {done.backup.file} was: {_described(done.backup)}")
        if done.kept is not None:
            say(f"what it held before is in {done.kept}")
        if done.backup.position is None:
            note("goldwire: run `goldwire store upgrade`, since this Goldwire has another schema")
        if targets:
            note(
                f"goldwire: {', '.join(targets)} may hold more than this store knows: ingest again what came in since the "
                "backup, then `goldwire resync TARGET` for each before others rely on it"
            )

    document = {"store": done.store, "backup": done.backup, "kept": done.kept, "resync": targets}
    show(document, as_json=as_json, render=render)


def _described(backup: Backup) -> str:
    if backup.position is None:
        return f"schema {backup.schema}; only the structure of the file was checked"
    return f"up to position {backup.position:,}; checked, and sound"


@group.command("upgrade")
def store_upgrade(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Bring the store to this Goldwire's schema. There is no way back but a copy: stop every relay and copy the store first.

    Every other command refuses a store that needs it. A store that does not need it stays as it is.
    """
    from goldwire.services.application import Application

    with Application.of(config) as application:
        done = application.upgrade_store()

    def render() -> None:
        if done.before == done.after:
            say(f"the store has schema {done.after} already: nothing to do")
        else:
            say(f"upgraded from schema {done.before} to {done.after}")
        say(f"a Goldwire of schema {done.oldest_code} and newer can use it")

    show(done._asdict(), as_json=as_json, render=render)
