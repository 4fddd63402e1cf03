from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import amqp, kafka
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from goldwire.event.headers import message_id, partition_key, traceparent
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item
from goldwire.targets.clients.backplane import (
    BackplaneSettings,
    Message,
    application_properties_of,
    headers_of,
    renderer,
    too_large,
)
from goldwire.testing.events import deleted, sealed

EVENT = sealed(
    "straße/1 李", 7, {"name": 'Zoë \\ "x" \u2028'}, correlation_id="run 1", classification="pii,secret", retention_days=30
)
ENVELOPES = ("event", "cloudevents-structured", "cloudevents-binary")


def message(event: SealedEvent = EVENT, replay_id: str | None = None, **settings: Any) -> Message:
    return renderer("shop", BackplaneSettings(**settings))(Item(event, replay_id=replay_id))


def read_kafka(rendered: Message) -> BaseCloudEvent:
    """What the CloudEvents SDK makes of it, given nothing but the message."""
    headers = {name: text.encode() for name, text in headers_of(rendered)}
    return kafka.from_kafka(kafka.KafkaMessage(headers, rendered.key, rendered.body), JSONFormat())


def read_amqp(rendered: Message) -> BaseCloudEvent:
    properties = {"content-type": rendered.content_type}
    return amqp.from_amqp(amqp.AMQPMessage(properties, dict(application_properties_of(rendered)), rendered.body), JSONFormat())


def test_an_event_is_its_own_body_with_the_headers_of_the_wire_format() -> None:
    rendered = message()
    assert rendered.body == EVENT.body
    assert (rendered.key, rendered.id, rendered.shared.subject) == ("straße/1 李", message_id(EVENT), "Customer.EntityChanged")
    assert dict(headers_of(rendered)) == {
        "messageId": message_id(EVENT),
        "correlationId": "run 1",
        "contentType": "application/json",
        "subject": "Customer.EntityChanged",
        "traceparent": traceparent(EVENT),
        "classification": "pii,secret",
        "retention-days": "30",
    }
    assert application_properties_of(rendered) == {
        "traceparent": traceparent(EVENT),
        "classification": "pii,secret",
        "retention-days": "30",
    }


@pytest.mark.parametrize("envelope", ENVELOPES[1:])
@pytest.mark.parametrize("read", [read_kafka, read_amqp])
def test_the_sdk_of_cloudevents_reads_back_every_attribute_and_the_event(envelope: str, read: Any) -> None:
    found = read(message(envelope=envelope))
    assert found.get_specversion() == "1.0"
    assert found.get_id() == message_id(EVENT)
    assert found.get_source() == "/goldwire/shop"
    assert found.get_type() == "goldwire.EntityChanged"
    assert found.get_subject() == "Customer.EntityChanged"
    assert found.get_datacontenttype() == "application/json"
    assert found.get_time() == datetime.fromisoformat(EVENT.timestamp)
    assert found.get_extension("partitionkey") == partition_key(EVENT)
    assert found.get_extension("correlationid") == "run 1"
    assert found.get_extension("traceparent") == traceparent(EVENT)
    assert found.get_extension("classification") == "pii,secret"
    assert found.get_extension("retentiondays") == "30"
    data = found.get_data()
    assert (json.loads(data) if isinstance(data, bytes | str) else data) == json.loads(EVENT.body)


@pytest.mark.parametrize("envelope", ENVELOPES[1:])
def test_an_event_with_nothing_special_has_no_empty_attributes(envelope: str) -> None:
    found = read_kafka(message(deleted("a", 2, correlation_id=""), envelope=envelope))
    assert found.get_type() == "goldwire.EntityDeleted"
    assert found.get_extension("classification") is None
    assert found.get_extension("correlationid") is None


def test_structured_mode_keeps_the_sealed_bytes_as_data() -> None:
    rendered = message(envelope="cloudevents-structured")
    assert rendered.body.endswith(b',"data":' + EVENT.body + b"}")
    assert rendered.content_type == "application/cloudevents+json; charset=utf-8"


def test_the_source_can_be_chosen() -> None:
    rendered = message(envelope="cloudevents-binary", cloudevents_source="https://example.com/mdm")
    assert read_kafka(rendered).get_source() == "https://example.com/mdm"


SOURCES = [
    *("https://example.com/mdm?x=/?&y#z/?", "urn:example:mdm", "mailto:mdm@example.com", "file:///x", "a+b-c.1:"),
    *("//h:80", "//u:p@[::1]:8080/x", "/mdm", "/caf%C3%A9", "mdm/a:b", "1-555-123-4567", "#x", "?"),
]
NO_SOURCES = [
    *("", " ", "my source", "/mdm\n", "/café", "1a:b", ":x", "a#b#c", "/a[1]", "%4", "/%zz", "/a\\b", "<mdm>", '"mdm"'),
    *("http://[x]/", "http://h:port/", "//a@b@c", "//h:80x", "{mdm}"),
]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_may_be_any_uri_reference(source: str) -> None:
    assert BackplaneSettings(cloudevents_source=source).cloudevents_source == source


@pytest.mark.parametrize("source", NO_SOURCES)
def test_a_source_that_is_no_uri_reference_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="cloudevents_source must be a URI reference"):
        BackplaneSettings(cloudevents_source=source)


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_resend_is_the_same_message_and_a_replay_has_another_id(envelope: str) -> None:
    assert message(envelope=envelope) == message(envelope=envelope)
    replayed = message(envelope=envelope, replay_id="r1")
    assert replayed.id == message_id(EVENT, "r1") != message(envelope=envelope).id
    assert replayed.key == message(envelope=envelope).key


@given(
    entity_id=st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()),
    correlation_id=st.text(max_size=50).filter(lambda text: text.isprintable()),
)
def test_every_entity_id_survives_the_envelope(entity_id: str, correlation_id: str) -> None:
    event = sealed(entity_id, 1, correlation_id=correlation_id)
    for envelope in ENVELOPES[1:]:
        rendered = message(event, envelope=envelope)
        assert 0 < len(rendered.key) <= 128
        assert read_amqp(rendered).get_extension("partitionkey") == rendered.key


def test_a_key_that_cannot_tell_entities_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="entityId"):
        BackplaneSettings(key=("entityType",))


def test_neither_message_nor_reason_shows_a_value() -> None:
    assert "Zo" not in repr(message())
    assert too_large(12_345, 10_000, "see x") == "the message has 12,345 bytes, more than the 10,000 that fit; see x"
