"""Sessions: the windows of one channel, its links, and who gets which frame."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from goldwire_emulator.amqp.composite import Composite
from goldwire_emulator.amqp.endpoint import AmqpError, Delivery
from goldwire_emulator.amqp.frames import frame, transfer_frames
from goldwire_emulator.amqp.link import IncomingLink, OutgoingLink
from goldwire_emulator.amqp.performatives import (
    Attach,
    Begin,
    Detach,
    Disposition,
    End,
    Flow,
    Transfer,
)

Link = IncomingLink | OutgoingLink
HANDLE_MAX = 4095
_INCOMING_WINDOW = 5000
_SERIAL = 0xFFFFFFFF


class ConnectionSide(Protocol):
    """What a session needs of its connection."""

    max_frame_bytes: int
    """The largest that the client takes."""
    writable: bool
    """The client reads what we write."""

    def write(self, data: bytes) -> None:
        """Write whole frames, soon."""
        ...


Attacher = Callable[["Session", Attach], "asyncio.Task[None]"]
"""Finds what stands behind a new link and answers the attach; a task, since a node may wait."""


class Session:
    """One channel.

    Args:
        connection: carries it.
        channel: the same number in both directions.
        begin: how the client began it.
        attacher: sees to new links.
    """

    def __init__(self, connection: ConnectionSide, channel: int, begin: Begin, attacher: Attacher) -> None:
        self._connection = connection
        self.channel = channel
        self._attacher = attacher
        self._links: dict[int, Link] = {}
        self._attaching: dict[int, asyncio.Task[None]] = {}
        self._detached: set[int] = set()
        self._next_incoming_id = begin.next_outgoing_id
        self._incoming_window = _INCOMING_WINDOW
        self._next_outgoing_id = 0
        self._next_delivery_id = 0
        self._remote_window = begin.incoming_window
        self._waiting: deque[bytes] = deque()
        self.send(
            Begin(
                remote_channel=channel,
                next_outgoing_id=0,
                incoming_window=self._incoming_window,
                outgoing_window=_INCOMING_WINDOW,
                handle_max=HANDLE_MAX,
            )
        )

    @property
    def links(self) -> list[Link]:
        """Those that are attached."""
        return list(self._links.values())

    @property
    def writable(self) -> bool:
        """A delivery would go out at once."""
        return self._connection.writable and self._remote_window > 0 and not self._waiting

    def send(self, performative: Composite) -> None:
        """Write a performative."""
        self._connection.write(frame(self.channel, performative))

    def flow(self, flow: Flow) -> None:
        """Write a flow with the session's windows."""
        flow.next_incoming_id = self._next_incoming_id
        flow.incoming_window = self._incoming_window
        flow.next_outgoing_id = self._next_outgoing_id
        flow.outgoing_window = _INCOMING_WINDOW
        self.send(flow)

    def transfer(self, handle: int, delivery: Delivery) -> int:
        """Write a delivery as far as the client's window goes, the rest later; return its delivery id."""
        delivery_id = self._next_delivery_id
        self._next_delivery_id = (delivery_id + 1) & _SERIAL
        self._waiting.extend(
            transfer_frames(
                self.channel,
                handle,
                delivery_id,
                delivery.tag,
                delivery.payload,
                message_format=delivery.message_format,
                settled=delivery.settled,
                limit=self._connection.max_frame_bytes,
            )
        )
        self._write_waiting()
        return delivery_id

    def _write_waiting(self) -> None:
        while self._waiting and self._remote_window > 0:
            self._connection.write(self._waiting.popleft())
            self._remote_window -= 1
            self._next_outgoing_id = (self._next_outgoing_id + 1) & _SERIAL

    def wake(self) -> None:
        """Let links go on that waited for the window or the connection."""
        if self.writable:
            for link in self.links:
                link.wake()

    def gone(self, handle: int) -> None:
        """Forget a link that we detached."""
        self._links.pop(handle, None)
        self._detached.add(handle)

    def open_link(self, attach: Attach, link: Link) -> None:
        """Answer an attach, and begin."""
        self._attaching.pop(attach.handle, None)
        self._links[attach.handle] = link
        self.send(attach)
        link.open()

    def refuse(self, attach: Attach, error: AmqpError) -> None:
        """Answer an attach with one that has no terminus, and detach: so a link is refused in AMQP."""
        self._attaching.pop(attach.handle, None)
        self._detached.add(attach.handle)
        answer = Attach(attach.name, attach.handle, role=not attach.role, snd_settle_mode=attach.snd_settle_mode)
        if attach.role:
            answer.initial_delivery_count = 0
        self.send(answer)
        self.send(Detach(attach.handle, closed=True, error=error.as_error()))

    def on_attach(self, attach: Attach) -> None:
        """Begin to attach a link."""
        if attach.handle in self._links or attach.handle in self._attaching or attach.handle > HANDLE_MAX:
            raise AmqpError("amqp:session:handle-in-use", f"handle {attach.handle} cannot be attached")
        self._detached.discard(attach.handle)
        self._attaching[attach.handle] = self._attacher(self, attach)

    def on_detach(self, detach: Detach) -> None:
        """End a link, and answer unless we ended it first."""
        handle = detach.handle
        if handle in self._detached:
            self._detached.discard(handle)
            return
        task, link = self._attaching.pop(handle, None), self._links.pop(handle, None)
        if task is not None:
            task.cancel()
        if link is not None:
            link.close()
        if link is not None or task is not None:
            self.send(Detach(handle, closed=detach.closed))

    def on_flow(self, flow: Flow) -> None:
        """Take the client's windows, and the credit of a link."""
        begins = 0 if flow.next_incoming_id is None else flow.next_incoming_id
        window = (begins + flow.incoming_window - self._next_outgoing_id) & _SERIAL
        self._remote_window = window if window < 1 << 31 else 0
        self._next_incoming_id = flow.next_outgoing_id
        self._write_waiting()
        if flow.handle is not None:
            link = self._links.get(flow.handle)
            if link is not None:
                link.on_flow(flow)
        elif flow.echo:
            self.flow(Flow())
        self.wake()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Take a frame of a delivery. Every frame counts in the window, which is refilled in time."""
        self._next_incoming_id = (self._next_incoming_id + 1) & _SERIAL
        self._incoming_window -= 1
        link = self._links.get(transfer.handle)
        if isinstance(link, IncomingLink):
            link.on_transfer(transfer, payload)
        elif link is not None or transfer.handle not in self._detached:
            raise AmqpError("amqp:session:unattached-handle", f"handle {transfer.handle} takes no messages")
        if self._incoming_window * 2 < _INCOMING_WINDOW:
            self._incoming_window = _INCOMING_WINDOW
            self.flow(Flow())

    def on_disposition(self, disposition: Disposition) -> None:
        """Take what the client decided about what it received; its decisions about what it sent have no effect."""
        if not disposition.role:
            return
        last = disposition.first if disposition.last is None else disposition.last
        for link in self.links:
            if isinstance(link, OutgoingLink):
                link.on_disposition(disposition.first, last, disposition)

    def on_end(self) -> None:
        """The client ended it: answer."""
        self.close()
        self.send(End())

    def close(self) -> None:
        """End all links; nothing is written."""
        for task in self._attaching.values():
            task.cancel()
        for link in self.links:
            link.close()
        self._attaching.clear()
        self._links.clear()
