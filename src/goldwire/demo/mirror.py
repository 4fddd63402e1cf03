"""The subscriber's table beside the golden records: what the stream was folded to, and what the log says it should be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import msgspec

from goldwire.demo.backplane import TARGET
from goldwire.demo.folder import DemoFolder
from goldwire.demo.result import Mirror
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.services.application import Application
from goldwire.services.contract_documents import AppliedContracts

_GUARD = "SELECT entity_id, version, hash, gone FROM goldwire_guard"


def compare_mirror(application: Application, folder: DemoFolder, applied: int) -> Mirror:
    """Compare every row that the subscriber has with the golden record in the log as the contract shows it.

    What changes goes through the stream as deltas. What should be there is sealed in full from the newest versions of the log,
    so that the two meet only if no delta was lost, altered, repeated or put in another order. Of an attribute the value counts:
    a delta does not carry when it was last seen. Versions and hashes are compared with the control table.

    Args:
        application: with the log.
        folder: of the demo.
        applied: how many events the subscriber counted.
    """
    wanted, controls = _expected(application), {one.entity_id: one for one in application.store.all_controls(TARGET)}
    with closing(sqlite3.connect(folder.mirror)) as connection:
        rows = {id_: (version, _of_values(msgspec.json.decode(text))) for id_, version, text in connection.execute(_ROWS)}
        guards = {id_: (version, hash_) for id_, version, hash_, _ in connection.execute(_GUARD)}
        (letters,) = connection.execute("SELECT count(*) FROM goldwire_dead_letter").fetchone()
        (published,) = connection.execute("SELECT coalesce(sum(sequence + 1), 0) FROM goldwire_checkpoint").fetchone()
    expected = {id_: (controls[id_].version if id_ in controls else 0, record) for id_, record in wanted.items()}
    settled = {id_: (one.version, f"sha256:{one.hash.hex()}") for id_, one in controls.items()}
    return Mirror(
        golden_records=len(expected),
        rows=len(rows),
        rows_equal=sum(rows.get(id_) == row for id_, row in expected.items()),
        unexpected=len(rows.keys() ^ expected.keys()),
        settled=len(settled),
        guards_equal=sum(guards.get(id_) == one for id_, one in settled.items()),
        guards_unexpected=len(guards.keys() ^ settled.keys()),
        published=published,
        applied=applied,
        dead_letters=letters,
    )


_ROWS = "SELECT entity_id, version, record FROM customer"


def mirrored(folder: DemoFolder) -> dict[str, str]:
    """Return by entity what the subscriber holds of it: a row, or the reason why it is gone; and the version."""
    with closing(sqlite3.connect(folder.mirror)) as connection:
        return {id_: f"{gone or 'row'}, v{version}" for id_, version, _, gone in connection.execute(_GUARD)}


def _expected(application: Application) -> dict[str, dict[str, Any]]:
    contract = AppliedContracts(application.loaded, TARGET).compile(application.store.revisions(TARGET)[-1])
    found = {}
    for row in application.store.heads():
        event = seal(contract, row, None, None)
        if isinstance(event, SealedEvent):
            body = msgspec.json.decode(event.body)
            changes = body["changes"]
            found[row.entity_id] = {
                "attributes": {name: entry["value"] for name, entry in changes["attributes"].items()},
                "edges": changes["edges"],
                "external_ids": body["externalIds"],
            }
    return found


def _of_values(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "attributes": {name: entry["value"] for name, entry in record["attributes"].items()}}
