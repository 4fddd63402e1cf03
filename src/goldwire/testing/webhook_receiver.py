"""A webhook receiver for demos and tests: checks signatures, applies events once, and misbehaves at will.

In a process of its own, `python -m goldwire.testing.webhook_receiver --help`. The path says what it does with a request:

    /                take it: 200                         /results    take it, answer an outcome for each event
    /status/N        refuse it with status N              /throttle/S refuse it: 429, Retry-After S
    /busy/S          refuse it: 503, Retry-After S        /html       take it, answer 200 with a page
    /garbage         answer 200 with bytes, no JSON       /mismatch   take it, answer too few results
    /slow/S          take it, answer after S seconds      /hang       never answer
    /close           close without an answer              /lost       take it, then close without an answer
    /redirect        307 to /                             /huge       200 with two megabytes
    GET /state       what it holds, as JSON

Only loopback: it is no server for anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hmac
import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

_REASONS = {200: "OK", 307: "Temporary Redirect", 401: "Unauthorized", 422: "Unprocessable", 429: "Too Many", 503: "Busy"}

_HUGE = b" " * 2_000_000


class Received(Struct, frozen=True):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class HeldEvent(Struct, frozen=True):
    """The newest event of an entity."""

    version: int
    deleted: bool
    event: dict[str, Any]


class _CloudEvent(Struct):
    data: Raw


class _Reply(Struct):
    status: int = 200
    body: bytes = b'{"status":"ok"}'
    media_type: str = "application/json"
    headers: dict[str, str] = {}
    close: bool = False
    wait_seconds: float = 0.0


class Receiver:
    """A server on loopback; what it holds outlives `stop`, so that an outage can be played."""

    def __init__(self, *, secrets: Sequence[str] = (), log: Path | None = None) -> None:
        """Prepare.

        Args:
            secrets: `whsec_…`; with any, a request without a valid signature is answered 401.
            log: JSON lines of each event received, as its very bytes, and whether it was applied; read back at the start.
        """
        self._keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0
        self.held: dict[str, HeldEvent] = {}
        """By entity id."""
        self.requests: deque[Received] = deque(maxlen=10_000)
        """The last requests, oldest first."""
        self.received = 0
        """Events that came, repeats included."""
        self.applied = 0
        """Events that were newer than what was held."""
        self.connections = 0
        """Connections that were ever accepted."""
        self.refused: set[str] = set()
        """Entity ids of which no event is taken: 422, or `rejected` among results."""
        self.script: deque[str] = deque()
        """What to do with the next requests instead of what their path says, e.g. `/status/500`."""
        if log is not None and log.exists():
            for line in log.read_bytes().splitlines():
                self._apply(msgspec.json.decode(line)["event"])

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; without a port on the one it had before, or else on any."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port or self._port, limit=1 << 20)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            state = {"received": self.received, "applied": self.applied, "entities": len(self.held)}
            reply = _Reply(body=msgspec.json.encode(state))
        elif method != "POST":
            reply = _Reply(405, b'{"error":"method"}', headers={"allow": "GET, POST"})
        else:
            self.requests.append(Received(path, headers, body))
            reply = self._answer(self.script.popleft() if self.script else path, headers, body)
        await asyncio.sleep(reply.wait_seconds)
        if reply.close:
            return False
        reason = _REASONS.get(reply.status, "Status")
        lines = [f"HTTP/1.1 {reply.status} {reason}", f"content-type: {reply.media_type}", f"content-length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + reply.body)
        await writer.drain()
        return True

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> _Reply:
        _, behaviour, argument = (*path.partition("?")[0].split("/", 2), "")[:3]
        refusal = _refusal(behaviour, argument)
        if refusal is not None:
            return refusal
        if not self._is_signed(headers, body):
            return _Reply(401, b'{"error":"signature"}')
        sent = _events_of(headers.get("content-type", ""), body)
        results = self._take([msgspec.json.decode(one) for one in sent], sent, headers, one_by_one=behaviour == "results")
        if results is None:
            return _Reply(422, b'{"error":"refused"}')
        replies = {
            "results": _Reply(body=msgspec.json.encode({"results": results})),
            "mismatch": _Reply(body=msgspec.json.encode({"results": results[1:]})),
            "html": _Reply(body=b"<html><body>Welcome</body></html>", media_type="text/html; charset=utf-8"),
            "lost": _Reply(close=True),
            "slow": _Reply(wait_seconds=float(argument or 0)),
        }
        return replies.get(behaviour, _Reply())

    def _take(
        self, events: list[dict[str, Any]], as_sent: list[Raw], headers: dict[str, str], *, one_by_one: bool
    ) -> list[Any] | None:
        if not one_by_one and any(event["entityId"] in self.refused for event in events):
            return None
        results = []
        lines = []
        for event, sent in zip(events, as_sent, strict=True):
            self.received += 1
            if event["entityId"] in self.refused:
                results.append({"status": "rejected"})
                continue
            applied = self._apply(event)
            # As its very bytes, but where line breaks would tear the log's lines.
            kept = event if b"\n" in bytes(sent) else sent
            lines.append(msgspec.json.encode({"applied": applied, "event": kept, "webhookId": headers.get("webhook-id")}))
            results.append({"status": "ok" if applied else "duplicate", "id": event["entityId"]})
        if self._log is not None and lines:
            with self._log.open("ab") as log:
                log.write(b"\n".join([*lines, b""]))
        return results

    def _apply(self, event: dict[str, Any]) -> bool:
        held = self.held.get(event["entityId"])
        if held is not None and held.version >= event["version"]:
            return False
        self.held[event["entityId"]] = HeldEvent(event["version"], event["eventType"] == "EntityDeleted", event)
        self.applied += 1
        return True

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        if not self._keys:
            return True
        content = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        given = headers.get("webhook-signature", "").split(" ")
        expected = [f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}" for key in self._keys]
        return any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected)


def _events_of(content_type: str, body: bytes) -> list[Raw]:
    """Return the events of a request as the very bytes that came: one, an array, or what CloudEvents hold as `data`."""
    listed = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
    if content_type.startswith("application/cloudevents"):
        return [msgspec.json.decode(one, type=_CloudEvent).data for one in listed]
    return listed


def _refusal(behaviour: str, argument: str) -> _Reply | None:
    """Return the reply of a behaviour that takes nothing; None of one that takes the events."""
    replies = {
        "throttle": _Reply(429, b"{}", headers={"retry-after": argument} if argument else {}),
        "busy": _Reply(503, b"{}", headers={"retry-after": argument}),
        "garbage": _Reply(body=b"\x00\xff{{"),
        "hang": _Reply(wait_seconds=3600),
        "close": _Reply(close=True),
        "redirect": _Reply(307, b"", headers={"location": "/"}),
        "huge": _Reply(body=_HUGE),
    }
    return _Reply(int(argument), b'{"error":"asked for"}') if behaviour == "status" else replies.get(behaviour)


async def serve(receiver: Receiver, port: int) -> None:
    """Run until a signal ends the process; the first line on standard output is the address."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await receiver.start(port)
    sys.stdout.write(f"listening on {receiver.url}\n")
    sys.stdout.flush()
    await ended.wait()
    await receiver.stop()


def _secrets(file: Path | None) -> list[str]:
    if file is None:
        return []
    return (sys.stdin.read() if file == Path("-") else file.read_text(encoding="utf-8")).split()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="goldwire.testing.webhook_receiver", description="A webhook receiver for demos and tests.", allow_abbrev=False
    )
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0: any free port, which is printed")
    parser.add_argument("--log", type=Path, help="file of JSON lines: each event received, and whether it was applied")
    # No option takes a secret itself: every user of the machine may read a command line.
    parser.add_argument(
        "--secret-file",
        type=Path,
        help="a whsec_… on each line, - for standard input: refuse what is signed with none of them",
    )
    given = parser.parse_args()
    secrets = _secrets(given.secret_file)
    if given.secret_file and not secrets:
        parser.error("--secret-file: it holds no secret, and everything would be taken")
    asyncio.run(serve(Receiver(secrets=secrets, log=given.log), given.port))


if __name__ == "__main__":
    main()
