"""`goldwire dead`: dead letters, what the target said of them, and the two ways out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from goldwire.app.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.app.output import say, show, table

group = typer.Typer(help="Dead letters: deliveries that were given up.", no_args_is_help=True)

TargetArgument = Annotated[str, typer.Argument(help="The target.")]
SeqsArgument = Annotated[
    list[int] | None, typer.Argument(metavar="[POSITION]...", help="Positions, as `dead list` shows them.")
]
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
    from goldwire.app.finding import cursor_of
    from goldwire.app.wiring import House

    with House.of(config) as house:
        if target is not None:
            cursor_of(house.store, target)
        letters = [{"target": name, **letter._asdict()} for name, letter in house.store.dead_letters(target, limit)]

    def render() -> None:
        if not letters:
            say("no dead letters")
            return
        columns = ("target", "seq", "state", "entity_id", "version", "attempts", "last_attempt_at", "reason")
        table(("target", "position", *columns[2:]), [[letter[column] for column in columns] for letter in letters])

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
    from goldwire.app.finding import cursor_of, dead_letter
    from goldwire.app.wiring import House

    with House.of(config) as house:
        cursor_of(house.store, target)
        letter = dead_letter(house.store, target, position)
        lane = house.store.lanes(target, [letter.entity_id]).get(letter.entity_id, [])
        row = house.store.rows([position])[position]
    behind = [one.version for one in lane if one.seq > position]
    result = {"target": target, **letter._asdict(), "committed_at": row.committed_at, "changed": row.changed,
              "correlation_id": row.correlation_id, "parked_versions": behind}  # fmt: skip

    def render() -> None:
        for name, value in result.items():
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
    _act("redrive", target, positions, everything=everything, config=config, as_json=as_json)


@group.command("discard")
def dead_discard(
    target: TargetArgument,
    positions: SeqsArgument = None,
    *,
    everything: AllOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give dead letters up: they stay dead in the ledger, and no longer hold up what is parked behind them."""
    _act("discard", target, positions, everything=everything, config=config, as_json=as_json)


def _act(verb: str, target: str, positions: list[int] | None, *, everything: bool, config: Any, as_json: bool) -> None:
    from goldwire.app.finding import cursor_of, dead_letter
    from goldwire.app.wiring import House

    if bool(positions) == everything:
        raise typer.BadParameter("give the positions of dead letters, or --all")
    with House.of(config) as house:
        store = house.store
        cursor_of(store, target)
        if everything:
            letters = [letter for _, letter in store.dead_letters(target, limit=1_000_000)]
        else:
            letters = [dead_letter(store, target, position) for position in positions or ()]
        seqs = [letter.seq for letter in letters if verb == "redrive" or letter.state == "dead"]
        act = store.redrive if verb == "redrive" else store.discard
        count = act(target, seqs, house.clock.now()) if seqs else 0
    done = "due for delivery; `goldwire run` delivers them" if verb == "redrive" else "given up"
    show({"target": target, verb: count}, as_json=as_json, render=lambda: say(f"{count:,} of {target}: {done}"))
