"""The example `azure-function` as the host calls it: events decoded by azure-functions, a real PostgreSQL behind."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from azure.functions import eventhub, servicebus
from azure.functions.meta import Datum

from goldwire.event.headers import headers
from goldwire.event.sealed import SealedEvent
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import AlteredError, TryAgainError
from goldwire_consumer.adapter.azure_functions import event_hub_messages
from goldwire_consumer.message import read
from support.histories import customers

FOLDER = Path(__file__).parents[3] / "examples" / "azure-function"


@pytest.fixture
def application(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as the worker loads it."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    specification = importlib.util.spec_from_file_location("function_app", FOLDER / "function_app.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    for stream in ("event-hubs", "service-bus"):
        module.store(stream).close()


@pytest.fixture
def functions(application: ModuleType) -> dict[str, Any]:
    """The functions by name, as the worker finds them."""
    return {one.get_function_name(): one for one in application.app.get_functions()}


class Bodies:
    """A collection of bytes as the host sends it."""

    def __init__(self, bodies: list[bytes]) -> None:
        self.bytes = bodies


def hub_events(events: list[SealedEvent | bytes]) -> list[Any]:
    """A batch as the host hands it over, decoded by the library that the worker uses."""
    bodies = [one if isinstance(one, bytes) else one.body for one in events]
    beside = [{} if isinstance(one, bytes) else headers(one) for one in events]
    system = [
        {
            "SequenceNumber": number, "Offset": number * 100, "PartitionKey": one.get("partitionKey"),
            "EnqueuedTimeUtc": "2026-11-23T10:00:00Z", "message-id": one.get("messageId"), "subject": one.get("subject"),
            "content-type": one.get("contentType"),
        }
        for number, one in enumerate(beside)
    ]  # fmt: skip
    metadata = {"SystemPropertiesArray": Datum(json.dumps(system), "json"), "PropertiesArray": Datum("[]", "json")}
    return eventhub.EventHubTriggerConverter.decode(Datum(Bodies(bodies), "collection_bytes"), trigger_metadata=metadata)


def bus_message(event: SealedEvent) -> Any:
    """A message as the host hands it over."""
    beside = headers(event)
    metadata = {
        "MessageId": Datum(beside["messageId"], "string"),
        "CorrelationId": Datum(beside["correlationId"], "string"),
        "ContentType": Datum(beside["contentType"], "string"),
        "Subject": Datum(beside["subject"], "string"),
        "SessionId": Datum(beside["partitionKey"], "string"),
        "UserProperties": Datum("{}", "json"),
        "ApplicationProperties": Datum("{}", "json"),
    }
    return servicebus.ServiceBusMessageInConverter.decode(Datum(event.body, "bytes"), trigger_metadata=metadata)


def records(database: Any) -> dict[str, Any]:
    rows = database.query("SELECT entity_id, record::text FROM customer_record")
    return {id_: {name: one["value"] for name, one in json.loads(text)["attributes"].items()} for id_, text in rows}


def test_each_function_has_the_trigger_that_its_settings_describe(functions: dict[str, Any]) -> None:
    hub, bus = (
        json.loads(functions[name].get_function_json())["bindings"][0] for name in ("from_event_hubs", "from_service_bus")
    )
    assert (hub["type"], hub["cardinality"], hub["dataType"]) == ("eventHubTrigger", "MANY", "BINARY")
    assert (bus["type"], bus["isSessionsEnabled"]) == ("serviceBusTrigger", True)
    local = json.loads((FOLDER / "local.settings.json.example").read_text("utf-8"))["Values"]
    bicep = (FOLDER / "infra" / "main.bicep").read_text("utf-8")
    for name in (hub["connection"], bus["connection"]):
        assert name in local
        assert f"{name}__fullyQualifiedNamespace" in bicep
    for name in re.findall(r"%(\w+)%", json.dumps([hub, bus])):
        assert name in local
        assert f"'{name}'" in bicep
    retry = functions["from_event_hubs"].get_settings_dict("retry_policy")
    assert (retry["strategy"], retry["max_retry_count"]) == ("exponential_backoff", "-1")


def test_the_host_file_asks_for_what_the_functions_need() -> None:
    host = json.loads((FOLDER / "host.json").read_text("utf-8"))
    assert host["version"] == "2.0"
    assert host["extensions"]["eventHubs"]["batchCheckpointFrequency"] == 1
    assert host["extensions"]["serviceBus"]["autoCompleteMessages"] is True


def test_batches_of_event_hubs_are_transformed_and_written(functions: dict[str, Any], database: Any) -> None:
    run = functions["from_event_hubs"].get_user_function()
    history = customers(81, 5, 80)
    for number in range(0, len(history.events), 15):
        run(hub_events(history.events[max(0, number - 5) : number + 15]))
    assert records(database) == history.table
    rows = dict(database.query("SELECT entity_id, class FROM credit_report"))
    assert rows == {
        id_: "A" if row.get("credit", 0) >= 100_000 else "B" if row.get("credit", 0) >= 1_000 else "C"
        for id_, row in history.table.items()
    }
    assert database.query("SELECT DISTINCT stream FROM goldwire_guard") == [("event-hubs",)]


def test_messages_of_a_session_are_transformed_and_written(functions: dict[str, Any], database: Any) -> None:
    run = functions["from_service_bus"].get_user_function()
    one = sealed("e1", 1, {"name": "Ada", "city": "Ulm", "credit": 5_000})
    two = sealed("e1", 2, {"credit": 250_000}, previous_hash=one.hash, base_version=1)
    for event in (one, one, two, one):
        run(bus_message(event))
    assert database.query("SELECT customer, class FROM credit_report") == [("Ada, Ulm", "A")]
    run(bus_message(deleted("e1", 3, reason="erased", previous_hash=two.hash)))
    run(bus_message(two))
    assert database.query("SELECT count(*) FROM credit_report") == [(0,)]
    assert database.query("SELECT count(*) FROM customer_record") == [(0,)]


def test_poison_is_set_aside_and_the_function_succeeds(functions: dict[str, Any], database: Any) -> None:
    [one] = customers(82, 1, 1).events
    functions["from_event_hubs"].get_user_function()(hub_events([b"{", one, one.body.replace(b"crm", b"erp")]))
    assert sorted(database.query("SELECT kind FROM goldwire_dead_letter")) == [("altered",), ("unreadable",)]
    assert set(records(database)) == {one.entity_id}


def test_a_database_that_is_away_makes_the_function_fail_so_that_the_host_brings_the_events_again(
    application: ModuleType, functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch, database: Any
) -> None:
    run = functions["from_event_hubs"].get_user_function()
    [one] = customers(83, 1, 1).events
    monkeypatch.setenv("DATABASE_URL", re.sub("dbname=[^ ]+", "dbname=nowhere", psycopg.conninfo.make_conninfo(database.url)))
    with pytest.raises((TryAgainError, psycopg.OperationalError)):
        run(hub_events([one]))
    monkeypatch.setenv("DATABASE_URL", database.url)
    run(hub_events([one]))
    assert set(records(database)) == {one.entity_id}
    assert application.store("event-hubs") is application.store("event-hubs")


def test_headers_come_from_the_metadata_and_rubbish_there_is_no_fault() -> None:
    [one] = customers(84, 1, 1).events
    [message] = event_hub_messages(hub_events([one]))
    assert message.headers["messageId"] == headers(one)["messageId"]
    assert read(message).version == 1
    with pytest.raises(AlteredError):
        read(event_hub_messages(hub_events([one.body.replace(b"crm", b"erp")]))[0])
    assert event_hub_messages([]) == []


@pytest.mark.parametrize(("credit", "expected"), [(None, "C"), (0, "C"), (1_000, "B"), (1e21, "A"), ("much", "C")])
def test_the_transformation(application: Any, credit: Any, expected: str) -> None:
    record = application.Record(attributes={"name": {"value": "Ada"}, "credit": {"value": credit}})
    assert application.report(record) == ("Ada", expected)
