"""PgBouncer in front of a server of a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from goldwire.testing.target_suite import SECRET
from support.held_port import HeldPort

PATIENCE_SECONDS = 60

INI = """[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr=127.0.0.1
listen_port={port}
auth_type=trust
auth_file={folder}/users
pool_mode=transaction
unix_socket_dir=
logfile={folder}/log
pidfile={folder}/pid
default_pool_size={sessions}
"""


class Pooler:
    """PgBouncer in front of the server of a test, which gives a session to each client that begins a transaction."""

    def __init__(self, database: Any, folder: str, sessions: int) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
        self._held = HeldPort()
        port = self._held.number
        root = Path(folder)
        (root / "users").write_text(f'"postgres" "{SECRET}"\n')
        (root / "ini").write_text(INI.format(server=database.wire.port, port=port, folder=folder, sessions=sessions))
        user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            user = ["-u", "nobody"]
            for path in (root, *root.iterdir()):
                os.chown(path, 65534, 65534)
        self.url = f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres"
        self._process = subprocess.Popen(
            [program, "-q", *user, str(root / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _listens(port):
            assert self._process.poll() is None, "pgbouncer ended by itself"
            assert time.monotonic() < deadline, "pgbouncer did not start"
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        self._held.release()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
