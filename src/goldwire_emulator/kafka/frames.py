"""The little of the Kafka protocol that a gate before a broker has to read and write.

Source: the Kafka protocol guide, https://kafka.apache.org/protocol. Everything is big-endian; a frame begins with its size.
"""

from __future__ import annotations

import asyncio
import struct

from msgspec import Struct

METADATA, FIND_COORDINATOR, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 10, 17, 18, 36
"""Requests by their number (`ApiKey`)."""

UNSUPPORTED_MECHANISM, ILLEGAL_STATE, AUTHENTICATION_FAILED = 33, 34, 58
"""Error codes."""

_OF_SASL = {SASL_HANDSHAKE: (0, 1), SASL_AUTHENTICATE: (0, 1)}
"""Lowest and highest version that a gate takes."""

_FLEXIBLE_SINCE = 3
"""From this version on ApiVersions answers with compact arrays and tagged fields."""


class KafkaRequest(Struct, frozen=True):
    """A request of a client."""

    frame: bytes
    """As it came, without its size."""
    key: int
    version: int
    correlation: int

    @property
    def body(self) -> bytes:
        """What follows the header, in requests without tagged fields."""
        (length,) = struct.unpack_from(">h", self.frame, 8)
        return self.frame[10 + max(length, 0) :]


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame without its size.

    Raises:
        EOFError: the other side has closed.
    """
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def framed(frame: bytes) -> bytes:
    """Return a frame with its size before it."""
    return struct.pack(">i", len(frame)) + frame


def request_of(frame: bytes) -> KafkaRequest:
    """Read the header of a request."""
    return KafkaRequest(frame, *struct.unpack_from(">hhi", frame))


def correlation_of(frame: bytes) -> int:
    """Return which request an answer is for."""
    found: int = struct.unpack_from(">i", frame)[0]
    return found


def mechanism_of(request: KafkaRequest) -> str:
    """Return what a SaslHandshake asks for."""
    return _take(request.body, ">h").decode()


def token_of(request: KafkaRequest) -> bytes:
    """Return what a SaslAuthenticate carries."""
    return _take(request.body, ">i")


def handshake(request: KafkaRequest, error: int, mechanisms: list[str]) -> bytes:
    """Return the answer to a SaslHandshake."""
    names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in mechanisms)
    return struct.pack(">ihi", request.correlation, error, len(mechanisms)) + names


def authenticated(request: KafkaRequest, error: int, message: str, data: bytes, session_ms: int) -> bytes:
    """Return the answer to a SaslAuthenticate.

    Args:
        request: that it is for.
        error: 0 for none.
        message: with an error.
        data: of the mechanism.
        session_ms: after which the client must authenticate again (KIP-368); 0: never.
    """
    text = struct.pack(">h", len(message)) + message.encode() if message else struct.pack(">h", -1)
    answer = struct.pack(">ih", request.correlation, error) + text + struct.pack(">i", len(data)) + data
    return answer + struct.pack(">q", session_ms) if request.version >= 1 else answer


def with_sasl(frame: bytes, version: int) -> bytes:
    """Return an answer to ApiVersions that also offers SaslHandshake and SaslAuthenticate."""
    correlation, error = struct.unpack_from(">ih", frame)
    if error:  # the client asked for a version that the broker does not have, and will ask again
        return frame
    flexible = version >= _FLEXIBLE_SINCE
    step = 7 if flexible else 6
    count, start = (frame[6] - 1, 7) if flexible else (struct.unpack_from(">i", frame, 6)[0], 10)
    assert count < 100, "a length of one byte"
    entries = [frame[start + step * number :][:step] for number in range(count)]
    kept = [entry for entry in entries if struct.unpack_from(">h", entry)[0] not in _OF_SASL]
    kept += [struct.pack(">hhh", key, *versions) + b"\0" * flexible for key, versions in _OF_SASL.items()]
    size = bytes([len(kept) + 1]) if flexible else struct.pack(">i", len(kept))
    return struct.pack(">ih", correlation, error) + size + b"".join(kept) + frame[start + step * count :]


def moved(frame: bytes, host: str, ports: dict[int, int]) -> bytes:
    """Return an answer in which each broker is at another port; the length stays the same.

    Args:
        frame: that names brokers by host and port.
        host: as the brokers name it.
        ports: from, to.
    """
    for old, new in ports.items():
        frame = frame.replace(host.encode() + struct.pack(">i", old), host.encode() + struct.pack(">i", new))
    return frame


def _take(body: bytes, length: str) -> bytes:
    (size,) = struct.unpack_from(length, body)
    start = struct.calcsize(length)
    return body[start : start + size]
