"""`goldwire emulator`: Event Hubs and Service Bus on this machine, for the unmodified Azure SDKs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldwire.app.options import JsonOption
from goldwire.app.output import note, say, show

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from goldwire.testing.azure.broker.config import BrokerConfig
    from goldwire.testing.azure.emulator import Emulator

_PORT = 5672
"""Of AMQP, and of Microsoft's emulators."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(emulator)


def emulator(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="The entities, in the Config.json format of Microsoft's emulators; without it a few."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder that keeps everything across restarts; without it in memory.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free port.")
    ] = _PORT,
    tls: Annotated[
        Path | None,
        typer.Option("--tls", help="Speak TLS with cert.pem and key.pem of this folder, which are made if it holds none."),
    ] = None,
    https_port: Annotated[
        int | None,
        typer.Option(
            "--https-port",
            min=0,
            max=65535,
            help="With --tls: answer here what a namespace does on 443: AMQP over WebSockets, and the management API to read.",
        ),
    ] = None,
    throttle: Annotated[
        float | None,
        typer.Option(
            "--throttle",
            min=0.001,
            help="Refuse what comes faster than so many events or messages a second to one entity, with server-busy.",
        ),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            "--quota",
            min=1,
            help="How many bytes a queue or subscription holds; what comes then is refused with resource-limit-exceeded.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run Event Hubs and Service Bus on this machine, until Ctrl-C or SIGTERM.

    The unmodified Azure SDKs work with it. It shows that a program works with the SDKs, not that Azure would agree. It listens
    on loopback only, and its key is the well-known one of Microsoft's emulators.
    """
    import asyncio

    from msgspec.structs import replace

    from goldwire.app.running import loop_factory
    from goldwire.errors import InputError
    from goldwire.testing.azure.broker.config import read_config
    from goldwire.testing.azure.broker.entities import Limits
    from goldwire.testing.azure.certificate import server_context
    from goldwire.testing.azure.emulator import Emulator

    if https_port is not None and tls is None:
        raise InputError("--https-port: needs --tls FOLDER for its certificate")
    entities = _few() if config is None else read_config(config)
    limits = Limits(ingress_per_second=throttle)
    if quota is not None:
        limits = replace(limits, max_entity_bytes=quota)
    context = None if tls is None else server_context(tls)
    peer = Emulator(entities, data, tls=context, port=port, https_port=https_port, limits=limits)

    ports = f"--port {port}" if https_port is None else f"--port {port} or --https-port {https_port}"
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(peer, ports, lambda: _tell(_result(peer, entities, tls), as_json=as_json)))


async def _serve(peer: Emulator, ports: str, tell: Callable[[], None]) -> None:
    """Run until a signal ends it.

    Args:
        peer: the emulator.
        ports: the options that an error names where a port is taken.
        tell: called once it listens.
    """
    from goldwire.errors import GoldwireError

    ended = _signalled()
    try:
        await peer.start()
    except OSError as error:
        raise GoldwireError(f"{ports}: {error.strerror}; choose another port, or 0 for a free one") from error
    tell()
    await ended.wait()
    await peer.stop()


def _tell(result: dict[str, Any], *, as_json: bool) -> None:
    import sys

    show(result, as_json=as_json, render=lambda: _render(result))
    for objection in () if as_json else result["container_objections"]:
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
    from goldwire.testing.azure.broker.config import BrokerConfig
    from goldwire.testing.azure.broker.entities import HubSettings, QueueSettings, SubscriptionSettings, TopicSettings

    return BrokerConfig(
        hubs=(HubSettings("eh1", 4, ("cg1",)),),
        queues=(QueueSettings(name="queue.1"), QueueSettings(name="queue.sessions", requires_session=True)),
        topics=(TopicSettings(name="topic.1", subscriptions=(SubscriptionSettings(name="subscription.1"),)),),
    )


def _result(peer: Emulator, entities: BrokerConfig, tls: Path | None) -> dict[str, Any]:
    from goldwire.testing.azure.broker.config import objections
    from goldwire.testing.azure.certificate import CERTIFICATE

    return {
        "connection_string": peer.connection_string(),
        "endpoint": peer.endpoint,
        "port": peer.server.port,
        "https_port": None if peer.https is None else peer.https.port,
        "certificate": None if tls is None else str((tls / CERTIFICATE).resolve()),
        "event_hubs": [hub.name for hub in entities.hubs],
        "queues": [queue.name for queue in entities.queues],
        "topics": [topic.name for topic in entities.topics],
        "container_objections": objections(entities),
    }


def _render(result: dict[str, Any]) -> None:
    say(f"ready: {result['connection_string']}")
    if result["certificate"]:
        note(
            f"over TLS the SDKs need custom_endpoint_address={result['endpoint']} and connection_verify={result['certificate']}"
        )
    if result["https_port"]:
        note(f"over WebSockets custom_endpoint_address=sb://localhost:{result['https_port']}; the management API is there too")
    for kind in ("event_hubs", "queues", "topics"):
        if result[kind]:
            note(f"{kind.replace('_', ' ')}: {', '.join(result[kind])}")
