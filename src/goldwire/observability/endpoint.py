"""Serves the metrics of a process, and whether it is well and ready, over HTTP: `/metrics`, `/health`, `/ready`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from goldwire.errors import ConfigError
from goldwire.redaction import shows

REQUEST_SECONDS = 10.0
"""A client that takes longer over a request is cut off."""

PORT_MAX = 65_535


@shows("well")
class Report(NamedTuple):
    """What is said at `/health` or `/ready`."""

    well: bool
    """200 where it is so, else 503."""
    document: dict[str, Any]


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Read `HOST:PORT`, or `[HOST]:PORT` for an address of IPv6.

        Raises:
            ConfigError: it is something else.
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        sound = colon and bare and (":" not in host or bare != host) and port.isascii() and port.isdigit()
        if not sound or not 0 < int(port) <= PORT_MAX:
            raise ConfigError(f"--metrics-address {text}: give HOST:PORT, e.g. 127.0.0.1:9464 or [::1]:9464")
        return cls(bare, int(port))


class Endpoint:
    """An HTTP server in threads of its own, which end with the process.

    Args:
        address: where it listens.
        registry: the metrics.
        health: says whether the process works; called in any thread, as the next one.
        ready: says whether it does what it is there for.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(
        self, address: Address, registry: CollectorRegistry, health: Callable[[], Report], ready: Callable[[], Report]
    ) -> None:
        def answer(path: str) -> tuple[HTTPStatus, str, bytes]:
            if path == "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)
            if path in ("/health", "/ready"):
                report = health() if path == "/health" else ready()
                status = HTTPStatus.OK if report.well else HTTPStatus.SERVICE_UNAVAILABLE
                return status, "application/json", json.dumps(report.document).encode() + b"\n"
            return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there are /metrics, /health and /ready\n"

        handler = type("_BoundHandler", (_Handler,), {"answer": staticmethod(answer)})
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        self._server = type("_BoundServer", (_Server,), {"address_family": family})(tuple(address), handler)
        threading.Thread(target=self._server.serve_forever, name="goldwire-metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    answer: Callable[[str], tuple[HTTPStatus, str, bytes]]
    server_version = "goldwire"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        status, media_type, body = self.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is that of the base class
        """Write no line for each request."""
