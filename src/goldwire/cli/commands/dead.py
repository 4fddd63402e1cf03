"""`goldwire dead`: dead letters, what the target said of them, and the two ways out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import note, say, show, table

_NAMED = 10
"""So many positions are named in a question."""

group = typer.Typer(help="Dead letters: deliveries that were given up.", no_args_is_help=True)

TargetArgument = Annotated[str, typer.Argument(help="The target.")]
SeqsArgument = Annotated[list[int] | None, typer.Argument(metavar="POSITION", help="Positions, as `dead list` shows them.")]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters of the target.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="dead")


@group.command("list")
def dead_list(
    target: Annotated[str | None, typer.Argument(help="Only this target.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most that are shown.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first."""
    from goldwire.services.application import Application
    from goldwire.services.dead_letters import dead_letters

    with Application.of(config) as application:
        letters = dead_letters(application.store, target, limit)

    def render() -> None:
        if not letters:
            say("no dead letters")
            return
        columns = ("target", "seq", "state", "entity_id", "version", "attempts", "last_attempt_at", "reason")
        table(("target", "position", *columns[2:]), [[getattr(letter, column) for column in columns] for letter in letters])

    show(letters, as_json=as_json, render=render)


@group.command("show")
def dead_show(
    target: TargetArgument,
    position: Annotated[int, typer.Argument(help="The position of the dead letter in the log.")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter and what waits behind it."""
    from goldwire.services.application import Application
    from goldwire.services.dead_letters import dead_letter_detail

    with Application.of(config) as application:
        result = dead_letter_detail(application.store, target, position)

    def render() -> None:
        for name in result.__struct_fields__:
            value = getattr(result, name)
            say(f"{name.replace('_', ' '):16} {value if value is not None else ''}")

    show(result, as_json=as_json, render=render)


@group.command("redrive")
def dead_redrive(
    target: TargetArgument,
    positions: SeqsArgument = None,
    *,
    everything: AllOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Deliver dead letters again, in order; what is parked behind them follows. `goldwire run` does the work."""
    from goldwire.services.application import Application
    from goldwire.services.dead_letters import redrive

    chosen = _chosen(positions, everything=everything)
    with Application.of(config) as application:
        done = redrive(application.store, application.clock, target, chosen)
    text = f"{done.redrive:,} of {target}: due for delivery; `goldwire run` delivers them"
    show(done, as_json=as_json, render=lambda: say(text))


@group.command("discard")
def dead_discard(
    target: TargetArgument,
    positions: SeqsArgument = None,
    *,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also those that may have arrived; do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give dead letters up: they stay dead in the ledger, and no longer hold up what is parked behind them.

    A letter that may have arrived without an answer breaks the chain if it did: the consumer holds an event of which the next
    one of the entity knows nothing. Such letters are discarded only after a question, or with --yes.
    """
    from goldwire.services.application import Application
    from goldwire.services.dead_letters import discard, named_letters, unanswered

    chosen = _chosen(positions, everything=everything)
    with Application.of(config) as application:
        letters = [one for one in named_letters(application.store, target, chosen) if one.state == "dead"]
        if not yes and (unclear := unanswered(letters)):
            _ask(target, unclear, may_ask=not as_json and sys.stdin.isatty())
        done = discard(application.store, application.clock, target, letters)
    show(done, as_json=as_json, render=lambda: say(f"{done.discard:,} of {target}: given up"))


def _chosen(positions: list[int] | None, *, everything: bool) -> list[int] | None:
    """Return the positions that were given; None: all."""
    if bool(positions) == everything:
        raise typer.BadParameter("give the positions of dead letters, or --all")
    return None if everything else positions


def _ask(target: str, positions: list[int], *, may_ask: bool) -> None:
    """Let a person decide about letters that may have arrived.

    Raises:
        InputError: there is no terminal to ask on, or the answer was no; nothing was discarded.
    """
    from goldwire.errors import InputError

    named = ", ".join(str(position) for position in positions[:_NAMED]) + (", …" if len(positions) > _NAMED else "")
    question = (
        f"{target}: may have arrived without an answer: {named}. If so, discarding breaks the chain: the consumer holds an "
        "event that the next one does not follow on. `goldwire dead redrive` keeps it whole"
    )
    if not may_ask:
        raise InputError(f"{question}; to discard all the same, add --yes. Nothing was discarded")
    note(f"goldwire: {question}")
    if not typer.confirm("Discard all the same?", err=True):
        raise InputError("nothing was discarded")
