"""The command `goldwire`: puts the groups of commands together, and turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer

from goldwire import __version__
from goldwire.cli.commands import (
    apply,
    dead,
    demo,
    detokenise,
    entity,
    heads,
    ingest,
    init,
    ledger,
    redate,
    remaster,
    replay,
    resume,
    resync,
    rewind,
    run,
    schema,
    servicebus,
    status,
    store,
    subscribers,
    target,
    targets,
    verify,
)
from goldwire.cli.distributions import CommandGroup, mount
from goldwire.cli.exit_codes import DONE_WITH_REJECTS, OK, exit_code
from goldwire.cli.output import complain, say, write_remarks_as_json
from goldwire.errors import ConfigMissingError, GoldwireError, StoreFullError
from goldwire.invariants import require_assertions

app = typer.Typer(
    name="goldwire",
    cls=CommandGroup,
    help="Delivers golden-record changes in order, at least once and masked, and proves what every target holds.",
    epilog="Exit codes: 0 done, 10 done with rejects, 2 configuration or command line wrong, 3 input unusable, 4 store busy, "
    "5 no room, 6 store damaged, 7 target stopped, 8 fenced, 9 proof failed, 11 not found, 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CommandLineError: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
"""What Typer raises of a wrong command line; it has no public name for it."""

_EVERY_DAY = (init, apply, ingest, run, status, ledger, entity, dead, resync, replay, resume, remaster)
_NOW_AND_THEN = (verify, subscribers, heads, rewind, redate, store, schema, target, targets, detokenise, servicebus, demo)

for group in (*_EVERY_DAY, *_NOW_AND_THEN):
    group.register(app)
mount(app)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"goldwire {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; what goes wrong ends in one clear line and an exit code, not in a traceback."""
    code = _run()
    try:
        # Flush here, and not when Python ends, which would answer a full device with an exit code of its own.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        if code in {None, OK, DONE_WITH_REJECTS}:
            code = exit_code(GoldwireError) if error.errno == errno.EPIPE else _report(error)
    sys.exit(code)


def _run() -> str | int | None:
    """Run the command, and return what to exit with."""
    as_json = "--json" in sys.argv[1:]
    if as_json:
        write_remarks_as_json()
    try:
        require_assertions()
        # With --json Typer must not write to standard error of a wrong command line as it does for people.
        code = app(standalone_mode=not as_json)
    except SystemExit as ended:
        return ended.code
    except CommandLineError as error:
        return _complained(error.format_message(), "CommandLineError", error.exit_code)
    except typer.Abort:
        return _complained("aborted", "Aborted", exit_code(GoldwireError))
    except GoldwireError as error:
        text = str(error)
        if isinstance(error, ConfigMissingError):
            text = f"{error.file}: no such file; `goldwire init` writes one, `--config FILE` names another"
        return _complained(text, type(error).__name__, exit_code(error))
    except OSError as error:
        return _report(error)
    return code if isinstance(code, int) else OK


def _complained(text: str, kind: str, code: int) -> int:
    complain(text, kind=kind, code=code)
    return code


def _report(error: OSError) -> int:
    """Report an error of the operating system, and return its exit code."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    file = error.filename or ("standard output, or a file" if full else "the operating system")
    fix = "; free room, then repeat the command" if full else ""
    kind = StoreFullError if full else GoldwireError
    return _complained(f"{file}: {error.strerror or type(error).__name__}{fix}", kind.__name__, exit_code(kind))


def _give_up_output() -> None:
    """Let what is still buffered go nowhere; Python would try once more to write it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
