"""The emulator's own ceiling: what its process takes for messages that were encoded beforehand, with no SDK in the way."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from goldwire.errors import VerificationError
from goldwire.services.event_loop import loop_factory
from goldwire.testing.events import sealed
from goldwire_lab.bench import sample
from goldwire_lab.bench.figures import Cost, Round, Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import take
from goldwire_lab.bench.setting import Setting

FLOOR = "insert of the same messages into SQLite in memory, a transaction for each batch"
_FRAME_BYTES = 64 * 1024
_AHEAD = 2
"""Batches under way, so that the emulator never waits for the next."""
_PATIENCE_SECONDS = 60.0
_HUB, _QUEUE = "golden", "changes"
_ATTRIBUTES = {f"attribute{number}": "a value of some length, " * 2 for number in range(10)}


def event_hubs(setting: Setting) -> Throughput:
    """Measure the emulator's Event Hubs."""
    return _ceiling(setting, "emulator, event_hubs", _HUB, 1_000_000)


def service_bus(setting: Setting) -> Throughput:
    """Measure the emulator's Service Bus."""
    return _ceiling(setting, "emulator, service_bus", _QUEUE, 250_000)


def _ceiling(setting: Setting, name: str, entity: str, batch_bytes: int) -> Throughput:
    batches = list(_batches(_messages(setting.events), batch_bytes))
    with _emulator() as (port, processor_seconds), closing(_Sender(port, entity)) as sender:

        def measured() -> Cost:
            before, begun = processor_seconds(), time.perf_counter()
            sender.send(batches, setting)
            return Cost(processor_seconds() - before, time.perf_counter() - begun)

        rounds = [Round(take(lambda _: _insert(batches, setting), number), measured()) for number in range(setting.rounds)]
    what = f"CPU time of the emulator's own process, batches of up to {batch_bytes:,} bytes encoded beforehand, kept in memory"
    return throughput(name, what, FLOOR, setting.events, rounds, Wanted())


def _messages(count: int) -> Iterator[bytes]:
    """Yield encoded messages as large as those of the targets."""
    from goldwire_emulator.amqp.message import Message  # noqa: PLC0415 - other figures need not load it
    from goldwire_emulator.amqp.performatives import Properties  # noqa: PLC0415

    for number in range(count):
        event = sealed(sample.entity_id(number), 1, _ATTRIBUTES, classification="pii", retention_days=365)
        yield Message(
            message_annotations={"x-opt-partition-key": event.entity_id},
            properties=Properties(
                message_id=f"Customer:{event.entity_id}:1", correlation_id="bench", content_type="application/json"
            ),
            application_properties={"classification": "pii", "retention-days": "365"},
            data=[event.body],
        ).encode()


def _batches(messages: Iterator[bytes], limit: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for message in messages:
        if batch and size + len(message) > limit:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    yield batch


def _insert(batches: Sequence[Sequence[bytes]], setting: Setting) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        for batch in batches:
            database.execute("BEGIN")
            database.executemany("INSERT INTO messages (payload) VALUES (?)", [(message,) for message in batch])
            database.execute("COMMIT")
            setting.tick(len(batch))


class _Sender:
    """A client that knows every answer beforehand: it writes frames that were made earlier, and counts what is accepted."""

    def __init__(self, port: int, entity: str) -> None:
        from goldwire_emulator.amqp import frames, performatives  # noqa: PLC0415
        from goldwire_emulator.emulator import ROOT  # noqa: PLC0415

        self._frames, self._performatives = frames, performatives
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS)
        self._buffer = b""
        self._sent = self._accepted = 0
        init = performatives.SaslInit("PLAIN", f"\0{ROOT.name}\0{ROOT.key}".encode())
        self._socket.sendall(frames.SASL_HEADER + frames.frame(0, init, kind=frames.SASL) + frames.AMQP_HEADER)
        attach = performatives.Attach("bench", 0, role=False, target=performatives.Target(entity), initial_delivery_count=0)
        opening = (performatives.Open("bench"), performatives.Begin(incoming_window=1 << 30, outgoing_window=1 << 30), attach)
        self._socket.sendall(b"".join(frames.frame(0, one) for one in opening))
        self._skip_header()
        self._expect(performatives.SaslOutcome)
        self._skip_header()
        self._expect(performatives.Attach)

    def send(self, batches: Sequence[Sequence[bytes]], setting: Setting) -> None:
        """Send all batches, and wait until the last was accepted."""
        for batch in batches:
            self._socket.sendall(self._delivery(batch))
            self._wait_for(self._sent - _AHEAD)
            setting.tick(len(batch))
        self._wait_for(self._sent)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _delivery(self, batch: Sequence[bytes]) -> bytes:
        from goldwire_emulator.amqp.message import BATCH_FORMAT, Message  # noqa: PLC0415

        self._sent += 1
        tag, payload = self._sent.to_bytes(4, "big"), Message(data=list(batch)).encode()
        made = self._frames.transfer_frames(
            0, 0, self._sent, tag, payload, message_format=BATCH_FORMAT, settled=False, limit=_FRAME_BYTES
        )
        return b"".join(made)

    def _wait_for(self, count: int) -> None:
        while self._accepted < count:
            disposition = self._expect(self._performatives.Disposition)
            if not isinstance(disposition.state, self._performatives.Accepted):
                raise VerificationError("the emulator did not accept every batch")
            self._accepted += (disposition.first if disposition.last is None else disposition.last) - disposition.first + 1

    def _skip_header(self) -> None:
        while len(self._buffer) < self._frames.HEADER_BYTES:
            self._read()
        self._buffer = self._buffer[self._frames.HEADER_BYTES :]

    def _expect(self, kind: Any) -> Any:
        while True:
            found, end = self._frames.take_frame(self._buffer, 0, _FRAME_BYTES)
            if found is None:
                self._read()
                continue
            self._buffer = self._buffer[end:]
            if isinstance(found.performative, kind):
                return found.performative

    def _read(self) -> None:
        more = self._socket.recv(_FRAME_BYTES)
        if not more:
            raise VerificationError("the emulator hung up")
        self._buffer += more


@contextmanager
def _emulator() -> Iterator[tuple[int, Any]]:
    """Run an emulator in a process of its own; yield its port, and what asks it for its CPU time in seconds."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()

    def processor_seconds() -> float:
        here.send("how much?")
        return float(here.recv())

    try:
        yield here.recv(), processor_seconds
    finally:
        here.close()  # which ends it
        process.join(_PATIENCE_SECONDS)
        process.close()


def _serve(pipe: Connection) -> None:
    from goldwire_emulator.broker.config import BrokerConfig  # noqa: PLC0415
    from goldwire_emulator.broker.entities import HubSettings, QueueSettings  # noqa: PLC0415
    from goldwire_emulator.emulator import Emulator  # noqa: PLC0415

    async def serve() -> None:
        config = BrokerConfig(hubs=(HubSettings(_HUB, 4),), queues=(QueueSettings(name=_QUEUE),))
        async with Emulator(config) as emulator:
            pipe.send(emulator.server.port)
            while await asyncio.to_thread(_asked, pipe):
                pipe.send(time.process_time())

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())


def _asked(pipe: Connection) -> bool:
    try:
        return bool(pipe.recv())
    except EOFError:
        return False
