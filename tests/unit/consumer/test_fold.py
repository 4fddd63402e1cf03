"""Folding: what a mirror holds after full events and deltas, edges and external ids included."""

from __future__ import annotations

from typing import Any

import msgspec

from goldwire_consumer import Record, fold
from goldwire_consumer.event import Event

EMPLOYS = {"rel": "employs", "to": {"entityId": "e2"}}
OWES = {"rel": "owes", "to": {"externalId": {"id": "7", "system": "crm"}}}


def event(payload: str, attributes: dict[str, Any], edges: list[dict[str, Any]], external_ids: list[str]) -> Event:
    said = {"confidence": 1.0, "lastSeen": "2026-01-01T00:00:00.000000Z", "provenance": "crm"}
    return msgspec.convert(
        {
            "specVersion": "cluedin-1.0", "eventType": "EntityChanged", "entityType": "Customer", "entityId": "e1",
            "version": 2, "timestamp": "2026-01-01T00:00:00.000000Z", "payload": payload,
            "hash": f"sha256:{'0' * 64}", "previousHash": None,
            "externalIds": [{"system": "crm", "id": id_} for id_ in external_ids],
            "changes": {"attributes": {name: {**said, "value": value} for name, value in attributes.items()}, "edges": edges},
        },
        Event,
    )  # fmt: skip


def held() -> Record:
    found = fold(None, event("full", {"name": "Ada", "city": "Bern"}, [EMPLOYS, OWES], ["1"]))
    assert found is not None
    return found


def test_a_delta_changes_what_it_names_and_keeps_the_rest() -> None:
    record = fold(held(), event("delta", {"city": "Basel"}, [], ["1"]))
    assert record is not None
    assert (record.value("name"), record.value("city"), record.edges) == ("Ada", "Basel", held().edges)


def test_a_delta_takes_away_what_it_says_is_gone() -> None:
    record = fold(held(), event("delta", {"city": None}, [{"op": "removed", **OWES}], ["1"]))
    assert record is not None
    assert (sorted(record.attributes), record.edges) == (["name"], [EMPLOYS])


def test_a_delta_adds_an_edge_once() -> None:
    other = {"rel": "employs", "to": {"entityId": "e3"}}
    record = fold(held(), event("delta", {}, [other, EMPLOYS], ["1"]))
    assert record is not None
    assert record.edges == [EMPLOYS, other, OWES]


def test_a_full_event_is_all_there_is() -> None:
    record = fold(held(), event("full", {"name": "Ada"}, [OWES], ["1"]))
    assert record is not None
    assert (sorted(record.attributes), record.edges) == (["name"], [OWES])


def test_the_external_ids_are_those_of_the_newest_event() -> None:
    record = fold(held(), event("delta", {}, [], ["1", "2"]))
    assert record is not None
    assert record.external_ids == [{"system": "crm", "id": "1"}, {"system": "crm", "id": "2"}]
