from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from goldwire.config.reader import load
from goldwire.services.application import Application
from goldwire.services.placement_record import Places, keep_claim, keep_settings, settings_name, standing
from goldwire.services.placement_rule import claim_place

CONFIGURATION = """
types: {Customer: {attributes: {name: {}}}}
contracts: {all: {types: all}}
targets:
  hub: {kind: event_hubs, contract: all, settings: {hub: "${env:HUB}", connection_string: "${env:KEY}", key: [entityId]}}
  lines: {kind: file, contract: all, settings: {path: out.jsonl}}
"""
KEY = "Endpoint=sb://mdm.example.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    with Application(load(tmp_path / "goldwire.yaml", {"HUB": "golden", "KEY": KEY})) as application:
        yield application


def remember(application: Application, target: str, kind: str, settings: dict[str, Any]) -> None:
    """Keep a document as it was written before claims were, of a target that has delivered since."""
    document = json.dumps({"kind": kind, "settings": settings, "start": "beginning", "delivery": {}})
    application.store.save_document(settings_name(target), document.encode(), 0.0)
    cursor = application.store.claim(target, "beginning")
    application.store.declare(target, cursor.epoch, 1, "every", 1)


def test_what_is_kept_knows_the_place_and_no_secret(application: Application) -> None:
    mine = standing(application, "hub")
    assert mine is not None
    keep_claim(application, "hub", mine, ["Customer"])
    keep_claim(application, "hub", mine, ["Customer"])
    [(_, types, kept)] = Places(application).claims("hub")
    assert kept == mine
    assert types == {"Customer"}
    assert kept.pinned == {"endpoint": "amqp", "key": ["entityId"]}
    [(_, _, document)] = application.store.documents("place hub")
    assert b"c2VjcmV0" not in document
    assert b"golden" not in document


def test_a_kind_without_a_place_has_no_standing(application: Application) -> None:
    assert standing(application, "lines") is None


def test_settings_that_cannot_be_resolved_have_no_standing(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    with Application(load(tmp_path / "goldwire.yaml", {"HUB": "golden"})) as application:
        assert standing(application, "hub") is None


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"hub": "golden", "connection_string": "${env:KEY}"}, None),
        ({"hub": "${env:HUB}", "namespace": "mdm.example.net"}, None),
        ({"hub": "golden", "namespace": "mdm.example.net"}, True),
        ({"hub": "golden", "namespace": 5}, None),  # kept, though it never fitted
        ({"hub": "golden", "namespace": "mdm2"}, False),
    ],
)
def test_settings_kept_before_claims_were_tell_what_they_can(
    application: Application, settings: dict[str, Any], same: bool | None
) -> None:
    remember(application, "hub", "event_hubs", settings)
    [(_, _, kept)] = Places(application).claims("hub")
    now = standing(application, "hub")
    assert now is not None
    assert now.shares_place(kept) is same


def test_settings_that_were_never_delivered_with_are_no_claim(application: Application) -> None:
    keep_settings(application, "hub")
    application.store.claim("hub", "beginning")
    assert Places(application).claims("hub") == []


def test_settings_that_are_still_those_of_the_configuration_are_known_whole(application: Application) -> None:
    keep_settings(application, "hub")
    cursor = application.store.claim("hub", "beginning")
    application.store.declare("hub", cursor.epoch, 1, "every", 1)
    assert [claim.standing for claim in Places(application).claims("hub")] == [standing(application, "hub")]


def test_the_first_claim_does_not_end_what_a_store_from_before_claims_knew(application: Application) -> None:
    for hub in ("golden", "second"):
        remember(application, "hub", "event_hubs", {"hub": hub, "namespace": "mdm.example.net"})
    before = [claim.standing for claim in Places(application).claims("hub")]
    mine = standing(application, "hub")
    assert mine is not None
    claim_place(application, "hub", mine)
    claim_place(application, "hub", mine)
    assert [claim.standing for claim in Places(application).claims("hub")] == [mine, *before]


def test_what_was_kept_of_a_kind_that_is_gone_tells_nothing(application: Application) -> None:
    remember(application, "hub", "carrier_pigeon", {"roost": "north"})
    assert Places(application).claims("hub") == []


def test_the_first_to_claim_a_place_with_the_settings_and_types_that_count_comes_first(application: Application) -> None:
    mine = standing(application, "hub")
    assert mine is not None
    assert Places(application).rank("hub", mine, ["Customer"]) == (True, "", "hub")
    keep_claim(application, "hub", replace(mine, pinned={}), ["Customer"])
    keep_claim(application, "hub", mine, ["Customer"])
    keep_claim(application, "hub", replace(mine, place={"hub": "another"}), ["Customer", "Product"])
    first = application.store.documents("place hub")[1][1]
    assert Places(application).rank("hub", mine, ["Customer"]) == (False, first, "hub")
    assert Places(application).rank("hub", mine, ["Product"]) == (True, "", "hub")
