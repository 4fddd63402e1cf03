"""One client's connection: SASL, open, frames in and out, heartbeats, tokens that expire, close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Any, cast

from msgspec import Struct

from goldwire_emulator.amqp import cbs
from goldwire_emulator.amqp.attachment import Attaching
from goldwire_emulator.amqp.claims import Authority, Claim, Claims
from goldwire_emulator.amqp.composite import Composite
from goldwire_emulator.amqp.encoder import EncodeError
from goldwire_emulator.amqp.endpoint import AmqpError, Router
from goldwire_emulator.amqp.frames import (
    AMQP_HEADER,
    EMPTY_FRAME,
    HEADER_BYTES,
    LEAST_MAX_FRAME_BYTES,
    SASL,
    SASL_HEADER,
    Frame,
    FramingError,
    frame,
    take_frame,
)
from goldwire_emulator.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from goldwire_emulator.amqp.session import Session
from goldwire_emulator.amqp.values import Symbol

_LOG = logging.getLogger(__name__)
_IDS = count(1)
_CHANNEL_MAX = 4999
_PLAIN = "PLAIN"
_MECHANISMS = ("MSSBCBS", _PLAIN, "ANONYMOUS", "EXTERNAL")
_REFUSED = 1
"""SASL's outcome for credentials that the server does not believe."""
_FLUSHED_AT_BYTES = 256 * 1024
"""Answers of one turn of the loop that are written before it ends."""
_MOST_UNREAD_BYTES = 4 * 1024 * 1024
"""The most bytes that wait for a client to read them; beyond that the server reads nothing from it."""
_SHORTEST_BEAT_SECONDS = 0.05
_HTTP = b"GET "
_NO_WEB_SOCKETS = (
    b"HTTP/1.1 501 AMQP over WebSockets is served on the HTTPS port only, use it or TransportType.Amqp\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)
"""The answer to a request for a web socket, which azure-servicebus makes by default with `custom_endpoint_address`."""
_CLOSING_SECONDS = 5.0
"""How long a client has to read what was written before its connection was closed."""


class Settings(Struct, frozen=True):
    """What all connections of a server share."""

    router: Router
    authority: Authority
    now: Callable[[], float]
    """POSIX seconds."""
    container_id: str = "goldwire-emulator"
    max_frame_bytes: int = 64 * 1024
    idle_timeout_seconds: float = 240.0
    """The server drops a client that is silent for longer; it announces half of that."""


class Connection(asyncio.Protocol):
    """The protocol of one client.

    Args:
        settings: of the server.
        made: called once the connection stands, TLS included.
        gone: called once it is lost.
    """

    def __init__(self, settings: Settings, made: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._settings = settings
        self._made = made
        self._gone = gone
        self.id = next(_IDS)
        self.max_frame_bytes = LEAST_MAX_FRAME_BYTES
        self.writable = True
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._sessions: dict[int, Session] = {}
        self._sasl_done = self._header_done = self._opened = self._closed = False
        self._claims = Claims(settings.now)
        node = cbs.CbsNode(settings.authority, self._claims, self._token_taken)
        self._attaching = Attaching(settings.router, {cbs.ADDRESS: node}, self._claims, self.id, self._watch_rights)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._made(self)
        self._heard()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is no AMQP ends the connection with an error."""
        if self._closed:
            return
        self._heard()
        self._buffer += data
        try:
            self._take()
        except (FramingError, EncodeError) as error:
            self.close(AmqpError("amqp:connection:framing-error", str(error)))
        except AmqpError as error:
            self.close(error)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self.writable = True
        self._transport.resume_reading()
        for session in list(self._sessions.values()):
            session.wake()

    def connection_lost(self, _: Exception | None) -> None:
        """End everything that lived on the connection."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._gone(self)

    # what others call

    def write(self, data: bytes) -> None:
        """Write whole frames, together with all others of this turn of the loop."""
        if self._closed:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > _FLUSHED_AT_BYTES:
            self._flush()

    def drop(self) -> None:
        """Cut the connection without a word, as a network does."""
        self._closed = True
        self._transport.abort()

    def close(self, error: AmqpError | None = None) -> None:
        """Close the connection, with a reason if there is one."""
        if not self._closed:
            if self._opened:
                self.write(frame(0, Close(error.as_error() if error else None)))
            self._flush()
            self._closed = True
            self._transport.close()
            self._timers["close"] = self._loop.call_later(_CLOSING_SECONDS, self._transport.abort)

    # inside

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            if not self._transport.is_closing():  # a client that is gone, before asyncio reports it
                self._transport.write(data)
                if self._transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
                    self._transport.pause_reading()

    def _take(self) -> None:
        position = 0
        while not self._closed:
            if not self._header_done and self._buffer[position : position + 1] == b"A":
                if len(self._buffer) - position < HEADER_BYTES:
                    break
                self._on_header(bytes(self._buffer[position : position + HEADER_BYTES]))
                position += HEADER_BYTES
                continue
            if not self._header_done and self._buffer.startswith(_HTTP):
                self.write(_NO_WEB_SOCKETS)
                self.close()
                break
            found, end = take_frame(self._buffer, position, self._settings.max_frame_bytes)
            if found is None:
                break
            position = end
            self._on_frame(found)
        del self._buffer[:position]

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER and not self._sasl_done:
            self.write(SASL_HEADER)
            self.write(frame(0, SaslMechanisms([Symbol(one) for one in _MECHANISMS]), kind=SASL))
        elif header == AMQP_HEADER and self._sasl_done:
            self._header_done = True
            self.write(AMQP_HEADER)
        else:  # the answer to an unknown header is the known one
            self.write(AMQP_HEADER if self._sasl_done else SASL_HEADER)
            self.close()

    def _on_frame(self, found: Frame) -> None:
        performative = found.performative
        if found.kind == SASL:
            self._on_sasl(performative)
        elif not self._header_done:
            raise FramingError("a frame before the protocol header")
        elif performative is not None:
            handler = _HANDLERS.get(type(performative))
            if handler is None or (not self._opened and not isinstance(performative, Open)):
                raise AmqpError("amqp:not-allowed", f"{performative.symbol} is not expected here")
            handler(self, found, performative)

    def _on_sasl(self, performative: Composite | None) -> None:
        if not isinstance(performative, SaslInit) or self._sasl_done:
            raise FramingError("a SASL frame that is not expected")
        refused = performative.mechanism not in _MECHANISMS
        if performative.mechanism == _PLAIN:
            _, name, key = ([*(performative.initial_response or b"").decode(errors="replace").split("\0"), "", "", ""])[:3]
            try:
                self._claims.add(self._settings.authority.verify_plain(name, key))
            except AmqpError:
                refused = True
        self.write(frame(0, SaslOutcome(_REFUSED if refused else 0), kind=SASL))
        self._sasl_done = not refused
        if refused:
            self.close()

    def on_open(self, _: Frame, opening: Open) -> None:
        """Take what the client can do, and say what we can."""
        if self._opened:
            raise AmqpError("amqp:not-allowed", "the connection is open already")
        if opening.max_frame_size < LEAST_MAX_FRAME_BYTES:
            raise AmqpError("amqp:invalid-field", f"max-frame-size is at least {LEAST_MAX_FRAME_BYTES}")
        self._opened = True
        self.max_frame_bytes = min(opening.max_frame_size, self._settings.max_frame_bytes)
        self._attaching.container_id = opening.container_id
        answer = Open(
            container_id=self._settings.container_id,
            max_frame_size=self._settings.max_frame_bytes,
            channel_max=min(opening.channel_max, _CHANNEL_MAX),
            idle_time_out=int(self._settings.idle_timeout_seconds * 500),
        )
        self.write(frame(0, answer))
        if opening.idle_time_out:
            self._beat(max(opening.idle_time_out / 2000, _SHORTEST_BEAT_SECONDS))

    def _beat(self, every_seconds: float) -> None:
        """Send a heartbeat at half the client's idle timeout."""
        if not self._closed:
            if self.writable:
                self.write(EMPTY_FRAME)
            self._timers["beat"] = self._loop.call_later(every_seconds, self._beat, every_seconds)

    def _heard(self) -> None:
        self._last_heard = self._loop.time()
        if "idle" not in self._timers:
            self._timers["idle"] = self._loop.call_later(self._settings.idle_timeout_seconds, self._check_idle)

    def _check_idle(self) -> None:
        left = self._last_heard + self._settings.idle_timeout_seconds - self._loop.time()
        if left > 0:
            self._timers["idle"] = self._loop.call_later(left, self._check_idle)
        else:
            self.close(AmqpError("amqp:connection:forced", "The connection was inactive for too long."))

    def on_begin(self, found: Frame, begin: Begin) -> None:
        """Begin a session."""
        if found.channel in self._sessions or found.channel > _CHANNEL_MAX:
            raise AmqpError("amqp:not-allowed", f"channel {found.channel} cannot begin a session")
        self._sessions[found.channel] = Session(self, found.channel, begin, self._attaching)

    def on_end(self, found: Frame, _: End) -> None:
        """End a session."""
        session = self._sessions.pop(found.channel, None)
        if session is not None:
            session.on_end()

    def on_close(self, _: Frame, __: Close) -> None:
        """Answer a close."""
        self.close()

    def _session(self, found: Frame) -> Session | None:
        """Return a frame's session; the SDKs send a detach after an end, which is let pass."""
        session = self._sessions.get(found.channel)
        if session is None and not isinstance(found.performative, Detach | Disposition | Flow):
            raise AmqpError("amqp:not-allowed", f"channel {found.channel} has no session")
        return session

    def on_session_frame(self, found: Frame, performative: Any) -> None:
        """Pass a frame on to its session; an error of its own ends that session only."""
        session = self._session(found)
        if session is None:
            return
        try:
            if isinstance(performative, Transfer):
                session.on_transfer(performative, found.payload)
            else:
                _SESSION_HANDLERS[type(performative)](session, performative)
        except AmqpError as error:
            self._sessions.pop(found.channel)
            session.close()
            session.send(End(error.as_error()))

    # rights that end

    def _token_taken(self, _: Claim) -> None:
        """Give links the longer right that a new token brings."""
        for session in self._sessions.values():
            for link in session.links:
                node = self._settings.router(link.request.address)
                until = node and self._claims.until(link.request.address, node.rights(link.request.direction))
                link.expires_at = max(link.expires_at, until or 0)
        self._watch_rights()

    def _watch_rights(self) -> None:
        """Detach the links whose right has ended, and wait for the next that will."""
        links = [link for session in self._sessions.values() for link in session.links]
        now = self._settings.now()
        for link in links:
            if link.expires_at <= now:
                link.detach(AmqpError("amqp:unauthorized-access", "ExpiredToken: the token of this link has expired."))
        ends = [link.expires_at for link in links if now < link.expires_at < float("inf")]
        if "rights" in self._timers:
            self._timers.pop("rights").cancel()
        if ends and not self._closed:
            self._timers["rights"] = self._loop.call_later(min(ends) - now, self._watch_rights)


_HANDLERS: dict[type[Composite], Callable[[Connection, Frame, Any], None]] = {
    Open: Connection.on_open,
    Close: Connection.on_close,
    Begin: Connection.on_begin,
    End: Connection.on_end,
    **dict.fromkeys((Attach, Detach, Flow, Transfer, Disposition), Connection.on_session_frame),
}

_SESSION_HANDLERS: dict[type[Composite], Callable[[Session, Any], None]] = {
    Attach: Session.on_attach,
    Detach: Session.on_detach,
    Flow: Session.on_flow,
    Disposition: Session.on_disposition,
}
