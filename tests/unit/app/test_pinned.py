from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.app.config_load import load
from goldwire.app.ingesting import ingest_files
from goldwire.app.pinned import refuse_moves, shared_places
from goldwire.app.standing import settings_name
from goldwire.app.wiring import House
from goldwire.errors import ConfigError

CONFIGURATION = """
types: {{Customer: {{attributes: {{name: {{}}}}}}, Product: {{attributes: {{name: {{}}}}}}}}
sources: {{crm: {{system: crm, type: Customer, id: id, attributes: {{name: name}}}}}}
contracts: {{customers: {{types: [Customer]}}, products: {{types: [Product]}}, all: {{types: all}}}}
targets:
{targets}
"""
HUB = "  {name}: {{kind: event_hubs, contract: {contract}, settings: {settings}}}"
GOLDEN = {"hub": "golden", "namespace": "mdm"}
OTHER_KEY = {**GOLDEN, "key": ["entityType", "entityId"]}
Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a house whose targets are hubs; those of `live` may have delivered, with the settings given."""
    houses: list[House] = []

    def build(live: dict[str, list[dict[str, Any]]], **targets: tuple[str, dict[str, Any]]) -> House:
        lines = [HUB.format(name=name, contract=one[0], settings=json.dumps(one[1])) for name, one in targets.items()]
        (tmp_path / "goldwire.yaml").write_text(CONFIGURATION.format(targets="\n".join(lines)))
        (tmp_path / "crm.csv").write_text("id,name\n1,Ada\n")
        house = House(load(tmp_path / "goldwire.yaml"))
        houses.append(house)
        ingest_files(house, "crm", [tmp_path / "crm.csv"])
        for name, kept in live.items():
            contract = json.dumps({"types": {"Customer": {}}}).encode()
            house.store.apply_revision(name, contract, 0.0)
            for settings in kept:
                document = json.dumps({"kind": "event_hubs", "settings": settings, "start": "beginning", "delivery": {}})
                house.store.save_document(settings_name(name), document.encode(), 0.0)
            cursor = house.store.claim(name, "beginning")
            house.store.declare(name, cursor.epoch, 1, "every", 1)
        return house

    yield build
    for house in houses:
        house.store.close()


def refused(house: House, *names: str) -> list[str]:
    try:
        refuse_moves(house, names)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_a_place_that_nobody_can_tell_does_not_end_the_look_for_an_older_one(make: Make) -> None:
    unknown = {**OTHER_KEY, "namespace": None, "connection_string": "${env:GONE}"}
    house = make({"hub": [GOLDEN, {**GOLDEN, "hub": "second"}, unknown]}, hub=("customers", OTHER_KEY))
    [line] = refused(house, "hub")
    assert "goldwire.yaml:" in line
    assert "target 'hub': key cannot change once it has delivered" in line


def test_another_name_that_has_delivered_there_pins_what_it_pins_for_itself(make: Make) -> None:
    house = make({"old": [GOLDEN]}, new=("all", OTHER_KEY))
    [line] = refused(house, "new")
    assert "target 'new': key is not that of target 'old', which has the same place" in line
    assert shared_places(house, "new") == []
    [told] = shared_places(house, "new", retired=True)
    assert told.startswith("targets 'new' and 'old' have the same place and both send Customer;")


@pytest.mark.parametrize(
    ("contract", "settings"),
    [
        ("products", OTHER_KEY),  # other entities
        ("customers", {**OTHER_KEY, "hub": "second"}),
        ("customers", {**OTHER_KEY, "namespace": "mdm2"}),
        ("customers", GOLDEN),  # the same key
    ],
)
def test_a_name_that_moves_nothing_is_not_refused(make: Make, contract: str, settings: dict[str, Any]) -> None:
    assert refused(make({"old": [GOLDEN]}, new=(contract, settings)), "new") == []


def test_a_contract_that_selected_an_entity_once_counts(make: Make) -> None:
    house = make({"old": [GOLDEN]}, old=("products", GOLDEN), new=("customers", OTHER_KEY))
    assert len(refused(house, "new", "old")) == 1


def test_two_new_names_are_compared_with_each_other_once(make: Make) -> None:
    house = make({}, one=("customers", GOLDEN), two=("customers", OTHER_KEY))
    [line] = refused(house, "two", "one")
    assert "target 'two': key is not that of target 'one'" in line
    assert refused(house, "one") == []
    assert refused(house, "two") == []  # nothing was sent yet, and the other does not run


def test_the_place_that_a_name_has_left_is_still_the_place_of_what_it_sent(make: Make) -> None:
    elsewhere = {**GOLDEN, "hub": "second"}
    house = make({"old": [GOLDEN, elsewhere]}, old=("customers", elsewhere), new=("customers", OTHER_KEY))
    [line] = refused(house, "old", "new")
    assert "target 'new': key is not that of target 'old'" in line
    assert shared_places(house, "new") == []


def test_a_live_target_of_a_kind_that_is_gone_does_not_become_another_broker(make: Make) -> None:
    house = make({"hub": []}, hub=("customers", GOLDEN))
    for kind, more in (("carrier_pigeon", {"standing": {"roost": "north"}}), ("file", {})):
        document = json.dumps({"kind": kind, "settings": {"roost": "north"}, "start": "beginning", "delivery": {}, **more})
        house.store.save_document(settings_name("hub"), document.encode(), 0.0)
    [line] = refused(house, "hub")
    assert "kind (it was carrier_pigeon) cannot change" in line
