"""How a `webhook` target reaches its receiver: HTTP with the files of its settings, read again when they change."""

from __future__ import annotations

from collections.abc import Mapping

from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.targets.base import Finding
from goldwire.targets.clients.certificate import (
    ClientCertificate,
    certificate_findings,
    file_states,
    read_authorities,
    read_client_certificate,
)
from goldwire.targets.clients.http import HttpClient, NotSentError, Reply, is_loopback
from goldwire.targets.webhook.settings import WebhookSettings


class ReceiverConnection:
    """The connections to one receiver.

    Args:
        name: the target's.
        settings: where and how.
        clock: says whether a certificate is still valid.
    """

    def __init__(self, name: str, settings: WebhookSettings, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._client: HttpClient | None = None
        self._certificate: ClientCertificate | None = None
        self._files = (settings.ca_file, settings.certificate_file, settings.key_file)
        self._states = file_states(())
        self._not_renewed = ""
        """Why changed files are not used, as the end of a sentence."""

    async def open(self) -> None:
        """Read and check the files; a connection is made by the first request.

        Raises:
            ConfigError: a file is missing or holds something else, or the key does not fit the certificate.
            ConnectionError: the client certificate has expired.
        """
        await self.close()
        self._read()

    async def renew(self) -> None:
        """Use the files anew if they have changed: what is under way ends as it began, all that follows connects anew.

        Files that cannot be used, such as a certificate whose key is not written yet, leave everything as it is.
        """
        if not any(self._files) or file_states(self._files) == self._states:
            return
        before = self._client
        try:
            self._read()
        except (ConfigError, ConnectionError) as error:
            self._not_renewed = f"; the files have changed since, and cannot be used: {error}"
            return
        if before is not None:
            await before.retire()

    async def request(self, method: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request and read the answer.

        Raises:
            NotSentError: nothing was sent.
            NoAnswerError: it may have been received.
        """
        client = self._client
        assert client is not None, "send before open"
        if self._certificate is not None and self._certificate.is_over(self._clock.now()):
            raise NotSentError(f"the certificate in certificate_file has expired; renew it{self._not_renewed}")
        try:
            return await client.request(method, self._settings.url, headers, body)
        except NotSentError as error:
            raise type(error)(f"{error}{self._not_renewed}") from None

    def findings(self) -> list[Finding]:
        """Return what a check says of the client certificate, where there is one."""
        settings = self._settings
        if self._certificate is None or settings.certificate_file is None:
            return []
        key_file = settings.key_file or settings.certificate_file
        return certificate_findings(self._certificate, key_file, now=self._clock.now())

    async def close(self) -> None:
        """Close all connections; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _read(self) -> None:
        settings = self._settings
        states = file_states(self._files)  # before they are read: what is written meanwhile is read next time
        authorities = None if settings.ca_file is None else read_authorities(self._name, settings.ca_file)
        certificate = None
        if settings.certificate_file is not None:
            certificate = read_client_certificate(
                self._name, settings.certificate_file, settings.key_file, settings.key_password, now=self._clock.now()
            )
        try:
            client = HttpClient(
                timeout_seconds=settings.timeout_seconds,
                connect_timeout_seconds=settings.connect_timeout_seconds,
                answer_limit_bytes=settings.answer_limit_bytes,
                proxied=not is_loopback(settings.url),
                ca_certificates_pem=authorities,
                client_certificate_pem=None if certificate is None else certificate.pem,
            )
        except ValueError as error:
            raise ConfigError(f"target '{self._name}': ca_file, certificate_file or key_file: {error}") from None
        self._client, self._certificate, self._states, self._not_renewed = client, certificate, states, ""
