"""`goldwire-emulator` and `goldwire emulator`: Event Hubs and Service Bus here, for the unmodified Azure SDKs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire_emulator.output import note, reporting, say

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable

    from goldwire_emulator.amqp.sas import Policy
    from goldwire_emulator.broker.config import BrokerConfig
    from goldwire_emulator.broker.entities import Limits
    from goldwire_emulator.emulator import Emulator

PROGRAM = "goldwire-emulator"
"""The name of the command where Goldwire is not needed."""
_PORT = 5672
"""Of AMQP, and of Microsoft's emulators."""
_KINDS = ("event_hubs", "queues", "topics")
"""Of entities, as the result names them."""

EntitiesOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The entities, in the Config.json format of Microsoft's emulators; without it a few."),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="A folder that keeps everything across restarts; without it in memory.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free port.")]
TlsOption = Annotated[
    Path | None,
    typer.Option("--tls", help="Use TLS with cert.pem and key.pem of this folder, which are made if it holds none."),
]
HttpsPortOption = Annotated[
    int | None,
    typer.Option(
        "--https-port",
        min=0,
        max=65535,
        help="With --tls: answer here what a namespace does on 443: AMQP over WebSockets, and the management API to read.",
    ),
]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME=RIGHTS",
        help="One more policy, with send, listen, both (send,listen) or manage; its connection string is printed. Repeatable.",
    ),
]
ThrottleOption = Annotated[
    float | None,
    typer.Option(
        "--throttle",
        min=0.001,
        help="Refuse what comes faster than so many events or messages a second to one entity, with server-busy.",
    ),
]
QuotaOption = Annotated[
    int | None,
    typer.Option(
        "--quota",
        min=1,
        help="How many bytes a queue or subscription holds; what comes then is refused with resource-limit-exceeded.",
    ),
]


JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output, and nothing else there.")]


def register(app: typer.Typer) -> None:
    """Add the command to Goldwire's command line; its errors look like those of the other commands."""
    app.command()(reporting(emulator, "goldwire"))


def command_line() -> typer.Typer:
    """Return a command line that is this command and nothing else."""
    app = typer.Typer(
        name=PROGRAM,
        epilog="Exit codes: 0 done, 1 the port is taken, 2 command line wrong or a package missing, 3 input unusable, "
        "4 data folder busy, 5 no room, 6 data folder damaged.",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(reporting(emulator, PROGRAM))
    return app


def emulator(
    *,
    config: EntitiesOption = None,
    data: DataOption = None,
    port: PortOption = _PORT,
    tls: TlsOption = None,
    https_port: HttpsPortOption = None,
    policy: PolicyOption = None,
    throttle: ThrottleOption = None,
    quota: QuotaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run Event Hubs and Service Bus on this machine, until Ctrl-C or SIGTERM.

    The unmodified Azure SDKs work with it. It shows that a program works with the SDKs, not that Azure would agree. It listens
    on loopback only, and its key is the well-known one of Microsoft's emulators.
    """
    import asyncio

    from goldwire_emulator.broker.config import read_config
    from goldwire_emulator.emulator import Emulator
    from goldwire_emulator.errors import InputError

    if https_port is not None and tls is None:
        raise InputError("--https-port: needs --tls FOLDER for its certificate")
    entities = _few() if config is None else read_config(config)
    peer = Emulator(
        entities,
        data,
        policies=_policies(policy or []),
        tls=None if tls is None else _server_context(tls),
        port=port,
        https_port=https_port,
        limits=_limits(throttle, quota),
    )
    ports = f"--port {port}" if https_port is None else f"--port {port} or --https-port {https_port}"
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(peer, ports, lambda: _print_result(_result(peer, entities, tls), as_json=as_json)))


def _server_context(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of the folder's certificate.

    Raises:
        MissingPackageError: the package that makes certificates is not installed.
    """
    from goldwire_emulator.extra import needed

    with needed("cryptography", used_by="--tls"):
        from goldwire_emulator.certificate import server_context
    return server_context(folder)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest event loop there is here, None for Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _limits(throttle: float | None, quota: int | None) -> Limits:
    from msgspec.structs import replace

    from goldwire_emulator.broker.entities import Limits

    limits = Limits(ingress_per_second=throttle)
    return limits if quota is None else replace(limits, max_entity_bytes=quota)


def _policies(asked_for: list[str]) -> list[Policy]:
    """Return the well-known policy, and those that were asked for, with the well-known key too: it protects nothing.

    Raises:
        InputError: one cannot be read, or its name is taken.
    """
    from goldwire_emulator.amqp.endpoint import Right
    from goldwire_emulator.amqp.sas import ALL_RIGHTS, Policy
    from goldwire_emulator.emulator import ROOT
    from goldwire_emulator.errors import InputError

    known = {right.value.lower(): right for right in Right}
    found = {ROOT.name: ROOT}
    for text in asked_for:
        name, _, listed = text.partition("=")
        words = [word.strip().lower() for word in listed.split(",")]
        if not name or not all(word in known for word in words):
            raise InputError(f"--policy {text}: write NAME=send, NAME=listen, NAME=send,listen or NAME=manage")
        if name in found:
            raise InputError(f"--policy {text}: there is a policy {name} already")
        rights = frozenset(known[word] for word in words)
        found[name] = Policy(name, ROOT.key, ALL_RIGHTS if Right.MANAGE in rights else rights)
    return list(found.values())


async def _serve(peer: Emulator, ports: str, tell: Callable[[], None]) -> None:
    """Run until a signal ends it.

    Args:
        peer: the emulator.
        ports: the options that an error names where a port is taken.
        tell: called once it listens.
    """
    import os

    from goldwire_emulator.errors import EmulatorError

    ended = _signalled()
    try:
        await peer.start()
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else error.strerror  # asyncio puts the address in front
        raise EmulatorError(f"{ports}: {said}; choose another port, or 0 for a free one") from error
    tell()
    await ended.wait()
    await peer.stop()


def _print_result(result: dict[str, Any], *, as_json: bool) -> None:
    import json
    import sys

    if as_json:
        say(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _render(result)
        for objection in result["container_objections"]:
            note(f"Microsoft's containers would refuse this Config.json: {objection}")
    sys.stdout.flush()


def _signalled() -> asyncio.Event:
    """Return what is set by the signals that end a program; from now on they do nothing else."""
    import asyncio
    import signal

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


def _few() -> BrokerConfig:
    """Return a few entities, named as in the examples of Microsoft's emulators."""
    from goldwire_emulator.broker.config import BrokerConfig
    from goldwire_emulator.broker.entities import HubSettings, QueueSettings, SubscriptionSettings, TopicSettings

    return BrokerConfig(
        hubs=(HubSettings("eh1", 4, ("cg1",)),),
        queues=(QueueSettings(name="queue.1"), QueueSettings(name="queue.sessions", requires_session=True)),
        topics=(TopicSettings(name="topic.1", subscriptions=(SubscriptionSettings(name="subscription.1"),)),),
    )


def _result(peer: Emulator, entities: BrokerConfig, tls: Path | None) -> dict[str, Any]:
    from goldwire_emulator.broker.config import objections

    return {
        "connection_string": peer.connection_string(),
        "policies": {
            policy.name: {
                "rights": sorted(right.value for right in policy.rights),
                "connection_string": peer.connection_string(policy=policy),
            }
            for policy in peer.policies
        },
        "endpoint": peer.endpoint,
        "port": peer.server.port,
        "https_port": None if peer.https is None else peer.https.port,
        "certificate": None if tls is None else _certificate(tls),
        "event_hubs": [hub.name for hub in entities.hubs],
        "queues": [queue.name for queue in entities.queues],
        "topics": [topic.name for topic in entities.topics],
        "container_objections": objections(entities),
    }


def _certificate(folder: Path) -> str:
    from goldwire_emulator.certificate import CERTIFICATE

    return str((folder / CERTIFICATE).resolve())


def _render(result: dict[str, Any]) -> None:
    say(f"ready: {result['connection_string']}")
    for name, policy in list(result["policies"].items())[1:]:
        say(f"{name} ({', '.join(policy['rights'])}): {policy['connection_string']}")
    if result["certificate"]:
        note(
            f"over TLS the SDKs need custom_endpoint_address={result['endpoint']} and connection_verify={result['certificate']}"
        )
    if result["https_port"]:
        note(f"over WebSockets custom_endpoint_address=sb://localhost:{result['https_port']}; the management API is there too")
    for kind in _KINDS:
        if result[kind]:
            note(f"{kind.replace('_', ' ')}: {', '.join(result[kind])}")
    if not any(result[kind] for kind in _KINDS):
        note("it has no event hub, queue or topic: name some under UserConfig of Config.json")
