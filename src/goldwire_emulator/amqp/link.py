"""Links that bring messages to the client or take them from it: credit, drain, transfers, settlement, detach."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    AttachRequest,
    Delivery,
    Incoming,
    IncomingEndpoint,
    OutgoingEndpoint,
    Settlement,
)
from goldwire_emulator.amqp.performatives import (
    Detach,
    Disposition,
    Flow,
    Received,
    Rejected,
    Released,
    State,
    Transfer,
)

_LOG = logging.getLogger(__name__)
_SERIAL = 0xFFFFFFFF
_TURN = 100
"""How many deliveries a link sends before others have their turn."""
_BROKEN = AmqpError("amqp:internal-error", "the emulator failed; its log says why")


class SessionSide(Protocol):
    """What a link needs of its session."""

    @property
    def writable(self) -> bool:
        """The client's window has room, and the connection takes more bytes."""
        ...

    def send(self, performative: Any) -> None:
        """Write a performative on the session's channel."""
        ...

    def flow(self, flow: Flow) -> None:
        """Write a flow; the session's own fields are filled in."""
        ...

    def transfer(self, handle: int, delivery: Delivery) -> int:
        """Write a delivery, now or when the window has room; return its delivery id."""
        ...

    def gone(self, handle: int) -> None:
        """Forget the link that we detached; the client's answer is still to come."""
        ...


class BaseLink(ABC):
    """What both directions share.

    Args:
        session: carries it.
        handle: the same number in both directions.
        request: how the client attached it.
        expires_at: POSIX seconds until which its right holds.
    """

    def __init__(self, session: SessionSide, handle: int, request: AttachRequest, expires_at: float) -> None:
        self._session = session
        self._handle = handle
        self.request = request
        self.expires_at = expires_at
        self.is_open = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin: the attach was answered. An endpoint that cannot begin ends its link."""
        self.is_open = True
        try:
            self._opened()
        except Exception:  # noqa: BLE001 - whatever an endpoint raises ends its link, not the server; it is logged
            self._broken("the beginning")

    @abstractmethod
    def _opened(self) -> None:
        """Begin what stands behind the link."""

    def detach(self, error: AmqpError) -> None:
        """End the link with an error."""
        if self.is_open:
            self._session.send(Detach(self._handle, closed=True, error=error.as_error()))
            self._session.gone(self._handle)
            self.close()

    def close(self) -> None:
        """End what stands behind the link; nothing is written."""
        if self.is_open:
            self.is_open = False
            try:
                self._ended()
            except Exception:  # noqa: BLE001 - what an endpoint cannot end must not keep others from their end; it is logged
                _LOG.exception("the end of a link on %s failed", self.request.address)

    @abstractmethod
    def _ended(self) -> None:
        """End what stands behind the link."""

    def _start(self, work: Any) -> None:
        """Run the link's work unless it runs already. It is not cancelled with the link: what was taken is finished."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(work())

    def _broken(self, what: str) -> None:
        _LOG.exception("%s on %s failed", what, self.request.address)
        self.detach(_BROKEN)


class OutgoingLink(BaseLink):
    """Messages to the client.

    Args:
        endpoint: has them.
        session, handle, request, expires_at: as of `BaseLink`.
    """

    def __init__(
        self, endpoint: OutgoingEndpoint, session: SessionSide, handle: int, request: AttachRequest, expires_at: float
    ) -> None:
        super().__init__(session, handle, request, expires_at)
        self._endpoint = endpoint
        self._delivery_count = 0
        self._credit = 0
        self._drain = False
        self._unsettled: dict[int, bytes] = {}
        self._settlements: deque[tuple[int, Settlement, bool]] = deque()
        self._pumping = False

    def _opened(self) -> None:
        self._endpoint.opened(self)

    def _ended(self) -> None:
        self._unsettled.clear()
        self._endpoint.closed()

    def wake(self) -> None:
        """Ask the endpoint soon, if there is credit."""
        if self._credit and self.is_open and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def on_flow(self, flow: Flow) -> None:
        """Take the client's credit; a drain is answered once nothing more is there."""
        if flow.link_credit is not None:
            theirs = flow.delivery_count or 0
            self._credit = _positive(theirs + flow.link_credit - self._delivery_count)
        self._drain = flow.drain
        if flow.echo and not flow.drain:
            self._send_flow()
        if self._drain and not self._credit:
            self._drained()
        self.wake()

    def _pump(self) -> None:
        self._pumping = False
        if not self.is_open or not self._session.writable:
            return  # the session wakes its links when it becomes writable
        room = min(self._credit, _TURN)
        try:
            deliveries = self._endpoint.take(room) if room else ()
        except AmqpError as error:
            self.detach(error)
            return
        except Exception:  # noqa: BLE001 - whatever an endpoint raises ends its link, not the server; it is logged
            self._broken("a send")
            return
        assert len(deliveries) <= room, "an endpoint sends no more than the credit"
        for delivery in deliveries:
            delivery_id = self._session.transfer(self._handle, delivery)
            if not delivery.settled:
                self._unsettled[delivery_id] = delivery.tag
        self._credit -= len(deliveries)
        self._delivery_count = (self._delivery_count + len(deliveries)) & _SERIAL
        if deliveries:
            self.wake()
        if self._drain and (not deliveries or not self._credit):
            self._drained()

    def _drained(self) -> None:
        """Use up the credit for which there was no message, and report that to the client."""
        self._delivery_count = (self._delivery_count + self._credit) & _SERIAL
        self._credit = 0
        self._send_flow(drain=True)
        self._drain = False

    def _send_flow(self, *, drain: bool = False) -> None:
        self._session.flow(
            Flow(
                handle=self._handle,
                delivery_count=self._delivery_count,
                link_credit=self._credit,
                available=0,
                drain=drain,
            )
        )

    def on_disposition(self, first: int, last: int, disposition: Disposition) -> None:
        """Take what the client decided about deliveries of this link in a range."""
        state = Released() if disposition.state is None else disposition.state
        if disposition.state is None and not disposition.settled:
            return
        if isinstance(state, Received) or not self._unsettled:
            return
        few = last - first < len(self._unsettled)
        for delivery_id in range(first, last + 1) if few else sorted(self._unsettled):
            tag = self._unsettled.pop(delivery_id, None) if first <= delivery_id <= last else None
            if tag is not None:
                self._settlements.append((delivery_id, Settlement(tag, state), disposition.settled))
        if self._settlements:
            self._start(self._settle_all)

    async def _settle_all(self) -> None:
        while self._settlements:
            chunk = list(self._settlements)
            self._settlements.clear()
            try:
                states = await self._endpoint.settle([settlement for _, settlement, _ in chunk])
            except AmqpError as error:
                states = [Rejected(error.as_error())] * len(chunk)
            except Exception:  # noqa: BLE001 - whatever an endpoint raises ends its link, not the server; it is logged
                self._broken("a settlement")
                return
            answers = zip(chunk, states, strict=True)
            awaited = [(delivery_id, state) for (delivery_id, _, settled), state in answers if not settled]
            if self.is_open:
                _dispose(self._session, awaited, role=False)


class IncomingLink(BaseLink):
    """Messages from the client.

    Args:
        endpoint: takes them.
        max_message_size_bytes: a larger one ends the link, as in the service; 0: no limit.
        reject_larger: a larger one is rejected instead.
        credit: how many deliveries may be under way.
        session, handle, request, expires_at: as of `BaseLink`.
    """

    def __init__(
        self,
        endpoint: IncomingEndpoint,
        session: SessionSide,
        handle: int,
        request: AttachRequest,
        expires_at: float,
        *,
        max_message_size_bytes: int,
        reject_larger: bool = False,
        credit: int = 1000,
    ) -> None:
        super().__init__(session, handle, request, expires_at)
        self._endpoint = endpoint
        self._limit = max_message_size_bytes
        self._reject_larger = reject_larger
        self._full_credit = credit
        self._credit = 0
        self._delivery_count = 0
        self._parts: list[bytes] = []
        self._bytes = 0
        self._first: Transfer | None = None
        self._received: deque[tuple[int, Incoming]] = deque()

    def _opened(self) -> None:
        self._endpoint.opened(self)
        self._grant()

    def _ended(self) -> None:
        self._endpoint.closed()

    def wake(self) -> None:
        """Nothing to do: the client sends when it will."""

    def _grant(self) -> None:
        self._credit = self._full_credit
        self._session.flow(Flow(handle=self._handle, delivery_count=self._delivery_count, link_credit=self._credit))

    def on_flow(self, flow: Flow) -> None:
        """Take the client's count; say the credit again where it asks."""
        if flow.delivery_count is not None:
            self._delivery_count = flow.delivery_count
        if flow.echo:
            self._grant()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Take a frame, and pass a whole delivery to the endpoint."""
        if not self.is_open:
            return
        if self._first is None:
            self._first = transfer
        self._bytes += len(payload)
        too_large = bool(self._limit) and self._bytes > self._limit
        if too_large and not self._reject_larger:
            self.detach(self._size_error())
            return
        if too_large:
            self._parts.clear()  # the client goes on sending it; the link only counts it
        elif payload:
            self._parts.append(payload)
        if transfer.more and not transfer.aborted:
            return
        first, whole = self._first, self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._first, self._parts, self._bytes = None, [], 0
        self._delivery_count = (self._delivery_count + 1) & _SERIAL
        self._credit -= 1
        if self._credit * 2 < self._full_credit:
            self._grant()
        if transfer.aborted:
            return
        if too_large:
            _dispose(self._session, [(first.delivery_id or 0, Rejected(self._size_error().as_error()))], role=True)
            return
        settled = bool(first.settled or transfer.settled)
        incoming = Incoming(first.delivery_tag or b"", whole, first.message_format or 0, settled)
        self._received.append((first.delivery_id or 0, incoming))
        self._start(self._receive_all)

    def _size_error(self) -> AmqpError:
        text = f"The received message exceeds the limit ({self._limit} bytes) currently allowed on the link."
        return AmqpError("amqp:link:message-size-exceeded", text)

    async def _receive_all(self) -> None:
        while self._received:
            chunk = list(self._received)
            self._received.clear()
            states: Sequence[State]
            try:
                states = await self._endpoint.receive([incoming for _, incoming in chunk])
            except AmqpError as error:
                states = [Rejected(error.as_error())] * len(chunk)
            except Exception:  # noqa: BLE001 - whatever an endpoint raises ends its link, not the server; it is logged
                self._broken("a receive")
                return
            answers = zip(chunk, states, strict=True)
            awaited = [(delivery_id, state) for (delivery_id, incoming), state in answers if not incoming.settled]
            if self.is_open:
                _dispose(self._session, awaited, role=True)


def _dispose(session: SessionSide, outcomes: Sequence[tuple[int, State]], *, role: bool) -> None:
    """Send outcomes, one disposition for each run of adjacent deliveries with the same outcome."""
    numbered = [(delivery_id - index, delivery_id, state) for index, (delivery_id, state) in enumerate(outcomes)]
    for (_, state), run in groupby(numbered, key=lambda one: (one[0], one[2])):
        ids = [delivery_id for _, delivery_id, _ in run]
        session.send(Disposition(role=role, first=ids[0], last=ids[-1], settled=True, state=state))


def _positive(serial: int) -> int:
    """Return a difference of serial numbers (RFC 1982), 0 if it is negative."""
    wrapped = serial & _SERIAL
    return wrapped if wrapped < 1 << 31 else 0
