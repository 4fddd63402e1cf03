"""The local Azure peer as a whole: a broker, the addresses of its entities, the policies, and the server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from goldwire_emulator.amqp.connection import Settings
from goldwire_emulator.amqp.endpoint import Node, Router
from goldwire_emulator.amqp.sas import JwtVerifier, Policy, SasAuthority
from goldwire_emulator.broker.broker import Broker, open_broker
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import Limits
from goldwire_emulator.clock import Clock, SystemClock
from goldwire_emulator.eventhubs.nodes import EventHubRouter
from goldwire_emulator.https import Https
from goldwire_emulator.server import LOOPBACK, Server
from goldwire_emulator.servicebus.atom import Directory
from goldwire_emulator.servicebus.nodes import ServiceBusRouter

ROOT = Policy("RootManageSharedAccessKey", "SAS_KEY_VALUE")
"""The policy of Microsoft's emulators: a well-known name and key, no secret."""


class Emulator:
    """Event Hubs and Service Bus on loopback. An asynchronous context manager.

    Args:
        config: the entities.
        folder: keeps everything across restarts; None: in memory.
        policies: who may do what.
        jwt: verifies tokens of Entra; without it none is believed.
        tls: a server's context; None: plain TCP, which the SDKs use with `UseDevelopmentEmulator=true`.
        port: 0 takes a free one.
        https_port: answers there what a namespace answers on 443, over TLS only; 0 takes a free one, None: nowhere.
        limits: quotas; None: those of the services' standard tiers.
        clock: None: the machine's.
    """

    def __init__(
        self,
        config: BrokerConfig,
        folder: Path | None = None,
        *,
        policies: Sequence[Policy] = (ROOT,),
        jwt: JwtVerifier | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        https_port: int | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.policies = tuple(policies)
        self.broker: Broker = open_broker(folder, config, limits=limits, clock=clock)
        routers = (EventHubRouter(self.broker.event_hubs, clock.now), ServiceBusRouter(self.broker.service_bus))
        authority = SasAuthority(policies, clock.now, jwt)
        self.server = Server(Settings(router=_first(routers), authority=authority, now=clock.now), port=port, tls=tls)
        self.https: Https | None = None
        if https_port is not None:
            assert tls is not None, "HTTPS needs a certificate"
            directory = Directory(config, limits or Limits(), self.broker.service_bus.counts)
            self.https = Https(self.server, directory, authority, tls, https_port)
        self._tls = tls is not None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken; the store is closed.
        """
        try:
            await self.server.start()
            if self.https is not None:
                await self.https.start()
        except OSError:
            await self.stop()
            raise
        self._running = asyncio.get_running_loop().create_task(self.broker.run())

    async def stop(self) -> None:
        """Close all connections and the store."""
        if self.https is not None:
            await self.https.stop_listening()
        await self.server.stop()
        if self.https is not None:
            await self.https.stop()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self.broker.close()

    def connection_string(self, entity: str = "", policy: Policy | None = None) -> str:
        """Return what the SDKs take.

        Args:
            entity: a hub, queue or topic for `EntityPath`; empty: none is named.
            policy: whose key; None: the first.
        """
        return connection_string(self.server.port, policy or self.policies[0], entity=entity, tls=self._tls)

    @property
    def endpoint(self) -> str:
        """What the SDKs take as `custom_endpoint_address`; over TLS it is needed, since there they ignore the port."""
        return f"sb://localhost:{self.server.port}"

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()


def connection_string(port: int, policy: Policy, *, entity: str = "", tls: bool = False) -> str:
    """Return what the SDKs take to reach an emulator on loopback.

    With TLS the SDKs ignore the port: there `custom_endpoint_address="sb://localhost:PORT"` is needed beside it.

    Args:
        port: that it listens on.
        policy: whose key.
        entity: a hub, queue or topic for `EntityPath`; empty: none is named.
        tls: whether it uses TLS.
    """
    parts = [
        "Endpoint=sb://localhost" if tls else f"Endpoint=sb://{LOOPBACK}:{port}",
        f"SharedAccessKeyName={policy.name}",
        f"SharedAccessKey={policy.key}",
        *([] if tls else ["UseDevelopmentEmulator=true"]),
        *([f"EntityPath={entity}"] if entity else []),
    ]
    return ";".join(parts)


def _first(routers: Sequence[Router]) -> Router:
    """Return a router that asks each in turn."""

    def route(address: str) -> Node | None:
        return next((node for node in (router(address) for router in routers) if node is not None), None)

    return route
