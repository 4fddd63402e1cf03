"""A `sql` target and databases that ask for a client certificate, which the URL names in its query."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pymysql
import pytest
import trustme

from goldwire.clock import SystemClock
from goldwire.targets.base import Delivered, Item, Outcome
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.target import SqlTarget
from goldwire.testing.events import sealed

PATIENCE_SECONDS = 120
POSTGRESQL_FOLDERS = sorted(str(one) for one in Path("/usr/lib/postgresql").glob("*/bin"))


class Certificates:
    """Of an authority: the server's, the client's, and one that another authority issued."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.folder = folder
        folder.chmod(0o755)
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        for name, issuer in (("server", authority), ("good", authority), ("bad", trustme.CA())):
            names = ("localhost", "127.0.0.1") if name == "server" else ("warehouse",)
            issued = issuer.issue_cert(*names, common_name="warehouse")
            issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
            issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
            (folder / f"{name}.key").chmod(0o600)

    def query(self, client: str | None, names: str) -> str:
        """The query of a URL: `names` are those of authority, certificate and key."""
        ca, certificate, key = names.split()
        found = {ca: self.folder / "authority.pem"}
        if client is not None:
            found |= {certificate: self.folder / f"{client}.pem", key: self.folder / f"{client}.key"}
        return "&".join(f"{name}={path}" for name, path in found.items())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.fixture(scope="module")
def mariadb_url(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, port: int) -> Iterator[str]:
    server, install = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("mariadbd is not installed (Debian: apt-get install mariadb-server)")
    folder = tmp_path_factory.mktemp("mariadb")
    words = ["--no-defaults", f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
    environment = {**os.environ, "TMPDIR": str(folder)}
    made = [install, *words, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, env=environment)
    words += [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s", "--innodb-buffer-pool-size=32M"]
    words += [f"--ssl-ca={certificates.folder}/authority.pem", f"--ssl-cert={certificates.folder}/server.pem"]
    words += [f"--ssl-key={certificates.folder}/server.key", "--performance-schema=OFF"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([server, *words], stdout=output, stderr=output, env=environment)
    try:
        wait_for(lambda: listens(f"{folder}/s"), process, log)
        with pymysql.connect(unix_socket=f"{folder}/s", user="root") as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE DATABASE warehouse")
            cursor.execute("CREATE USER goldwire@'127.0.0.1' REQUIRE X509")
            cursor.execute("CREATE USER goldwire@localhost REQUIRE X509")
            cursor.execute("GRANT ALL ON warehouse.* TO goldwire@'127.0.0.1'")
            cursor.execute("GRANT ALL ON warehouse.* TO goldwire@localhost")
        yield f"mariadb://goldwire@127.0.0.1:{port}/warehouse"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def postgresql_url(certificates: Certificates) -> Iterator[str]:
    """The server that comes from PyPI has no TLS, so it is Debian's."""
    path = os.pathsep.join([*POSTGRESQL_FOLDERS, os.environ["PATH"]])
    initdb, server = shutil.which("initdb", path=path), shutil.which("postgres", path=path)
    if initdb is None or server is None:
        pytest.skip("postgres is not installed (Debian: apt-get install postgresql)")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp())  # not in pytest's own folder, into which no other user may look
    for name in ("server.pem", "server.key", "authority.pem"):
        shutil.copy(certificates.folder / name, folder)
    if user is not None:
        for one in [folder, *folder.iterdir()]:
            shutil.chown(one, user)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    subprocess.run(
        [initdb, "-D", folder / "data", "-U", "warehouse", "-A", "trust"], check=True, user=user, capture_output=True
    )
    (folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n")
    options = {"ssl": "on", "port": free, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
    options |= {"ssl_ca_file": folder / "authority.pem", "ssl_cert_file": folder / "server.pem"}
    options |= {"ssl_key_file": folder / "server.key"}
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([server, "-D", folder / "data", *words], stdout=output, stderr=output, user=user)
    url = f"postgresql://warehouse@localhost:{free}/postgres"
    try:
        note = folder / "data" / "postmaster.pid"  # it listens some time before it says there that it is ready
        wait_for(lambda: note.exists() and "ready" in note.read_text(), process, log)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        shutil.rmtree(folder)


def send(url: str) -> list[Outcome]:
    async def run() -> Sequence[Outcome]:
        settings = SqlSettings(url=url, table="customer", columns={"name": "name"}, create_table=True)
        target = SqlTarget("warehouse", settings, SystemClock())
        try:
            await target.open()
            return await target.send([Item(sealed("a", 1, {"name": "Ada"}))])
        finally:
            await target.close()

    return list(asyncio.run(run()))


def test_mariadb_takes_the_certificate_that_the_url_names_and_no_other(mariadb_url: str, certificates: Certificates) -> None:
    names = "ssl_ca ssl_cert ssl_key"
    assert send(f"{mariadb_url}?{certificates.query('good', names)}") == [Delivered("a")]
    for client in ("bad", None):
        with pytest.raises(Exception, match="target 'warehouse'"):
            send(f"{mariadb_url}?{certificates.query(client, names)}")


def test_postgresql_takes_the_certificate_that_the_url_names_and_no_other(
    postgresql_url: str, certificates: Certificates
) -> None:
    names = "sslrootcert sslcert sslkey"
    assert send(f"{postgresql_url}?sslmode=verify-full&{certificates.query('good', names)}") == [Delivered("a")]
    for client in ("bad", None):
        with pytest.raises(Exception, match="target 'warehouse'"):
            send(f"{postgresql_url}?sslmode=verify-full&{certificates.query(client, names)}")
