"""A `kafka` target's client certificate: what a TLS server is shown, and what is wrong with it at opening."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget

PASSWORD = "zqxjkvmarker"


class Listener:
    """A server that asks for a certificate, notes whose it is shown, and hangs up: no broker, so no target opens."""

    def __init__(self, authority: trustme.CA) -> None:
        self.seen: set[str] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED
        authority.issue_cert("localhost").configure_cert(self._context)
        authority.configure_trust(self._context)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError), self._context.wrap_socket(connection, server_side=True) as wrapped:
                    self.seen.add(wrapped.getpeercert()["subjectAltName"][0][1])

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def listener(authority: trustme.CA) -> Iterator[Listener]:
    found = Listener(authority)
    yield found
    found.close()


def open_target(address: str, **settings: Any) -> None:
    async def run() -> None:
        of_topic = KafkaSettings(bootstrap_servers=(address,), topic="t", connect_timeout_seconds=2, **settings)
        target = KafkaTarget("k", of_topic, SystemClock())
        try:
            await target.open()
        finally:
            await target.close()

    asyncio.run(run())


@pytest.mark.parametrize("files", ["two", "one"])
def test_a_server_is_shown_the_certificate_from_two_files_or_from_one(
    tmp_path: Path, authority: trustme.CA, listener: Listener, files: str
) -> None:
    issued = authority.issue_cert("goldwire@example.com")
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "own.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "all.pem"))
    two = {"certificate_file": str(tmp_path / "own.pem"), "key_file": str(tmp_path / "own.key")}
    settings = two if files == "two" else {"certificate_file": str(tmp_path / "all.pem")}
    with pytest.raises(ConnectionError):
        open_target(listener.address, ca_file=str(tmp_path / "authority.pem"), **settings)
    assert listener.seen == {"goldwire@example.com"}


def test_a_key_of_another_certificate_is_named_and_an_expired_certificate_is_not_the_settings_fault(
    tmp_path: Path, authority: trustme.CA, listener: Listener
) -> None:
    file, key = tmp_path / "own.pem", tmp_path / "own.key"
    authority.issue_cert("a@example.com").cert_chain_pems[0].write_to_path(str(file))
    authority.issue_cert("b@example.com").private_key_pem.write_to_path(str(key))
    with pytest.raises(ConfigError, match="target 'k': the key in key_file is not that of the first certificate") as caught:
        open_target(listener.address, certificate_file=str(file), key_file=str(key), key_password=PASSWORD)
    assert PASSWORD not in str(caught.value)
    ended = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
    authority.issue_cert("c@example.com", **ended).private_key_and_cert_chain_pem.write_to_path(str(file))
    with pytest.raises(ConnectionError, match="has expired, at 2021-01-01"):
        open_target(listener.address, certificate_file=str(file))
    assert listener.seen == set()
