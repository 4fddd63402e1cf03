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
from goldwire.services.application import Application
from goldwire.services.ingest import ingest_files
from goldwire.services.placement_record import Places, keep_claim, standing
from goldwire.services.placement_rule import claim_place, refuse_moves, shared_places
from goldwire.targets import registry
from goldwire.targets.placement import Standing, standing_of

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
    """Return an application whose targets have this kind; those of `live` have claimed places with these settings, in turns."""
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
        ingest_files(application, "crm", [tmp_path / "crm.csv"])
        settings_type = registry.settings_type(kind)
        for name, claimed in live.items():
            application.store.apply_revision(name, json.dumps({"types": {"Customer": {}}}).encode(), 0.0)
            application.store.claim(name, "beginning")
            for settings in claimed:
                keep_claim(application, name, standing_of(kind, settings_type, settings), ["Customer"])
        return application

    yield build
    for application in applications:
        application.store.close()


def refused(application: Application, *names: str) -> list[str]:
    try:
        refuse_moves(application, names)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_a_place_that_nobody_can_tell_does_not_end_the_look_for_an_older_one(make: Make) -> None:
    unknown = {**OTHER_KEY, "namespace": ""}
    application = make({"hub": [GOLDEN, {**GOLDEN, "hub": "second"}, unknown]}, hub=("customers", OTHER_KEY))
    [line] = refused(application, "hub")
    assert "goldwire.yaml:" in line
    assert "target 'hub': key cannot change once it has delivered" in line


def test_another_name_that_has_delivered_there_pins_what_it_pins_for_itself(make: Make) -> None:
    application = make({"old": [GOLDEN]}, new=("all", OTHER_KEY))
    [line] = refused(application, "new")
    assert "target 'new': key is not that of target 'old', which came to this place first and sends Customer, too" in line
    [told] = shared_places(Places(application), ["new"], "new")
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
    application = make({"old": [GOLDEN]}, old=("products", GOLDEN), new=("customers", OTHER_KEY))
    [line] = refused(application, "new", "old")
    assert "target 'new': key is not that of target 'old'" in line


def test_a_contract_that_is_not_applied_holds_up_nobody_else(make: Make) -> None:
    application = make({"first": [GOLDEN]}, first=("customers", GOLDEN), second=("all", OTHER_KEY))
    application.store.apply_revision("second", json.dumps({"types": {"Product": {}}}).encode(), 0.0)
    assert refused(application, "first") == refused(application, "second") == []
    refuse_moves(application, ["first"], applying=True)
    with pytest.raises(ConfigError, match="target 'second': key is not that of target 'first'"):
        refuse_moves(application, ["first", "second"], applying=True)


def test_two_new_names_are_compared_with_each_other_once(make: Make) -> None:
    application = make({}, one=("customers", GOLDEN), two=("customers", OTHER_KEY))
    [line] = refused(application, "two", "one")
    assert "target 'two': key is not that of target 'one'" in line
    assert refused(application, "one") == []
    assert refused(application, "two") == []  # nothing was sent yet, and the other does not run


def test_the_place_that_a_name_has_left_is_still_the_place_of_what_it_sent(make: Make) -> None:
    elsewhere = {**GOLDEN, "hub": "second"}
    application = make({"old": [GOLDEN, elsewhere]}, old=("customers", elsewhere), new=("customers", OTHER_KEY))
    [line] = refused(application, "old", "new")
    assert "target 'new': key is not that of target 'old'" in line
    assert shared_places(Places(application), ["old", "new"], "old") == []


def test_a_live_target_of_a_kind_that_is_gone_does_not_become_another_broker(make: Make) -> None:
    application = make({"hub": []}, hub=("customers", GOLDEN))
    keep_claim(application, "hub", Standing("carrier_pigeon", {"roost": "north"}, {}, {}), ["Customer"])
    [line] = refused(application, "hub")
    assert "kind (it was carrier_pigeon) cannot change" in line


def test_a_target_that_may_have_delivered_is_pinned_whatever_its_cursor_says(make: Make) -> None:
    application = make({"hub": [GOLDEN]}, hub=("customers", OTHER_KEY))
    application.store.release("hub", application.store.claim("hub", "beginning").epoch)  # a run that ends before its first work
    assert len(refused(application, "hub")) == 1


def test_one_suffix_is_enough_for_two_names_that_have_met_before(make: Make) -> None:
    suffixed = {**BUS, "message_id_suffix": "two"}
    application = make({"one": [BUS], "two": [BUS]}, "service_bus", one=("customers", BUS), two=("customers", suffixed))
    assert refused(application, "one", "two") == []


def test_whoever_claims_a_place_second_is_refused_and_the_first_goes_on(make: Make) -> None:
    application = make({}, "service_bus", one=("customers", BUS), two=("customers", BUS))
    mine = standing(application, "one")
    assert mine is not None
    application.store.claim("one", "beginning")
    application.store.claim("two", "beginning")
    claim_place(application, "two", mine)
    with pytest.raises(ConfigError, match="target 'one': it needs another message_id_suffix than target 'two'"):
        claim_place(application, "one", mine)
    claim_place(application, "two", mine)
    assert application.store.documents("place one") == [], "who was refused stands in nobody's way"


def test_of_many_that_claim_one_place_at_one_moment_one_gets_it(make: Make) -> None:
    names = [f"bus{number}" for number in range(6)]
    application = make({}, "service_bus", **dict.fromkeys(names, ("customers", BUS)))
    mine = standing(application, "bus0")
    assert mine is not None
    for name in names:
        application.store.claim(name, "beginning")
    ready = threading.Barrier(len(names))

    def claim(name: str) -> bool:
        with Application(application.loaded) as own:
            assert own.store.position() > 0
            ready.wait(60)
            while True:
                try:
                    claim_place(own, name, mine)
                except StoreBusyError:  # as a relay does
                    time.sleep(0.01)
                except ConfigError:
                    return False
                else:
                    return True

    with ThreadPoolExecutor(len(names)) as threads:
        assert sorted(threads.map(claim, names)) == [False] * 5 + [True]
    assert sum(bool(application.store.documents(f"place {name}")) for name in names) == 1


def test_a_wider_contract_comes_later_than_who_sent_those_types_before(make: Make) -> None:
    application = make({"kept": [], "retired": [GOLDEN]}, kept=("all", OTHER_KEY))
    keep_claim(application, "kept", standing_of("event_hubs", registry.settings_type("event_hubs"), OTHER_KEY), ["Product"])
    [line] = refused(application, "kept")
    assert "target 'kept': key is not that of target 'retired'" in line
