from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.app.config_load import load
from goldwire.app.standing import keep_settings, kept_standings, settings_name, standing
from goldwire.app.wiring import House

CONFIGURATION = """
types: {Customer: {attributes: {name: {}}}}
contracts: {all: {types: all}}
targets:
  hub: {kind: event_hubs, contract: all, settings: {hub: "${env:HUB}", connection_string: "${env:KEY}", key: [entityId]}}
  lines: {kind: file, contract: all, settings: {path: out.jsonl}}
"""
KEY = "Endpoint=sb://mdm.example.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    with House(load(tmp_path / "goldwire.yaml", {"HUB": "golden", "KEY": KEY})) as house:
        yield house


def remember(house: House, target: str, kind: str, settings: dict[str, Any]) -> None:
    """Keep a document as it was written before standings were."""
    document = json.dumps({"kind": kind, "settings": settings, "start": "beginning", "delivery": {}})
    house.store.save_document(settings_name(target), document.encode(), 0.0)


def test_what_is_kept_knows_the_place_and_no_secret(house: House) -> None:
    keep_settings(house, "hub")
    keep_settings(house, "hub")
    [kept] = kept_standings(house, "hub")
    assert kept == standing(house, "hub")
    assert kept.values == {"namespace": "mdm.example.net", "hub": "golden", "endpoint": "amqp", "key": ["entityId"]}
    [(_, _, document)] = house.store.documents(settings_name("hub"))
    assert b"c2VjcmV0" not in document
    assert b"${env:KEY}" in document


def test_a_kind_without_a_place_has_no_standing(house: House) -> None:
    keep_settings(house, "lines")
    assert standing(house, "lines") is None
    assert b"standing" not in house.store.documents(settings_name("lines"))[0][2]


def test_settings_that_cannot_be_resolved_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    with House(load(tmp_path / "goldwire.yaml", {"HUB": "golden"})) as house:
        keep_settings(house, "hub")
        assert kept_standings(house, "hub") == []
        assert standing(house, "hub") is None


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"hub": "golden", "connection_string": "${env:KEY}"}, None),
        ({"hub": "${env:HUB}", "namespace": "mdm.example.net"}, None),
        ({"hub": "golden", "namespace": "mdm.example.net"}, True),
        ({"hub": "golden", "namespace": "mdm2"}, False),
    ],
)
def test_settings_kept_before_places_were_tell_what_they_can(house: House, settings: dict[str, Any], same: bool | None) -> None:
    remember(house, "hub", "event_hubs", settings)
    [kept] = kept_standings(house, "hub")
    now = standing(house, "hub")
    assert now is not None
    assert now.shares_place(kept) is same


def test_what_was_kept_of_a_kind_that_is_gone_is_another_place(house: House) -> None:
    remember(house, "hub", "carrier_pigeon", {"roost": "north"})
    [kept] = kept_standings(house, "hub")
    now = standing(house, "hub")
    assert now is not None
    assert now.shares_place(kept) is False
