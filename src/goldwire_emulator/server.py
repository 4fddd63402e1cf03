"""Listens on loopback and gives every client a connection; plain TCP or TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

from goldwire_emulator.amqp.connection import Connection, Settings

LOOPBACK = "127.0.0.1"


class Server:
    """An AMQP server.

    Args:
        settings: what all its connections share.
        host: to listen on.
        port: 0 takes a free one.
        tls: a server's context; None: plain TCP.
    """

    def __init__(self, settings: Settings, *, host: str = LOOPBACK, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def adopt(self, accepted: socket.socket) -> None:
        """Take a connection that another door accepted, and that needs no TLS any more."""
        await asyncio.get_running_loop().connect_accepted_socket(self._connection, accepted)

    def drop_connections(self) -> int:
        """Cut all connections without a word, as a network does; return how many there were. New ones are welcome."""
        dropped = list(self._connections)
        for connection in dropped:
            connection.drop()
        return len(dropped)

    async def stop(self, grace_seconds: float = 1.0) -> None:
        """Stop listening, and close all connections; those that do not go in time are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._wait_for_none()
        self.drop_connections()
        await self._wait_for_none()

    async def _wait_for_none(self) -> None:
        while self._connections:
            self._none_left.clear()
            await self._none_left.wait()

    def _connection(self) -> Connection:
        return Connection(self._settings, self._came, self._gone)

    def _came(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._server is None:
            connection.drop()  # it was still being accepted when the server stopped

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._none_left.set()
