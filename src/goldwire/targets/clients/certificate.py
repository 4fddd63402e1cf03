"""A client's own certificate for TLS, and the authorities it trusts: read from PEM files, and checked before they are used.

No error from here holds anything of a key or its password.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from goldwire.clock import timestamp
from goldwire.errors import ConfigError
from goldwire.redaction import shows
from goldwire.targets.base import Finding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"

SOON_DAYS = 30
"""A check says from then on that a certificate is about to end."""

FileStates = tuple[tuple[int, int, int] | None, ...]
"""Of each file the time of its last change, its size and its number; all zero where it is not there."""


@shows("ends_at")
class ClientCertificate(Struct, frozen=True):
    """A certificate with those that lead to its authority, and its key."""

    pem: bytes
    """The key, not encrypted, and then the certificates; nothing else."""
    ends_at: float
    """POSIX seconds: when the first of them ends."""

    def is_over(self, now: float) -> bool:
        """Say whether one of the certificates has ended.

        Args:
            now: POSIX seconds.
        """
        return now > self.ends_at


def read_client_certificate(
    target: str, certificate_file: str, key_file: str | None, key_password: str | None, *, now: float
) -> ClientCertificate:
    """Read a certificate and its key.

    Args:
        target: the target's name, for errors.
        certificate_file: PEM; the client's own certificate stands first in it.
        key_file: PEM; None: the key stands in `certificate_file` too.
        key_password: opens the key, where it is encrypted.
        now: POSIX seconds.

    Raises:
        ConfigError: a file is missing or holds something else, or the key is that of another certificate.
        ConnectionError: a certificate has ended, or does not begin yet; a renewed one mends it.
    """
    from cryptography import x509  # noqa: PLC0415 - slow to import, and few targets have a certificate
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see above

    where = f"target '{target}'"
    content = _content(where, "certificate_file", certificate_file)
    if _CERTIFICATE not in content:
        raise ConfigError(f"{where}: certificate_file holds no certificate in PEM form")
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigError(f"{where}: certificate_file holds a certificate that cannot be read; export it again") from None
    setting = "certificate_file" if key_file is None else "key_file"
    key = _key(where, setting, content if key_file is None else _content(where, setting, key_file), key_password)
    plain = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*plain) != certificates[0].public_key().public_bytes(*plain):
        raise ConfigError(
            f"{where}: the key in {setting} is not that of the first certificate in certificate_file; name the two that belong "
            "together, with the client's own certificate first"
        )
    for number, one in enumerate(certificates, 1):
        which = "the certificate" if number == 1 else f"certificate {number}"
        begin, end = one.not_valid_before_utc.timestamp(), one.not_valid_after_utc.timestamp()
        if now > end:
            raise ConnectionError(f"{where}: {which} in certificate_file has expired, at {timestamp(end)}; renew it")
        if now < begin:
            raise ConnectionError(
                f"{where}: {which} in certificate_file begins at {timestamp(begin)} only; look at this machine's clock"
            )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    return ClientCertificate(pem, min(one.not_valid_after_utc.timestamp() for one in certificates))


def read_authorities(target: str, ca_file: str) -> bytes:
    """Read the certificates of authorities.

    Raises:
        ConfigError: the file is missing, or holds something else.
    """
    from cryptography import x509  # noqa: PLC0415 - see above

    where = f"target '{target}'"
    content = _content(where, "ca_file", ca_file)
    if _CERTIFICATE not in content:
        raise ConfigError(f"{where}: ca_file holds no certificate in PEM form")
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigError(f"{where}: ca_file holds a certificate that cannot be read; export it again") from None
    return content


def file_states(files: Sequence[str | None]) -> FileStates:
    """Return what changes when one of these files is written or replaced, without reading it."""
    return tuple(_stat(file) for file in files)


def certificate_findings(certificate: ClientCertificate, key_file: str, *, now: float) -> list[Finding]:
    """Return what a check says of a client certificate.

    Args:
        certificate: as it was read.
        key_file: where its key stands.
        now: POSIX seconds.
    """
    end = timestamp(certificate.ends_at)
    soon = certificate.ends_at - now < SOON_DAYS * 86_400
    found = [Finding("certificate", "note" if soon else "ok", f"valid until {end}{'; renew it before' if soon else ''}")]
    if Path(key_file).stat().st_mode & 0o077:
        found.append(Finding("key", "note", f"other users of this machine may have access to {key_file}; chmod 600"))
    return found


def _key(where: str, setting: str, content: bytes, password: str | None) -> CertificateIssuerPrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    found = _PRIVATE_KEY.search(content)
    if found is None:
        raise ConfigError(f"{where}: {setting} holds no private key in PEM form")
    text = found.group()
    if b"ENCRYPTED" not in text:
        password = None
    elif password is None:
        raise ConfigError(f"{where}: the key in {setting} is encrypted; set key_password")
    try:
        key = load_pem_private_key(text, None if password is None else password.encode())
    except ValueError:
        why = "cannot be read; export it again" if password is None else "does not open with key_password"
        raise ConfigError(f"{where}: the key in {setting} {why}") from None
    except UnsupportedAlgorithm:
        key = None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{where}: the key in {setting} is of a kind that TLS has no use for; take RSA, ECDSA or Ed25519")
    return key


def _content(where: str, setting: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{where}: {setting}: there is no file {file}") from None
    except OSError as error:
        raise ConfigError(f"{where}: {setting} cannot be read ({error.strerror})") from None


def _stat(file: str | None) -> tuple[int, int, int] | None:
    if file is None:
        return None
    try:
        found = Path(file).stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino
