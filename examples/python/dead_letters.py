"""A target refuses an event for good: it is a dead letter, holds up no other customer, and there is a way out."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from customers import configuration

from goldwire import Goldwire


class Picky(BaseHTTPRequestHandler):
    """Refuses Grace until it is mended."""

    mended = False

    def do_POST(self) -> None:
        """Take one request, or refuse it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(422 if b"Grace" in body and not Picky.mended else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Picky)
threading.Thread(target=server.serve_forever, daemon=True).start()
shop = {
    "kind": "webhook", "contract": "whole", "clearance": ["pii"],
    "settings": {"url": f"http://127.0.0.1:{server.server_port}/", "plain_http": True},
}  # fmt: skip

with Goldwire.open(configuration(targets={"shop": shop}, log={"level": "error"})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    [run] = goldwire.run()
    print(f"{run.counts.delivered} delivered, {run.counts.dead} dead")
    for letter in goldwire.dead_letters("shop"):
        print(f"position {letter.seq}, version {letter.version}: {letter.reason}")

    Picky.mended = True
    print(f"{goldwire.redrive('shop').redrive} due again")
    [run] = goldwire.run()
    print(f"{run.counts.delivered} delivered, {run.counts.dead} dead")

server.shutdown()
server.server_close()
