"""Writes what a target holds last of each entity as a signed list, which a subscriber compares with what it applied.

A chain shows that something between two events is missing, and nothing after the last one. The list shows that too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from goldwire.canonical import canonical
from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.errors import InputError
from goldwire.services.lookup import cursor_of


class HeadsWritten(Struct, frozen=True):
    """What was written."""

    target: str
    file: str
    position: int
    """Up to which position of the log the list stands for."""
    entities: int
    signature: str


def write_heads(store: Deliveries, target: str, file: Path, signing_key: bytes) -> HeadsWritten:
    """Write the head of every entity that a target was sent: JSON lines in order of entity id, and a signed last line.

    Args:
        store: where it is kept what the target acknowledged.
        target: its name.
        file: is replaced as a whole, so that who reads it finds the one list or the other.
        signing_key: signs the list (HMAC-SHA-256); the subscriber who compares it needs it.

    Raises:
        NotFoundError: the target has not begun.
        InputError: the file cannot be written.
    """
    position = cursor_of(store, target).position
    signing, entities = hmac.new(signing_key, digestmod=hashlib.sha256), 0
    # A name of its own: the schedule of a running process may write the list at the same time as a person.
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as lines:
            for control in store.all_controls(target):
                line = canonical(
                    {
                        "entityId": control.entity_id,
                        "gone": control.presence == "gone",
                        "hash": f"sha256:{control.hash.hex()}",
                        "version": control.version,
                    }
                )
                signing.update(line + b"\n")
                lines.write(line + b"\n")
                entities += 1
            last = {"entities": entities, "position": position, "target": target}
            signing.update(canonical(last))
            signature = f"hmac-sha256:{signing.hexdigest()}"
            lines.write(canonical({**last, "signature": signature}) + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
        part.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return HeadsWritten(target, str(file), position, entities, signature)
