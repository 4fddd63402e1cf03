"""What an emulator leaves behind that could not start, or that has stopped."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from pathlib import Path

import aiohttp
import pytest

from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.certificate import server_context
from goldwire_emulator.emulator import Emulator


def test_a_server_that_has_stopped_adopts_no_connection() -> None:
    async def check() -> None:
        emulator = Emulator(BrokerConfig())
        await emulator.start()
        await emulator.stop()
        near, far = socket.socketpair()
        await emulator.server.adopt(far)
        reader, writer = await asyncio.open_connection(sock=near)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
        assert emulator.server.connection_count == 0

    asyncio.run(check())


def test_an_emulator_that_stops_takes_no_websocket_while_its_clients_say_goodbye(tmp_path: Path) -> None:
    async def check() -> None:
        emulator = Emulator(BrokerConfig(), tls=server_context(tmp_path), https_port=0)
        await emulator.start()
        assert emulator.https is not None
        stop, port = emulator.server.stop, emulator.https.port

        async def stop_while_one_more_comes() -> None:
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get(f"https://localhost:{port}/", ssl=False)
            await stop()

        emulator.server.stop = stop_while_one_more_comes  # the real one, and before it somebody who comes late
        await emulator.stop()

    asyncio.run(check())


def test_an_emulator_whose_https_port_is_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    async def check() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            emulator = Emulator(BrokerConfig(), tls=server_context(tmp_path), https_port=taken.getsockname()[1])
            with pytest.raises(OSError, match="address already in use"):
                await emulator.start()
        assert emulator.https is not None
        assert emulator.https._runner is None

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        asyncio.run(check())
        gc.collect()
