from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from goldwire.config.reader import load
from goldwire.relay.placement.comparison import share_destination
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import save_reservation, save_settings
from goldwire.relay.placement.reservation import AnyPlacement, PlacementGuard
from goldwire.services.application import Application
from goldwire.services.placement import ConfiguredPlacements, keep_settings
from goldwire.targets.base import Placement

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


def placements_of(application: Application, *, applying: bool = False) -> Placements:
    return ConfiguredPlacements(application.loaded, application.targets).read(application.store, applying=applying)


def placement_guard(application: Application, name: str) -> PlacementGuard:
    return ConfiguredPlacements(application.loaded, application.targets).guard(name, application.store, application.clock)


def placement(application: Application, name: str) -> Placement | None:
    return ConfiguredPlacements(application.loaded, application.targets).placement(name)


def reserve(application: Application, target: str, mine: Placement, types: list[str]) -> None:
    save_reservation(application.store, target, mine, types, application.clock.now())


def remember(application: Application, target: str, kind: str, settings: dict[str, Any]) -> None:
    """Keep a document as it was written before reservations were, of a target that has delivered since."""
    document = json.dumps({"kind": kind, "settings": settings, "start": "beginning", "delivery": {}})
    save_settings(application.store, target, document.encode(), 0.0)
    cursor = application.store.acquire(target, "beginning")
    application.store.declare(target, cursor.epoch, 1, "every", 1)


def test_what_is_kept_knows_the_destination_and_no_secret(application: Application) -> None:
    mine = placement(application, "hub")
    assert mine is not None
    reserve(application, "hub", mine, ["Customer"])
    reserve(application, "hub", mine, ["Customer"])
    [(_, types, kept)] = placements_of(application).reserved("hub")
    assert kept == mine
    assert types == {"Customer"}
    assert kept.fixed == {"endpoint": "amqp", "key": ["entityId"]}
    [(_, _, document)] = application.store.placements("hub")
    assert b"c2VjcmV0" not in document
    assert b"golden" not in document


def test_a_kind_without_a_destination_has_no_placement_and_may_deliver_anywhere(application: Application) -> None:
    assert placement(application, "lines") is None
    assert isinstance(placement_guard(application, "lines"), AnyPlacement)


def test_settings_that_cannot_be_resolved_have_no_placement(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(CONFIGURATION)
    with Application(load(tmp_path / "goldwire.yaml", {"HUB": "golden"})) as application:
        assert placement(application, "hub") is None


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
def test_settings_kept_before_reservations_were_tell_what_they_can(
    application: Application, settings: dict[str, Any], same: bool | None
) -> None:
    remember(application, "hub", "event_hubs", settings)
    [(_, _, kept)] = placements_of(application).reserved("hub")
    now = placement(application, "hub")
    assert now is not None
    assert share_destination(now, kept) is same


def test_settings_that_were_never_delivered_with_are_no_reservation(application: Application) -> None:
    keep_settings(application.store, "hub", application.targets.config("hub"), application.clock.now())
    application.store.acquire("hub", "beginning")
    assert placements_of(application).reserved("hub") == []


def test_settings_that_are_still_those_of_the_configuration_are_known_whole(application: Application) -> None:
    keep_settings(application.store, "hub", application.targets.config("hub"), application.clock.now())
    cursor = application.store.acquire("hub", "beginning")
    application.store.declare("hub", cursor.epoch, 1, "every", 1)
    assert [one.placement for one in placements_of(application).reserved("hub")] == [placement(application, "hub")]


def test_the_first_reservation_does_not_end_what_a_store_from_before_reservations_knew(application: Application) -> None:
    for hub in ("golden", "second"):
        remember(application, "hub", "event_hubs", {"hub": hub, "namespace": "mdm.example.net"})
    before = [one.placement for one in placements_of(application).reserved("hub")]
    mine = placement(application, "hub")
    assert mine is not None
    placement_guard(application, "hub").reserve()
    placement_guard(application, "hub").reserve()
    assert [one.placement for one in placements_of(application).reserved("hub")] == [mine, *before]


def test_what_was_kept_of_a_kind_that_is_gone_tells_nothing(application: Application) -> None:
    remember(application, "hub", "carrier_pigeon", {"roost": "north"})
    assert placements_of(application).reserved("hub") == []


def test_the_first_to_reserve_a_destination_with_the_settings_and_types_that_count_comes_first(
    application: Application,
) -> None:
    mine = placement(application, "hub")
    assert mine is not None
    assert placements_of(application).rank("hub", mine, ["Customer"]) == (True, "", "hub")
    reserve(application, "hub", replace(mine, fixed={}), ["Customer"])
    reserve(application, "hub", mine, ["Customer"])
    reserve(application, "hub", replace(mine, destination={"hub": "another"}), ["Customer", "Product"])
    first = application.store.placements("hub")[1][1]
    assert placements_of(application).rank("hub", mine, ["Customer"]) == (False, first, "hub")
    assert placements_of(application).rank("hub", mine, ["Product"]) == (True, "", "hub")


def test_a_reservation_of_a_store_from_before_these_names_is_read_and_not_written_again(application: Application) -> None:
    mine = placement(application, "hub")
    assert mine is not None
    standing = {"kind": mine.kind, "place": mine.destination, "pinned": mine.fixed, "apart": mine.distinct}
    document = json.dumps({"standing": standing, "types": ["Customer"]})
    application.store.reserve_placement("hub", document.encode(), 0.0)
    [kept] = placements_of(application).reserved("hub")
    assert kept.placement == mine
    assert kept.types == {"Customer"}
    placement_guard(application, "hub").reserve()
    assert len(application.store.placements("hub")) == 1
