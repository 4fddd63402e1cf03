"""What a namespace answers on port 443: AMQP over WebSockets, and the management API of Service Bus, to read only.

Needs aiohttp, which the extra `https` brings.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from goldwire_emulator.amqp.claims import Authority, covers, path_of
from goldwire_emulator.amqp.endpoint import AmqpError, Right
from goldwire_emulator.amqp.sas import SAS_KIND
from goldwire_emulator.extra import needed
from goldwire_emulator.server import LOOPBACK, Server
from goldwire_emulator.servicebus.atom import Directory

if TYPE_CHECKING:
    from aiohttp import web

SUBPROTOCOL = "AMQPWSB10"
"""Of AMQP over WebSockets, as Microsoft's SDKs name it (the standard's is `amqp`)."""

_CHUNK_BYTES = 65_536
_FRAME_BYTES_MAX = 4 * 1024 * 1024


class Https:
    """Listens on loopback beside an AMQP server, and hands it the connections that come over WebSockets.

    Args:
        server: takes the connections.
        directory: the entities that can be read.
        authority: believes tokens.
        tls: the server's context.
        port: 0 takes a free one.
    """

    def __init__(self, server: Server, directory: Directory, authority: Authority, tls: ssl.SSLContext, port: int = 0) -> None:
        self.port = port
        with needed("aiohttp", used_by="the emulator's HTTPS port"):
            self._web: Any = importlib.import_module("aiohttp.web")
        self._server = server
        self._directory = directory
        self._authority = authority
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the port is taken.
        """
        app = self._web.Application()
        app.router.add_get("/$servicebus/websocket{end:/?}", self._websocket)
        app.router.add_route("*", "/{path:.*}", self._manage)
        runner = self._runner = self._web.AppRunner(app, access_log=None)
        await runner.setup()
        site = self._web.TCPSite(runner, LOOPBACK, self.port, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Take no new client; connections over WebSockets end with the AMQP server's."""
        for site in list(self._runner.sites) if self._runner is not None else ():
            await site.stop()

    async def stop(self) -> None:
        """Stop listening, and wait for the connections over WebSockets: the AMQP server ends them, and is stopped before."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Carry bytes between a WebSocket and a connection of the AMQP server; the ends of frames mean nothing."""
        client: web.WebSocketResponse = self._web.WebSocketResponse(protocols=(SUBPROTOCOL,), max_msg_size=_FRAME_BYTES_MAX)
        await client.prepare(request)
        near, far = socket.socketpair()
        await self._server.adopt(far)
        reader, writer = await asyncio.open_connection(sock=near)
        forwarding = asyncio.create_task(_forward(reader, client))
        try:
            with suppress(ConnectionError):  # the AMQP server has cut it
                async for message in client:
                    if isinstance(message.data, bytes):
                        writer.write(message.data)
                        await writer.drain()
        finally:
            writer.close()
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
        return client

    async def _manage(self, request: web.Request) -> web.Response:
        path, query = request.match_info["path"], request.query
        try:
            token, audience = request.headers.get("Authorization", ""), f"https://localhost/{path}"
            claim = self._authority.verify(token, SAS_KIND, audience)
        except AmqpError as error:
            return self._error(401, error.description or "")
        if Right.MANAGE not in claim.rights or not covers(claim.path, path_of(audience)):
            return self._error(401, f"Manage claim is required for {path_of(audience)!r}.")
        if request.method != "GET":
            return self._error(405, "This emulator's entities are those of its Config.json; they can only be read here.")
        skip, top = query.get("$skip", "0"), query.get("$top", "100")
        if not (skip.isdecimal() and top.isdecimal()):
            return self._error(400, "$skip and $top are whole numbers.")
        document = self._directory.answer(path, int(skip), int(top))
        made: web.Response = self._web.Response(body=document, content_type="application/atom+xml", charset="utf-8")
        return made

    def _error(self, code: int, text: str) -> web.Response:
        body = f"<Error><Code>{code}</Code><Detail>{escape(text)}</Detail></Error>"
        made: web.Response = self._web.Response(status=code, text=body, content_type="application/xml")
        return made


async def _forward(reader: asyncio.StreamReader, client: web.WebSocketResponse) -> None:
    """Send a client what the AMQP server writes, until it ends the connection."""
    while data := await reader.read(_CHUNK_BYTES):
        await client.send_bytes(data)
    await client.close()
