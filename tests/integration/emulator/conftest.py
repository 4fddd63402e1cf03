"""An emulator that runs in a thread of its own, for SDKs that block."""

import asyncio
import gc
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import trustme

from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings
from goldwire_emulator.emulator import Emulator

HUBS = BrokerConfig(hubs=(HubSettings("orders", 4, ("audit",)), HubSettings("single", 1)))


class Running:
    """An emulator on an event loop in a thread."""

    def __init__(self, config: BrokerConfig = HUBS, folder: Path | None = None, **settings) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.emulator = Emulator(config, folder, **settings)
        self.do(self.emulator.start())

    def do(self, work):
        """Run a coroutine there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, function: Callable, *args):
        """Call a function on the loop's thread, and wait for it."""
        done: Future = Future()

        def run() -> None:
            try:
                done.set_result(function(*args))
            except Exception as error:  # noqa: BLE001 - whatever it raises is raised where it was called
                done.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return done.result(60)

    def connection_string(self, entity: str = "", **which) -> str:
        return self.emulator.connection_string(entity, **which)

    def stop(self) -> None:
        self.do(self.emulator.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start emulators; they are stopped in the end."""
    running: list[Running] = []

    def begin(*args, **settings) -> Running:
        running.append(Running(*args, **settings))
        return running[-1]

    yield begin
    for one in running:
        if not one.loop.is_closed():
            one.stop()


@pytest.fixture
def hubs() -> BrokerConfig:
    """The hubs `orders` with four partitions and `single` with one."""
    return HUBS


@pytest.fixture
def peer(start) -> Running:
    """An emulator in memory, plain TCP."""
    return start()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what the SDKs leave to the garbage collector, sockets whose connection was cut, while the test still bears it."""
    yield
    gc.collect()


class Certificates:
    """A certificate for localhost, and the file of the authority that a client is to trust."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.context)
        self.file = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.file)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))
