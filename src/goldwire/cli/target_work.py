"""Carries out what was asked of one target, a replay or a resync: here, unless a running relay of the target does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goldwire.changelog.replays import Replay
from goldwire.changelog.resyncs import Resync
from goldwire.cli.logs import begin_log
from goldwire.cli.output import note
from goldwire.cli.signals import run_until_signalled
from goldwire.errors import GoldwireError
from goldwire.services.application import Application
from goldwire.services.delivery import Record, carry_out
from goldwire.services.replay import runs_elsewhere
from goldwire.services.run import Supervisor


def carry_out_here(
    application: Application,
    word: str,
    record: Record,
    read: Callable[[str], Sequence[Record]],
    reported: Callable[[Record], None],
) -> bool:
    """Run the target's relay until the work has ended, unless another process runs it; return whether it ran here.

    Args:
        application: what the configuration describes.
        word: the command that asked for it: `replay` or `resync`.
        record: of the work.
        read: returns all records of a target.
        reported: called with the record now and then.

    Raises:
        GoldwireError: the relay ended with an error; a note says that the work stays open.
    """
    begin_log(application.loaded.config.log)
    try:
        if runs_elsewhere(application.store, record.target):
            return False
        relays = application.relays()
        relays.keep_settings([record.target])
        supervisor = Supervisor(relays)
        run_until_signalled(supervisor, lambda: carry_out(supervisor, relays, record, read, reported))
    except GoldwireError:
        note(f"goldwire: {word} {record.id} stays open; {_goes_on(word, record)}")
        raise
    return True


def note_left(word: str, record: Replay | Resync, *, here: bool) -> None:
    """Say who goes on with work that has not ended."""
    if not here:
        shows = f"`goldwire {word} show {record.id}` shows how far it is"
        note(f"goldwire: a running relay of {record.target} carries it out; {shows}")
    elif record.state == "open":
        note(f"goldwire: interrupted; {_goes_on(word, record)}")


def _goes_on(word: str, record: Replay | Resync) -> str:
    return f"the next `goldwire run` of {record.target} goes on with it, or `goldwire {word} cancel {record.id}`"
