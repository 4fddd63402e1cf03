"""A gate before a Kafka cluster that knows neither TLS nor SASL: it has both, and lets no unauthenticated client through.

librdkafka's mock cluster (`kafka_cluster`) takes every client in plain text. The gate listens instead of it, believes whom its
mechanisms believe, and passes everything else on. The cluster's answers name the gate's ports, so that clients stay with it.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Self

from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.certificate import server_context
from goldwire_emulator.kafka.cluster import KafkaCluster
from goldwire_emulator.kafka.frames import (
    API_VERSIONS,
    AUTHENTICATION_FAILED,
    FIND_COORDINATOR,
    ILLEGAL_STATE,
    METADATA,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    UNSUPPORTED_MECHANISM,
    KafkaRequest,
    authenticated,
    correlation_of,
    framed,
    handshake,
    mechanism_of,
    moved,
    read_frame,
    request_of,
    token_of,
    with_sasl,
)
from goldwire_emulator.kafka.sasl import Admitted, Exchange, Mechanism, Plain, RefusedError, connection_strings

HOST = "127.0.0.1"
_PATIENCE_SECONDS = 30.0


class KafkaGate:
    """Listens on one port for each broker, in a thread of its own. A context manager.

    Args:
        bootstrap: host and port of each broker behind it, joined by commas, all on 127.0.0.1.
        mechanisms: how a client may authenticate; none: no client has to.
        tls: a server's context; None: plain text.
        session_seconds: the longest that an authentication holds (`connections.max.reauth.ms` of a broker).
        announces: whether a client learns how long its session lasts (KIP-368). Then a request after its end breaks the
            connection; else the connection is cut at its end, as a broker does that knows only the token.
        now: POSIX seconds.
    """

    def __init__(
        self,
        bootstrap: str,
        mechanisms: Sequence[Mechanism] = (),
        *,
        tls: ssl.SSLContext | None = None,
        session_seconds: float = inf,
        announces: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.mechanisms = {mechanism.name: mechanism for mechanism in mechanisms}
        self.session_seconds = session_seconds
        self.announces = announces
        self.now = now
        self.ports: dict[int, int] = {}
        """Port of each broker, and the gate's own for it."""
        self.admitted: list[Admitted] = []
        """The clients that were let in, in order; a client that authenticates again is there again."""
        self.refused = 0
        """How many clients were not let in."""
        self.bootstrap = ""
        """Host and port of the gate for each broker, joined by commas."""
        self._brokers = _ports(bootstrap)
        self._onward = {port: port for port in self._brokers}
        self._tls = tls
        self._passages: set[_Passage] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka-gate", daemon=True)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """Cut all connections and end."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()

    def cut(self, *, idle: bool = True) -> None:
        """Break all connections, as a network does; new ones are welcome.

        Args:
            idle: also those on which no request waits for its answer.
        """
        self._do(self._cut(idle=idle))

    def lead_to(self, bootstrap: str) -> None:
        """Pass on to the brokers of another cluster from now on, and break all connections to those before.

        Args:
            bootstrap: as many brokers as there were.
        """
        ports = _ports(bootstrap)
        for before, port in zip(self._brokers, ports, strict=True):
            self.ports[port] = self.ports[before]
            self._onward[before] = port
        self.cut()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    async def _listen(self) -> None:
        for port in self._brokers:
            server = await asyncio.start_server(self._arrive(port), HOST, ssl=self._tls)
            self._servers.append(server)
            self.ports[port] = server.sockets[0].getsockname()[1]
        self.bootstrap = ",".join(f"{HOST}:{port}" for port in self.ports.values())

    def _arrive(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        async def passage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found = _Passage(self, reader, writer)
            self._passages.add(found)
            try:
                await found.run(self._onward[port])
            finally:
                self._passages.discard(found)

        return passage

    async def _cut(self, *, idle: bool) -> None:
        for passage in list(self._passages):
            if idle or passage.busy:
                passage.cut()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._cut(idle=True)
        # A client that was let in just now has a task, and not yet a passage; left alone, its connection would stay open.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=0.05)
            for task in others:
                task.cancel()


def _ports(bootstrap: str) -> list[int]:
    return [int(one.rpartition(":")[2]) for one in bootstrap.split(",")]


class _Passage:
    """One client's connection, and the one to the broker behind it."""

    def __init__(self, gate: KafkaGate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._gate = gate
        self._reader = reader
        self._writer = writer
        self._onward: asyncio.StreamWriter | None = None
        self._waiting: dict[int, KafkaRequest] = {}
        self._answered = asyncio.Event()
        self._exchange: Exchange | None = None
        self._until = inf if not gate.mechanisms else -inf
        self._end: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._waiting)

    async def run(self, port: int) -> None:
        """Pass on until a side closes."""
        with suppress(OSError, EOFError, ssl.SSLError):
            back, self._onward = await asyncio.open_connection(HOST, port)
            answers = asyncio.create_task(self._answers(back))
            try:
                await self._requests(self._onward)
            finally:
                self.cut()
                await asyncio.gather(answers, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Break both connections."""
        if self._end is not None:
            self._end.cancel()
        for writer in (self._writer, self._onward):
            if writer is not None:
                writer.transport.abort()

    async def _requests(self, onward: asyncio.StreamWriter) -> None:
        while True:
            request = request_of(await read_frame(self._reader))
            if request.key in {SASL_HANDSHAKE, SASL_AUTHENTICATE}:
                await self._all_answered()
                answer = self._shake(request) if request.key == SASL_HANDSHAKE else self._authenticate(request)
                self._writer.write(framed(answer))
            elif request.key == API_VERSIONS or self._gate.now() < self._until:
                self._waiting[request.correlation] = request
                onward.write(framed(request.frame))
                await onward.drain()
            else:
                return

    async def _answers(self, back: asyncio.StreamReader) -> None:
        try:
            while True:
                frame = await read_frame(back)
                request = self._waiting.pop(correlation_of(frame))
                if request.key == API_VERSIONS and self._gate.mechanisms:
                    frame = with_sasl(frame, request.version)
                elif request.key in {METADATA, FIND_COORDINATOR}:
                    frame = moved(frame, HOST, self._gate.ports)
                self._writer.write(framed(frame))
                self._answered.set()
                await self._writer.drain()
        finally:
            self.cut()

    async def _all_answered(self) -> None:
        """Wait for the broker's answers to what came before: a client gets its answers in order."""
        while self._waiting:
            self._answered.clear()
            await self._answered.wait()

    def _shake(self, request: KafkaRequest) -> bytes:
        mechanism = self._gate.mechanisms.get(mechanism_of(request))
        if mechanism is None:
            return handshake(request, UNSUPPORTED_MECHANISM, list(self._gate.mechanisms))
        self._exchange = mechanism.exchange()
        next(self._exchange)
        return handshake(request, 0, list(self._gate.mechanisms))

    def _authenticate(self, request: KafkaRequest) -> bytes:
        if self._exchange is None:
            return authenticated(request, ILLEGAL_STATE, "no handshake", b"", 0)
        try:
            challenge = self._exchange.send(token_of(request))
        except StopIteration as ended:
            data, admitted = ended.value
            return authenticated(request, 0, "", data, self._admit(admitted))
        except RefusedError as error:
            self._gate.refused += 1
            return authenticated(request, AUTHENTICATION_FAILED, str(error), b"", 0)
        return authenticated(request, 0, "", challenge, 0)

    def _admit(self, admitted: Admitted) -> int:
        """Let a client in; return the milliseconds that it learns, 0 for none."""
        gate = self._gate
        gate.admitted.append(admitted)
        now = gate.now()
        self._until = min(admitted.expires_at, now + gate.session_seconds)
        if self._end is not None:
            self._end.cancel()
        if self._until == inf:
            return 0
        if gate.announces:
            return max(1, round((self._until - now) * 1_000))
        self._end = asyncio.get_running_loop().call_later(self._until - now, self.cut)
        return 0


def main() -> None:
    """Run the Kafka endpoint of a hub until standard input ends, in front of a mock cluster, with a key of its own.

    `python -m goldwire_emulator.kafka.gate HUB PARTITIONS FOLDER`; the folder gets the certificate that a client is to trust.
    """
    hub, partitions, folder = sys.argv[1:]
    policy = Policy("bench", token_urlsafe(), frozenset({Right.SEND}))
    known = Plain(connection_strings([policy], hub, time.time))
    tls = server_context(Path(folder))
    with KafkaCluster(1, {hub: int(partitions)}) as cluster, KafkaGate(cluster.bootstrap, [known], tls=tls) as gate:
        how = f"SharedAccessKeyName={policy.name};SharedAccessKey={policy.key}"
        sys.stdout.write(f"ready: Endpoint=sb://{gate.bootstrap}/;{how};EntityPath={hub}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
