from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from goldwire.clock import SystemClock
from goldwire.targets.base import Delivered, Item, Outcome, Rejected, Throttled, Unavailable, Unknown
from goldwire.targets.webhook.target import WebhookSettings, WebhookTarget
from goldwire.testing.events import sealed

PATIENCE_SECONDS, PORTS_TRIED = 120, 5
CONFIGURATION = """
{user}
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  log_format requests '$connection $status $request_length $http_webhook_id';
  access_log {folder}/access.log requests;
  limit_req_zone $server_name zone=slow:32k rate=1r/m;
  client_max_body_size 100k;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port}; server_name receiver;
    location /ok {{ return 200 '{{"status":"ok"}}'; }}
    location /moved {{ return 301 /ok; }}
    location /slow {{ limit_req zone=slow; limit_req_status 429; add_header Retry-After 60 always; try_files /none =204; }}
    location /dead {{ proxy_pass http://127.0.0.1:9; }}
    location /dropped {{ return 444; }}
    location /private {{ deny all; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx)")
    for _ in range(PORTS_TRIED):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, user=user))
        process = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
        if listens(process, folder / "pid"):
            break
    else:
        raise AssertionError((folder / "error.log").read_text())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def listens(process: subprocess.Popen[bytes], pid: Path) -> bool:
    """Wait for nginx to note its number, which it does once the port is its own; if another took that before, it ends."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not pid.exists():
        if process.poll() is not None:
            return False
        assert time.monotonic() < give_up, "nginx did not start"
        time.sleep(0.05)
    return True


def post(url: str, count: int = 1, *, size: int = 10, **settings: Any) -> list[Outcome]:
    async def run() -> Sequence[Outcome]:
        target = WebhookTarget("hook", WebhookSettings(url=url, **settings), SystemClock())
        await target.open()
        try:
            return await target.send([Item(sealed(f"e{n}", 1, {"name": "x" * size})) for n in range(count)])
        finally:
            await target.close()

    return list(asyncio.run(run()))


def test_many_events_share_few_connections(url: str, folder: Path) -> None:
    (folder / "access.log").write_bytes(b"")
    assert set(post(f"{url}/ok", 500, size=1_000, connections=8)) == {Delivered()}
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(lines := (folder / "access.log").read_text().splitlines()) < 500:  # nginx answers first, and notes it then
        assert time.monotonic() < give_up, len(lines)
        time.sleep(0.05)
    assert len(lines) == 500
    # Eight at a time; a connection not yet back in the client's pool when its slot is taken again is replaced.
    assert len({line.split()[0] for line in lines}) <= 40
    assert all(re.fullmatch(r"\d+ 200 \d+ Customer:e\d+:1", line) for line in lines)


def test_arrays_of_a_hundred_arrive(url: str) -> None:
    assert set(post(f"{url}/ok", 1_000, batch="array", connections=4)) == {Delivered()}


def test_a_redirect_is_not_followed(url: str) -> None:
    (outcome,) = post(f"{url}/moved")
    assert isinstance(outcome, Unavailable)
    assert "HTTP 301 (text/html)" in outcome.reason


def test_a_rate_limit_is_throttled_for_as_long_as_it_says(url: str) -> None:
    post(f"{url}/slow")
    assert post(f"{url}/slow") == [Throttled(60.0)]


def test_a_gateway_whose_server_is_down_is_unknown(url: str) -> None:
    assert post(f"{url}/dead") == [Unknown("the receiver failed: HTTP 502 (text/html)")]


def test_a_dropped_connection_is_unknown(url: str) -> None:
    assert isinstance(post(f"{url}/dropped")[0], Unknown)


def test_an_access_rule_is_unavailable_and_kills_no_event(url: str) -> None:
    assert isinstance(post(f"{url}/private")[0], Unavailable)


def test_an_event_that_is_too_large_is_rejected_and_an_array_of_small_ones_is_split(url: str) -> None:
    assert isinstance(post(f"{url}/ok", size=200_000)[0], Rejected)
    assert set(post(f"{url}/ok", 20, size=10_000, batch="array")) == {Delivered()}
