"""A certificate for localhost, made on the spot, so that TLS can be tried without a certificate authority."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from goldwire_emulator.errors import InputError

CERTIFICATE = "cert.pem"
KEY = "key.pem"
_LIFE = dt.timedelta(days=365)
_LEEWAY = dt.timedelta(minutes=5)
"""For clocks that differ."""


def server_context(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS context with the certificate of a folder; one for localhost is made if there is none.

    Args:
        folder: holds `cert.pem`, which a client is to trust, and `key.pem`.

    Raises:
        InputError: what the folder holds is no certificate with its key, or none can be made there.
    """
    certificate, key = folder / CERTIFICATE, folder / KEY
    if not certificate.exists() and not key.exists():
        try:
            _make(certificate, key)
        except OSError as error:
            raise InputError(f"{folder}: no certificate can be made there: {error.strerror}; name another folder") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        fix = "name a folder with both, or an empty one"
        raise InputError(f"{folder}: {CERTIFICATE} and {KEY} are no certificate with its key; {fix}") from error
    return context


def _make(certificate: Path, key: Path) -> None:
    certificate.parent.mkdir(parents=True, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    public = private.public_key()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
