"""Two files become golden records, and a webhook receives every change."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from customers import configuration

from goldwire import Goldwire

received = []


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted to it. A real one checks the signature; see docs/targets/webhook.md."""

    def do_POST(self) -> None:
        """Take one request."""
        received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
shop = {
    "kind": "webhook", "contract": "whole", "clearance": ["pii"],
    "settings": {"url": f"http://127.0.0.1:{server.server_port}/customers", "plain_http": True},
}  # fmt: skip

with Goldwire.open(configuration(targets={"shop": shop})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.ingest("billing")
    [run] = goldwire.run()

server.shutdown()
server.server_close()
print(f"{run.target} is {run.state}: {run.counts.delivered} delivered, {len(received)} requests received")
