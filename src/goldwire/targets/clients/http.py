"""HTTP out, for every target that uses it: connections kept open, redirects refused, answers limited in size.

The only file that knows the HTTP library. No error from here holds a URL, a header or a body: each may be secret.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.response import Response


_WELL_KNOWN = frozenset(
    (
        "application/json", "application/octet-stream", "application/problem+json", "application/soap+xml", "application/xml",
        "text/html", "text/plain", "text/xml",
    )
)  # fmt: skip


class NotSentError(Exception):
    """The request certainly did not reach the other side: no name, no route, no connection, no handshake."""


class CertificateRefusedError(NotSentError):
    """The other side wants another client certificate, or one at all, and said so before it took the request."""


class NoAnswerError(Exception):
    """The request may have arrived: what came back was nothing, too late, or too much."""


class Reply(Struct, frozen=True):
    """What the other side answered."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of several of one name the first."""
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.described()}, {len(self.body)} bytes)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("answer", self.described())]

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, e.g. `application/json`; empty if none was given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def described(self) -> str:
        """Return status and media type, e.g. `HTTP 502 (text/html)`: all of an answer that is fit for a log.

        A type that is not well known is left out: the other side chooses its words, and may repeat what was sent.
        """
        return f"HTTP {self.status} ({self.media_type})" if self.media_type in _WELL_KNOWN else f"HTTP {self.status}"


class HttpClient:
    """Sends requests over connections that stay open. Bound to the event loop it is used on."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        connect_timeout_seconds: float,
        answer_limit_bytes: int,
        proxied: bool = True,
        ca_certificates_pem: bytes | None = None,
        client_certificate_pem: bytes | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            timeout_seconds: for one request, from connecting to the last byte of the answer.
            connect_timeout_seconds: for connecting alone.
            answer_limit_bytes: a longer answer counts as none.
            proxied: use the proxy that the environment names, if it names one.
            ca_certificates_pem: further authorities to trust.
            client_certificate_pem: a key and its certificates, to show to a server that asks for them.

        Raises:
            ValueError: the TLS library does not take a certificate or the key.
        """
        # Here, so that a process that sends no HTTP does not load the library.
        _load_for_good()
        from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - loads only where used
        from pyreqwest.exceptions import BuilderError  # noqa: PLC0415 - loads only where used

        builder = (
            ClientBuilder()
            .follow_redirects(enable=False)
            .timeout(timedelta(seconds=timeout_seconds))
            .connect_timeout(timedelta(seconds=connect_timeout_seconds))
            .user_agent("goldwire")
            # A compressed answer could grow beyond every limit.
            .gzip(enable=False)
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
        )
        if not proxied:
            builder = builder.no_proxy()
        if ca_certificates_pem is not None:
            builder = builder.add_root_certificate_pem(ca_certificates_pem)
        try:
            if client_certificate_pem is not None:
                builder = builder.identity_pem(client_certificate_pem)
            self._client: Client = builder.build()
        except (BuilderError, ValueError):
            raise ValueError("the TLS library does not take the certificates or the key") from None
        self._answer_limit_bytes = answer_limit_bytes
        self._under_way = 0
        self._retired = False

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request and read the answer.

        Raises:
            NotSentError: nothing was sent.
            NoAnswerError: it may have been received.
        """
        self._under_way += 1
        try:
            return await self._request(method, url, headers, body)
        finally:
            self._under_way -= 1
            if self._retired and not self._under_way:
                await self.close()

    async def retire(self) -> None:
        """Close all connections once the requests that are under way have ended; no further one may be made."""
        self._retired = True
        if not self._under_way:
            await self.close()

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        from pyreqwest import exceptions  # noqa: PLC0415 - loads only where used

        try:
            request = self._client.request(method, url).headers(dict(headers)).body_bytes(body).build_streamed()
            async with request as response:
                return Reply(response.status, _first(response), await self._read(response))
        except ValueError:
            raise NotSentError("the URL or a header is malformed") from None
        except exceptions.RequestError as error:
            details = str(error.details).lower()
            _raise_if_certificate_refused(details)
            # The library calls many failures after sending a connect error; only this mark says that nothing was sent.
            if "client error (connect)" in details:
                raise NotSentError(_cause(details)) from None
            if isinstance(error, TimeoutError):
                raise NoAnswerError("no answer in time") from None
            raise NoAnswerError("the connection broke before the answer was whole") from None

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        await self._client.close()

    async def _read(self, response: Response) -> bytes:
        parts = []
        length_bytes = 0
        while (part := await response.body_reader.read_chunk()) is not None:
            length_bytes += len(part)
            if length_bytes > self._answer_limit_bytes:
                raise NoAnswerError(f"an answer of more than {self._answer_limit_bytes} bytes")
            parts.append(bytes(part))
        return b"".join(parts)


@cache
def _load_for_good() -> None:
    """Load the HTTP library in a thread that lives as long as the process.

    It keeps state of the thread that loads it, and crashes the process in its next use once that thread has ended.
    """
    loaded = threading.Event()

    def live() -> None:
        try:
            import pyreqwest.client  # noqa: F401, PLC0415 - to load it is all
        finally:
            loaded.set()
        threading.Event().wait()

    threading.Thread(target=live, name="goldwire-http", daemon=True).start()
    loaded.wait()


def retry_after_seconds(reply: Reply, now: float) -> float | None:
    """Return how long the answer asks to wait, or None if it does not say (RFC 9110, section 10.2.3).

    Args:
        reply: its `Retry-After` is a number of seconds or a date.
        now: POSIX seconds, to count a date from.
    """
    given = reply.headers.get("retry-after", "").strip()
    if not given:
        return None
    if given.isascii() and given.isdigit():
        return float(given[:9])
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


def is_loopback(url: str) -> bool:
    """Return whether a URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _first(response: Response) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in response.headers.items():
        first.setdefault(name.lower(), value)
    return first


_ALERTS = {
    "certificaterequired": "it asks for one, and there is none",
    "unknownca": "it does not know the authority of the one it was shown",
    "certificateexpired": "to it, the one it was shown has expired",
    "certificaterevoked": "the one it was shown is revoked",
    "badcertificate": "it does not accept the one it was shown",
    "unsupportedcertificate": "it does not accept the kind of the one it was shown",
    "certificateunknown": "it does not accept the one it was shown",
    "accessdenied": "the one it was shown is valid, but has no access",
}
"""What a server says of a client's certificate (RFC 8446, section 6.2)."""


def _raise_if_certificate_refused(details: str) -> None:
    """Look for the alert of a server that refuses a client's certificate.

    In TLS 1.3 it comes after the handshake has ended for the client, so the request may be under way already; but a server
    that has asked for a certificate reads nothing of it before the certificate is checked.
    """
    for alert, words in _ALERTS.items():
        if f"received fatal alert: {alert}" in details:
            raise CertificateRefusedError(words)


def _cause(details: str) -> str:
    """Say in plain words why no connection came about; the library's own text may hold the URL."""
    for mark, words in (
        ("dns", "the host name is not known"),
        ("refused", "the connection was refused"),
        ("alert: handshakefailure", "it ended the TLS handshake; it may want a client certificate"),
        ("certificate", "its TLS certificate is not trusted"),
        ("tls", "the TLS handshake failed"),
        ("timed out", "connecting took too long"),
        ("unreachable", "there is no route to it"),
    ):
        if mark in details:
            return words
    return "no connection could be made"
