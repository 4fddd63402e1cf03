from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from goldwire.config.reader import load
from goldwire.errors import ConfigError, StoreBusyError
from goldwire.relay.placement.check import check_placement, shared_destinations
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import save_reservation
from goldwire.relay.placement.reservation import PlacementGuard
from goldwire.services.application import Application
from goldwire.services.placement import ConfiguredPlacements
from goldwire.targets import registry
from goldwire.targets.base import Placement
from goldwire.targets.placement import placement_of

CONFIGURATION = """
types: {{Customer: {{attributes: {{name: {{}}}}}}, Product: {{attributes: {{name: {{}}}}}}}}
sources: {{crm: {{system: crm, type: Customer, id: id, attributes: {{name: name}}}}}}
contracts: {{customers: {{types: [Customer]}}, products: {{types: [Product]}}, all: {{types: all}}}}
targets:
{targets}
"""
TARGET = "  {name}: {{kind: {kind}, contract: {contract}, settings: {settings}}}"
BUS = {"queue": "golden", "namespace": "mdm"}
GOLDEN = {"hub": "golden", "namespace": "mdm"}
OTHER_KEY = {**GOLDEN, "key": ["entityType", "entityId"]}
Make = Callable[..., Application]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return an application whose targets have this kind; those of `live` have reserved with the settings given, in turns."""
    applications: list[Application] = []

    def build(
        live: dict[str, list[dict[str, Any]]], kind: str = "event_hubs", **targets: tuple[str, dict[str, Any]]
    ) -> Application:
        lines = [
            TARGET.format(name=name, kind=kind, contract=one[0], settings=json.dumps(one[1])) for name, one in targets.items()
        ]
        (tmp_path / "goldwire.yaml").write_text(CONFIGURATION.format(targets="\n".join(lines)))
        (tmp_path / "crm.csv").write_text("id,name\n1,Ada\n")
        application = Application(load(tmp_path / "goldwire.yaml"))
        applications.append(application)
        application.ingest_service().files("crm", [tmp_path / "crm.csv"])
        settings_type = registry.settings_type(kind)
        for name, reserved in live.items():
            application.store.apply_revision(name, json.dumps({"types": {"Customer": {}}}).encode(), 0.0)
            application.store.acquire(name, "beginning")
            for settings in reserved:
                reserve(application, name, placement_of(kind, settings_type, settings), ["Customer"])
        return application

    yield build
    for application in applications:
        application.store.close()


def placements_of(application: Application, *, applying: bool = False) -> Placements:
    return ConfiguredPlacements(application.loaded, application.targets).read(application.store, applying=applying)


def placement_guard(application: Application, name: str) -> PlacementGuard:
    return ConfiguredPlacements(application.loaded, application.targets).guard(name, application.store, application.clock)


def reserve(application: Application, name: str, mine: Placement, types: list[str]) -> None:
    save_reservation(application.store, name, mine, types, application.clock.now())


def refused(application: Application, *names: str, applying: bool = False) -> list[str]:
    return [str(conflict) for conflict in check_placement(placements_of(application, applying=applying), names)]


def test_a_destination_that_is_not_known_does_not_end_the_look_for_an_older_one(make: Make) -> None:
    unknown = {**OTHER_KEY, "namespace": ""}
    application = make({"hub": [GOLDEN, {**GOLDEN, "hub": "second"}, unknown]}, hub=("customers", OTHER_KEY))
    [line] = refused(application, "hub")
    assert "goldwire.yaml:" in line
    assert "target 'hub': key cannot change once it has delivered" in line


def test_another_name_that_has_delivered_there_fixes_what_it_fixes_for_itself(make: Make) -> None:
    application = make({"old": [GOLDEN]}, new=("all", OTHER_KEY))
    [line] = refused(application, "new")
    assert "target 'new': key is not that of target 'old', which came to this destination first and sends Customer, too" in line
    [warning] = shared_destinations(placements_of(application), ["new"], "new")
    assert warning.startswith("targets 'new' and 'old' have the same destination and both send Customer;")


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
    application = make({"old": [GOLDEN]}, old=("products", GOLDEN), new=("customers", OTHER_KEY))
    [line] = refused(application, "new", "old")
    assert "target 'new': key is not that of target 'old'" in line


def test_a_contract_that_is_not_applied_holds_up_nobody_else(make: Make) -> None:
    application = make({"first": [GOLDEN]}, first=("customers", GOLDEN), second=("all", OTHER_KEY))
    application.store.apply_revision("second", json.dumps({"types": {"Product": {}}}).encode(), 0.0)
    assert refused(application, "first") == refused(application, "second") == []
    assert refused(application, "first", applying=True) == []
    [line] = refused(application, "first", "second", applying=True)
    assert "target 'second': key is not that of target 'first'" in line


def test_two_new_names_are_compared_with_each_other_once(make: Make) -> None:
    application = make({}, one=("customers", GOLDEN), two=("customers", OTHER_KEY))
    [line] = refused(application, "two", "one")
    assert "target 'two': key is not that of target 'one'" in line
    assert refused(application, "one") == []
    assert refused(application, "two") == []  # nothing was sent yet, and the other does not run


def test_the_destination_that_a_name_has_left_is_still_the_destination_of_what_it_sent(make: Make) -> None:
    elsewhere = {**GOLDEN, "hub": "second"}
    application = make({"old": [GOLDEN, elsewhere]}, old=("customers", elsewhere), new=("customers", OTHER_KEY))
    [line] = refused(application, "old", "new")
    assert "target 'new': key is not that of target 'old'" in line
    assert shared_destinations(placements_of(application), ["old", "new"], "old") == []


def test_a_live_target_of_a_kind_that_is_gone_does_not_become_another_broker(make: Make) -> None:
    application = make({"hub": []}, hub=("customers", GOLDEN))
    reserve(application, "hub", Placement("carrier_pigeon", {"roost": "north"}, {}, {}), ["Customer"])
    [line] = refused(application, "hub")
    assert "kind (it was carrier_pigeon) cannot change" in line


def test_a_target_that_may_have_delivered_is_fixed_whatever_its_cursor_says(make: Make) -> None:
    application = make({"hub": [GOLDEN]}, hub=("customers", OTHER_KEY))
    application.store.release(
        "hub", application.store.acquire("hub", "beginning").epoch
    )  # a run that ends before its first work
    assert len(refused(application, "hub")) == 1


def test_one_suffix_is_enough_for_two_names_that_have_met_before(make: Make) -> None:
    suffixed = {**BUS, "message_id_suffix": "two"}
    application = make({"one": [BUS], "two": [BUS]}, "service_bus", one=("customers", BUS), two=("customers", suffixed))
    assert refused(application, "one", "two") == []


def test_who_reserves_a_destination_second_is_refused_and_the_first_goes_on(make: Make) -> None:
    application = make({}, "service_bus", one=("customers", BUS), two=("customers", BUS))
    application.store.acquire("one", "beginning")
    application.store.acquire("two", "beginning")
    placement_guard(application, "two").reserve()
    with pytest.raises(ConfigError, match="target 'one': it needs another message_id_suffix than target 'two'"):
        placement_guard(application, "one").reserve()
    placement_guard(application, "two").reserve()
    assert application.store.placements("one") == [], "a target that was refused holds up no other"


def test_of_many_that_reserve_one_destination_at_one_moment_one_gets_it(make: Make) -> None:
    names = [f"bus{number}" for number in range(6)]
    application = make({}, "service_bus", **dict.fromkeys(names, ("customers", BUS)))
    for name in names:
        application.store.acquire(name, "beginning")
    ready = threading.Barrier(len(names))

    def claim(name: str) -> bool:
        with Application(application.loaded) as own:
            assert own.store.position() > 0
            ready.wait(60)
            while True:
                try:
                    placement_guard(own, name).reserve()
                except StoreBusyError:
                    time.sleep(0.001)
                except ConfigError:
                    return False
                else:
                    return True

    with ThreadPoolExecutor(len(names)) as threads:
        assert sorted(threads.map(claim, names)) == [False] * 5 + [True]
    assert sum(bool(application.store.placements(name)) for name in names) == 1


def test_a_wider_contract_comes_later_than_who_sent_those_types_before(make: Make) -> None:
    application = make({"kept": [], "retired": [GOLDEN]}, kept=("all", OTHER_KEY))
    reserve(application, "kept", placement_of("event_hubs", registry.settings_type("event_hubs"), OTHER_KEY), ["Product"])
    [line] = refused(application, "kept")
    assert "target 'kept': key is not that of target 'retired'" in line
