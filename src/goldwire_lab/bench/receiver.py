"""Something to POST to: nginx that answers 204, started for this run only, or else Goldwire's own test receiver."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldwire.errors import GoldwireError

_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where nginx is when it is not on the path, as for those who are not root on Debian."""

_PATIENCE_SECONDS = 10.0

_NGINX = """\
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log "{folder}/nginx.log" crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""


@contextmanager
def receiver(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a receiver on loopback, in another process and not on the core that is measured.

    Args:
        folder: for its files.

    Yields:
        its address and what it is.

    Raises:
        GoldwireError: it did not start.
    """
    found = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))
    port = _free_port()
    if found is None:
        command = [sys.executable, "-m", "goldwire.testing.webhook_receiver", "--port", str(port)]
        what = "a receiver in Python (apt-get install nginx for a quicker one)"
    else:
        configuration = folder / "nginx.conf"
        configuration.write_text(_NGINX.format(folder=folder.absolute(), port=port), encoding="utf-8")
        command = [found, "-p", str(folder.absolute()), "-c", str(configuration.absolute())]
        what = "nginx"
    with (folder / "receiver.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - nginx or ourselves, with our own arguments
    try:
        _wait_until_it_listens(process, port, folder / "receiver.log")
        yield f"http://127.0.0.1:{port}/", what
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise GoldwireError(f"the receiver for the webhook figures did not start: {log.read_text(errors='replace')[-500:]}")
