"""Masks: canonical bytes of a clear value in, canonical bytes of a masked value out; never the entire clear value.

`null` stays `null`: it says that there is no value. A mask is deterministic, so that a resend is the same event.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import hexlify
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from goldwire.canonical import text
from goldwire.contract.spec import Mask, Truncate
from goldwire.errors import ConfigError, ContractError, InputError

KEY_BYTES_MIN = 32
"""The least length of a key, in bytes."""

REDACTED = b'"REDACTED"'
HIDDEN = b'"***"'
"""The result of `partial` for a value of which it shows no part."""

_NULL = b"null"
_BLOCK_BYTES = 64
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")
_PARTIAL_BOTH_ENDS = 8
_PARTIAL_ONE_END = 4
_TOKEN_PREFIX = "tok_"  # noqa: S105 - how a token begins, no secret

MaskFunction = Callable[[bytes], bytes]
"""Canonical bytes to canonical bytes."""


class LostKey(NamedTuple):
    """Stands for the key that a contract was applied with, where that key is missing; masking a value with it is an error."""

    reason: str
    """Which key it is, and how to mend it."""


Keys = Mapping[str, bytes | LostKey]
"""The keys of the masks `hash` and `tokenise`, by the mask's name."""


def build_mask(mask: Mask, attribute: str, keys: Keys) -> MaskFunction:
    """Return the function of one mask for one attribute.

    Args:
        mask: as the contract names it.
        attribute: its name; a token is bound to it.
        keys: `hash` and `tokenise`, at least 32 bytes each, as far as masks need them.

    Raises:
        ContractError: the mask needs a key that is missing or too short.
    """
    if isinstance(mask, Truncate):
        return _truncate(mask.truncate)
    if mask == "redact":
        return _redact
    if mask == "partial":
        return _partial
    if mask == "hash":
        key = _key("hash", keys)
        return _lost(key) if isinstance(key, LostKey) else _hash(key)
    key = _key("tokenise", keys)
    return _lost(key) if isinstance(key, LostKey) else _tokenise(key, attribute)


def detokenise(token: str, attribute: str, keys: Mapping[str, bytes]) -> bytes:
    """Return the canonical bytes of the clear value behind a token.

    Args:
        token: what a target received, `tok_…`.
        attribute: the attribute that carried it.
        keys: holds `tokenise`.

    Raises:
        ContractError: the key is missing or too short.
        InputError: this is no token of that attribute under that key.
    """
    key = _key("tokenise", keys)
    assert isinstance(key, bytes), "a key that is lost turns nothing back"
    cipher = _cipher(key)
    encoded = token.removeprefix(_TOKEN_PREFIX)
    try:
        if encoded == token:
            raise ValueError  # noqa: TRY301 - one answer for every way a token can be wrong
        sealed = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return cipher.decrypt(sealed, [attribute.encode()])
    except (ValueError, InvalidTag) as error:
        raise InputError(
            f"this is no token of attribute {attribute!r} under the key `keys.tokenise`; "
            "check the attribute's name, the key, and that the token was copied whole"
        ) from error


def _lost(key: LostKey) -> MaskFunction:
    def refuse(value: bytes) -> bytes:
        if value == _NULL:
            return value
        raise ConfigError(key.reason)

    return refuse


def _key(name: str, keys: Keys) -> bytes | LostKey:
    key = keys.get(name)
    if key is None:
        raise ContractError(
            f"the mask `{name}` needs a key: set `keys.{name}` in goldwire.yaml to a secret of at least "
            f"{KEY_BYTES_MIN} bytes, e.g. ${{env:GOLDWIRE_{name.upper()}_KEY}}"
        )
    if isinstance(key, bytes) and len(key) < KEY_BYTES_MIN:
        raise ContractError(
            f"the key `keys.{name}` has {len(key)} bytes; give it at least {KEY_BYTES_MIN}, e.g. from `openssl rand -hex 32`"
        )
    return key


def _redact(value: bytes) -> bytes:
    return value if value == _NULL else REDACTED


def _hash(key: bytes) -> MaskFunction:
    """HMAC-SHA-256 (RFC 2104) with both keyed blocks hashed once: copying them costs a third of `hmac.digest`."""
    block = (key if len(key) <= _BLOCK_BYTES else sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block))
    outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def mask(value: bytes) -> bytes:
        if value == _NULL:
            return value
        first, second = inner.copy(), outer.copy()
        first.update(value)
        second.update(first.digest())
        return b'"hmac-sha256:' + hexlify(second.digest()) + b'"'

    return mask


def _cipher(key: bytes) -> AESSIV:
    return AESSIV(HKDF(SHA256(), 64, salt=None, info=b"goldwire tokenise v1").derive(key))


def _tokenise(key: bytes, attribute: str) -> MaskFunction:
    encrypt = _cipher(key).encrypt
    associated = [attribute.encode()]

    def mask(value: bytes) -> bytes:
        if value == _NULL:
            return value
        return b'"tok_%b"' % urlsafe_b64encode(encrypt(value, associated)).rstrip(b"=")

    return mask


def _truncate(count: int) -> MaskFunction:
    def mask(value: bytes) -> bytes:
        """Numbers are cut as they are written; what has no beginning that says less than the whole becomes empty."""
        first = value[:1]
        if first == b'"':
            clear: str = msgspec.json.decode(value)
            return text(clear[: min(count, len(clear) // 2)])
        if first in b"-0123456789":
            return b'"%b"' % value[: min(count, len(value) // 2)]
        return value if value == _NULL else b'""'

    return mask


def _partial(value: bytes) -> bytes:
    """Show an e-mail address's first letter and domain, else one or both ends of a text, nothing of other values."""
    if value[:1] != b'"':
        return value if value == _NULL else HIDDEN
    clear: str = msgspec.json.decode(value)
    if _EMAIL.fullmatch(clear):
        local, _, domain = clear.partition("@")
        shown = f"{local[0] if len(local) > 1 else ''}***@{domain}"
    elif len(clear) < _PARTIAL_ONE_END:
        return HIDDEN
    else:
        shown = f"{clear[0]}***{clear[-1] if len(clear) >= _PARTIAL_BOTH_ENDS else ''}"
    return HIDDEN if shown == clear else text(shown)
