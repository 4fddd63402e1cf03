"""The sample that everything is measured on: one configuration, and customers whose events have 1.6 KB and 10 attributes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from goldwire.canonical import canonical
from goldwire.capture.fact import Fact
from goldwire.changelog.ports.ingest import Ingest
from goldwire.clock import timestamp
from goldwire.mastering.workspace import Change
from goldwire.services.application import Application

ENTITY_TYPE = "Customer"
BATCH = 1_000
"""Rows in one transaction, here and in the floors."""

_MASKED = {"birthDate": "redact", "email": "partial", "phone": "hash"}
_VALUES = {
    "birthDate": "1980-02-17",
    "city": "Neustadt",
    "country": "DE",
    "email": "a.########@example.com",
    "familyName": "Sander",
    "givenName": "Alexa",
    "house": "117b",
    "phone": "+49 6321 ########",
    "postcode": "67433",
    "street": "Karlstr.",
}
_NUMBER = b"########"
_VERSION = b"@@"
_MOMENT = "2026-11-23T10:00:00.000000Z"


def application(folder: Path, store: Path, targets: Mapping[str, Mapping[str, Any]]) -> Application:
    """Write the sample's configuration into a folder, apply it, and return what it describes.

    Args:
        folder: made if it does not exist.
        store: the store's file.
        targets: name to kind, settings, start and delivery; each gets the contract with three masks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hash.key").write_text(secrets.token_hex(32), encoding="utf-8")
    file = folder / "goldwire.yaml"
    # JSON is YAML, too.
    file.write_bytes(msgspec.json.format(msgspec.json.encode(_configuration(store, targets))))
    found = Application.of(file)
    found.apply_service().run(check=False)
    return found


def _configuration(store: Path, targets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "store": {"path": str(store.absolute())},
        "keys": {"hash": "${file:hash.key}"},
        "tags": {"pii": {"retention_days": 365}},
        "types": {
            ENTITY_TYPE: {
                "attributes": {name: {"tags": ["pii"] if name in _MASKED else []} for name in _VALUES},
                "relations": {"owns": {}},
                "match": [{"name": "same e-mail", "equal": ["email"]}],
                "survivorship": ["source_priority", "most_recent"],
                "systems": ["crm", "billing"],
            }
        },
        "contracts": {"masked": {"masks": _MASKED}},
        "targets": {name: {"contract": "masked", **target} for name, target in targets.items()},
    }


def entity_id(number: int) -> str:
    """Return the id of the n-th entity; as with real ids, neighbours have nothing in common."""
    return "goldwire:entity:" + blake2b(b"%d" % number, digest_size=16).hexdigest()


def fill(store: Ingest, positions: range, entities: int) -> Iterator[int]:
    """Append versions to the log, entity by entity and round by round.

    Args:
        store: where to.
        positions: how many, and which: position p is version p // entities + 1 of entity p % entities.
        entities: how many there are.

    Yields:
        how many were appended, after each transaction.
    """
    state = _state()
    for begin in range(positions.start, positions.stop, BATCH):
        batch = range(begin, min(begin + BATCH, positions.stop))
        with store.ingest(1_800_000_000.0 + begin) as workspace:
            workspace.commit_changes([_change(state, position, entities) for position in batch])
        yield len(batch)


def versions(positions: range, entities: int) -> set[tuple[str, int]]:
    """Return entity id and version of what `fill` put there."""
    return {(entity_id(position % entities), position // entities + 1) for position in positions}


def _change(state: bytes, position: int, entities: int) -> Change:
    version, number = divmod(position, entities)
    written = state.replace(_NUMBER, b"%08d" % number).replace(_VERSION, b"%02d" % version)
    return Change(entity_id(number), ENTITY_TYPE, version + 1, "live", written, "street", "bench", b"{}")


def _state() -> bytes:
    """Return a golden state with marks where a record's number and version go."""
    claims = {**_VALUES, "street": f"{_VALUES['street']} {_VERSION.decode()}"}
    attributes = {
        name: {"confidence": 0.9, "lastSeen": _MOMENT, "provenance": "crm", "value": value} for name, value in claims.items()
    }
    return canonical(
        {
            "approval": "approved",
            "attributes": attributes,
            "confidence": 0.9,
            "edges": [{"rel": "owns", "to": {"externalId": {"id": "A-########", "system": "erp"}}}],
            "externalIds": [{"id": "B-########", "system": "billing"}, {"id": "C-########", "system": "crm"}],
            "status": "golden",
        }
    )


def facts(count: int) -> Sequence[Fact]:
    """Return facts of two systems about the same people: first what one says of all, then what the other says.

    Each commits a version: the first a new record, the second by finding its record through the e-mail address. (Two facts
    about one person in one transaction would commit one version, so `count` is at least two batches.)
    """
    assert count >= 2 * BATCH, "two facts about one person would meet in one transaction"
    people = count // 2
    written = {name: canonical(value) for name, value in _VALUES.items()}
    return [
        Fact(
            system,
            f"{system}-{number}",
            ENTITY_TYPE,
            {name: value.replace(_NUMBER, b"%08d" % number) for name, value in written.items()},
            timestamp(1_700_000_000.0 + number),
            0.9,
        )
        for system, size in (("crm", count - people), ("billing", people))
        for number in range(size)
    ]
