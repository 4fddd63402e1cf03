"""The benchmark's sample is what its figures say it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from goldwire.event.chain import read
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.services.contract_documents import preview
from goldwire_lab.bench import floor, sample

ENTITIES = 40


def test_events_have_ten_attributes_of_which_three_are_masked_and_1600_bytes(tmp_path: Path) -> None:
    with sample.application(tmp_path, tmp_path / "store.db", {"memory": {"kind": "memory"}}) as application:
        assert sum(sample.fill(application.store, range(2 * ENTITIES), ENTITIES)) == 2 * ENTITIES
        rows = application.store.read(0, 2 * ENTITIES, 1_000)
        contract = preview(application.loaded, "memory")
    for row in rows:
        event = seal(contract, row, None, None)
        assert isinstance(event, SealedEvent)
        assert 1_600 <= len(event.body) < 1_700
        assert read(event.body)[1], "its hash holds"
        shown = msgspec.json.decode(event.body)["changes"]["attributes"]
        stored = msgspec.json.decode(row.state)["attributes"]
        assert len(shown) == 10
        assert {name for name in shown if shown[name] != stored[name]} == {"birthDate", "email", "phone"}
    assert {(row.entity_id, row.version) for row in rows} == sample.versions(range(2 * ENTITIES), ENTITIES)


def test_both_floors_make_the_same_event_of_every_row_of_the_log(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with sample.application(tmp_path, store, {}) as application:
        for _ in sample.fill(application.store, range(ENTITIES), ENTITIES):
            pass
        encoded = [body for bodies in floor.relayed(store, tmp_path / "one.db", floor.encoded) for body in bodies]
        plain = [body for bodies in floor.relayed(store, tmp_path / "two.db", floor.plain) for body in bodies]
    assert len(encoded) == ENTITIES
    decode = msgspec.json.decode
    assert [decode(body) for body in encoded] == [decode(body) for body in plain]
