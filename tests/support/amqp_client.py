"""A client that speaks AMQP frame by frame, and a server with one node that it speaks to."""

import asyncio
from collections import deque

from goldwire_emulator.amqp.connection import Settings
from goldwire_emulator.amqp.endpoint import AmqpError, Attachment, Delivery, Direction, Right
from goldwire_emulator.amqp.frames import AMQP_HEADER, SASL, SASL_HEADER, frame, take_frame, transfer_frames
from goldwire_emulator.amqp.performatives import (
    Accepted,
    Attach,
    Begin,
    Flow,
    Open,
    Rejected,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
)
from goldwire_emulator.amqp.sas import Policy, SasAuthority
from goldwire_emulator.server import Server

PATIENCE_SECONDS = 60
POLICY = Policy("root", "key")


class Shelf:
    """A node that keeps what it is sent, and sends what it keeps."""

    def __init__(self):
        self.kept, self.taken, self.settled, self.links, self.open = deque(), [], [], [], 0
        self.waiting = None

    def rights(self, direction):
        return frozenset({Right.SEND if direction is Direction.INCOMING else Right.LISTEN})

    async def attach(self, request):
        if request.link_name == "waits":
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
        return Attachment(Giver(self) if request.direction is Direction.OUTGOING else Taker(self), max_message_size_bytes=5000)


class Half:
    def __init__(self, shelf):
        self.shelf = shelf

    def opened(self, link):
        self.shelf.links.append(link)
        self.shelf.open += 1
        if link.request.link_name == "breaks":
            raise RuntimeError("an endpoint with a bug")

    def closed(self):
        self.shelf.open -= 1


class Giver(Half):
    def take(self, credit):
        if None in self.shelf.kept:
            raise RuntimeError("an endpoint with a bug")
        count = min(credit, len(self.shelf.kept))
        return [Delivery(f"{number}".encode(), self.shelf.kept.popleft()) for number in range(count)]

    async def settle(self, settlements):
        self.shelf.settled += settlements
        return [Rejected(AmqpError("amqp:lost").as_error()) if one.tag == b"1" else one.state for one in settlements]


class Taker(Half):
    async def receive(self, deliveries):
        self.shelf.taken += deliveries
        return [Rejected(AmqpError("amqp:bad").as_error()) if b"bad" in one.payload else Accepted() for one in deliveries]


class Client:
    """A client that speaks frames."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer = reader, writer, b""

    def send(self, *performatives, channel=0):
        for one in performatives:
            self.writer.write(one if isinstance(one, bytes) else frame(channel, one))

    async def raw(self, count):
        while len(self.buffer) < count:
            more = await self.reader.read(65536)
            assert more, "the server hung up"
            self.buffer += more
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    async def next(self, *, heartbeats=False):
        while True:
            found, end = take_frame(self.buffer, 0, 1 << 20)
            if found is None:
                more = await self.reader.read(65536)
                if not more:
                    return None
                self.buffer += more
                continue
            self.buffer = self.buffer[end:]
            if found.performative is not None or heartbeats:
                return found

    async def expect(self, kind):
        found = await self.next()
        assert found is not None, f"the server hung up before a {kind.__name__}"
        assert isinstance(found.performative, kind), found.performative
        return found.performative

    async def sasl(self, mechanism="ANONYMOUS", response=b""):
        self.send(SASL_HEADER)
        assert await self.raw(8) == SASL_HEADER
        assert mechanism in (await self.expect(SaslMechanisms)).mechanisms
        self.send(frame(0, SaslInit(mechanism, response), kind=SASL))
        return (await self.expect(SaslOutcome)).outcome

    async def open(self, response=b"\0root\0key", **fields):
        assert await self.sasl("PLAIN", response) == 0
        self.send(AMQP_HEADER, Open("test", **fields))
        assert await self.raw(8) == AMQP_HEADER
        return await self.expect(Open)

    async def begin(self, **fields):
        self.send(Begin(**({"incoming_window": 100, "outgoing_window": 100} | fields)))
        return await self.expect(Begin)

    async def receiver(self, name="r", handle=1, **fields):
        self.send(Attach(name, handle, role=True, source=Source("shelf"), target=Target("t"), **fields))
        return await self.expect(Attach)

    async def sender(self, name="s", handle=2):
        self.send(Attach(name, handle, role=False, source=Source("s"), target=Target("shelf"), initial_delivery_count=0))
        attached = await self.expect(Attach)
        return attached, await self.expect(Flow)


def run(test, *, loop=None, **settings):
    """Run a test with a client that is connected to a server with a shelf, and with no error that is not caught."""
    broken = []

    async def main():
        shelf = Shelf()
        authority = SasAuthority([POLICY, Policy("reader", "key", frozenset({Right.LISTEN}))], lambda: 0.0)
        given = {"router": lambda address: shelf if address == "shelf" else None, "authority": authority, "now": lambda: 0.0}
        server = Server(Settings(**(given | settings)))
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await test(Client(reader, writer), shelf, server)
        finally:
            writer.close()
            await server.stop()
        assert shelf.open == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: broken.append(context))
        runner.run(main())
    assert broken == []


def sent(payload, delivery_id, *, handle=2, settled=False, limit=65536):
    tag = str(delivery_id).encode()
    return b"".join(transfer_frames(0, handle, delivery_id, tag, payload, message_format=0, settled=settled, limit=limit))
