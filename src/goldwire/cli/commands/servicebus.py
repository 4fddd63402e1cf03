"""`goldwire servicebus dead-letters`: what subscribers of a Service Bus target gave up, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldwire.cli.exit_codes import exit_code
from goldwire.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from goldwire.cli.output import note, say, show, table

if TYPE_CHECKING:
    from goldwire.services.application import Application
    from goldwire.targets.azure.service_bus.dead_letters import BrokerDeadLetters

group = typer.Typer(help="What only a Service Bus has.", no_args_is_help=True)
letters = typer.Typer(help="The broker's dead letters: delivered, and given up by a subscriber.", no_args_is_help=True)
group.add_typer(letters, name="dead-letters")

_REDRIVEN = ("left", "missing", "refused", "unsettled")
"""What --json shows of a redrive beside the number of messages that were sent."""

_REASON_CHARACTERS = 60
"""Of a reason in the table."""

TargetArgument = Annotated[str, typer.Argument(help="A target of kind service_bus.")]
SubscriptionOption = Annotated[str | None, typer.Option("--subscription", help="Of a topic: whose dead letters.")]
ConnectionOption = Annotated[
    str | None,
    typer.Option(
        "--connection-string",
        help="A reference such as '${env:NAME}' to one with Listen (and Send to redrive); the target's own has Send alone.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="servicebus")


@letters.command("list")
def list_letters(
    target: TargetArgument,
    *,
    subscription: SubscriptionOption = None,
    connection_string: ConnectionOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most that are shown.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List dead letters of the queue or subscription, oldest first; they stay where they are.

    Reasons are shortened; --json has them whole, with subject and session.
    """
    import asyncio

    from goldwire.services.application import Application

    with Application.of(config) as application:
        found = asyncio.run(_letters(application, target, subscription, connection_string).look(limit))

    def render() -> None:
        if not found:
            say("no dead letters")
            return
        columns = ("number", "deliveries", "enqueued at", "message id", "reason")
        rows = [
            (str(one.sequence_number), one.delivery_count, _minute(one.enqueued_at), one.message_id, _shortened(one.reason))
            for one in found
        ]
        table(columns, rows)

    show(found, as_json=as_json, render=render)


@letters.command("redrive")
def redrive_letters(
    target: TargetArgument,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Numbers, as `dead-letters list` shows them.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    subscription: SubscriptionOption = None,
    connection_string: ConnectionOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again, with the same body and an id of their own, and take them out of the dead-letter queue.

    What is redriven comes after newer events of its entity; a subscriber that keeps versions ignores what is older. A topic
    hands it to all its subscriptions. It exits with 11 if a number is not there; the others are sent.
    """
    import asyncio

    from goldwire.errors import GoldwireError, NotFoundError
    from goldwire.services.application import Application

    if bool(numbers) == everything:
        raise typer.BadParameter("give the numbers of dead letters, or --all")
    with Application.of(config) as application:
        source = _letters(application, target, subscription, connection_string)
        done = asyncio.run(source.redrive(None if everything else set(numbers or ())))
    show(
        {"target": target, "redriven": done.sent, **{name: getattr(done, name) for name in _REDRIVEN}},
        as_json=as_json,
        render=lambda: say(f"{done.sent:,} sent again, {done.left:,} left"),
    )
    if done.refused:
        note(f"goldwire: these stay; they have no plain body, or another reader holds them: {_listed(done.refused)}")
    if done.unsettled:
        note(
            "goldwire: these were sent, but stay, since another reader took them when their lock ended; redriven again they "
            f"would arrive twice where duplicate detection is off: {_listed(done.unsettled)}"
        )
    if done.missing:
        raise NotFoundError(f"target {target}: no dead letters have these numbers: {_listed(done.missing)}")
    if done.refused or done.unsettled:
        raise typer.Exit(exit_code(GoldwireError))


def _minute(moment: str | None) -> str | None:
    """Return a moment of RFC 3339 to the minute, as a table has room for."""
    return None if moment is None else moment[:16].replace("T", " ")


def _shortened(reason: str | None) -> str | None:
    """Return a reason as one short line: what a subscriber wrote there can be a whole stack trace."""
    if reason is None:
        return None
    words = "".join(sign if sign.isprintable() else " " for sign in reason).split()
    line = " ".join(words)
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 1].rstrip() + "…"


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)


def _letters(
    application: Application, target: str, subscription: str | None, connection_string: str | None
) -> BrokerDeadLetters:
    from goldwire.errors import ConfigError

    kind = application.targets.config(target).kind
    if kind != "service_bus":
        raise ConfigError(f"target {target} is of kind {kind}; the broker's dead letters are there for service_bus only")
    from msgspec.structs import replace

    from goldwire.targets.azure.service_bus.dead_letters import BrokerDeadLetters
    from goldwire.targets.azure.service_bus.target import ServiceBusSettings

    settings = application.targets.settings(target)
    assert isinstance(settings, ServiceBusSettings), "the kind says so"
    if connection_string is not None:
        resolved = application.loaded.references.resolve(connection_string, "--connection-string")
        settings = replace(settings, connection_string=resolved, sas_token=None)
    return BrokerDeadLetters(target, settings, subscription)
