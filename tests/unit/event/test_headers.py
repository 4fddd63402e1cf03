from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from goldwire.contract.compiled import CompiledContract
from goldwire.event.headers import headers, message_id, partition_key, traceparent
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from support.states import golden_state, log_row

Make = Callable[..., CompiledContract]


@pytest.fixture
def event(make: Make) -> SealedEvent:
    sealed = seal(make(), log_row(golden_state({"name": "Anna"}), version=3, entity_id="e1"), None, None)
    assert isinstance(sealed, SealedEvent)
    return sealed


def changed(event: SealedEvent, **fields: Any) -> SealedEvent:
    return replace(event, **fields)


def test_an_event_has_the_headers_that_the_wire_names(event: SealedEvent) -> None:
    found = headers(event)
    parent = found.pop("traceparent")
    assert found == {
        "messageId": "Customer:e1:3", "correlationId": "request-1", "contentType": "application/json",
        "subject": "Customer.EntityChanged", "partitionKey": "e1", "classification": "pii", "retention-days": "365",
    }  # fmt: skip
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent)


def test_what_an_event_does_not_carry_has_no_header(event: SealedEvent) -> None:
    found = headers(changed(event, classification="", retention_days=None, deleted=True))
    assert "classification" not in found
    assert "retention-days" not in found
    assert found["subject"] == "Customer.EntityDeleted"


def test_a_classification_without_a_retention_has_its_header(event: SealedEvent) -> None:
    found = headers(changed(event, classification="internal", retention_days=None))
    assert found["classification"] == "internal"
    assert "retention-days" not in found


def test_a_message_id_of_128_characters_stays_and_a_longer_one_becomes_a_stable_hash(event: SealedEvent) -> None:
    fits = changed(event, entity_id="x" * (128 - len("Customer::3")))
    assert message_id(fits) == f"Customer:{fits.entity_id}:3"
    long = changed(event, entity_id=fits.entity_id + "y")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", message_id(long))
    assert message_id(long) == message_id(changed(long))
    assert message_id(long) != message_id(changed(long, version=4))


def test_a_replay_has_an_id_of_its_own_which_also_fits(event: SealedEvent) -> None:
    assert message_id(event, "r7") == "Customer:e1:3~r7"
    long = changed(event, entity_id="x" * 500)
    assert message_id(long, "r7").endswith("~r7")
    assert len(message_id(long, "r" * 300)) <= 128
    assert message_id(long, "r7") != message_id(changed(long, version=4), "r7")


def test_a_target_that_shares_its_destination_has_ids_of_its_own(event: SealedEvent) -> None:
    assert message_id(event, suffix="crm") == "Customer:e1:3~t-crm"
    assert message_id(event, "r7", suffix="crm") == "Customer:e1:3~t-crm~r7"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", message_id(event, suffix="x" * 128))


def test_the_headers_are_those_of_the_replay_and_of_the_key_that_is_wanted(event: SealedEvent) -> None:
    found = headers(event, replay_id="r7", key_parts=("entityType", "entityId"))
    assert (found["messageId"], found["partitionKey"]) == ("Customer:e1:3~r7", "Customer:e1")
    assert found["traceparent"] == traceparent(event) == traceparent(event, "Customer:e1:3")


def test_the_partition_key_is_the_entity_unless_a_composite_is_wanted(event: SealedEvent) -> None:
    assert partition_key(event) == "e1"
    assert partition_key(event, ("entityType", "entityId")) == "Customer:e1"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", partition_key(changed(event, entity_id="x" * 129)))
    assert partition_key(changed(event, entity_id="x" * 128)) == "x" * 128


def test_the_partition_key_of_an_entity_does_not_depend_on_the_version(event: SealedEvent) -> None:
    assert partition_key(event) == partition_key(changed(event, version=99, deleted=True))


def test_events_of_one_request_are_one_trace_with_a_span_each(event: SealedEvent) -> None:
    other = changed(event, entity_id="e2")
    assert traceparent(event)[:35] == traceparent(other)[:35]
    assert traceparent(event) != traceparent(other)
    assert traceparent(event)[:35] != traceparent(changed(event, correlation_id="request-2"))[:35]
    assert traceparent(event) == traceparent(changed(event))


def test_a_correlation_id_that_is_a_traceparent_gives_the_trace(event: SealedEvent) -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    found = traceparent(changed(event, correlation_id=given))
    assert found.startswith(given[:36])
    assert found.endswith("-00")
    assert found != given
    zero = "00-" + "0" * 32 + "-00f067aa0ba902b7-01"
    assert not traceparent(changed(event, correlation_id=zero)).startswith("00-" + "0" * 32)
