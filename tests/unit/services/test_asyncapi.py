"""The AsyncAPI document of a configuration: valid, true of the messages that are really sent, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from goldwire.config.reader import load
from goldwire.errors import InputError
from goldwire.services.asyncapi import asyncapi_document
from goldwire.targets import registry
from goldwire.targets.base import Item
from goldwire.targets.clients.backplane import application_properties_of, headers_of, renderer
from goldwire.targets.webhook.message import renderer as webhook_renderer
from goldwire.testing.events import deleted, sealed

OFFICIAL = jsonschema.Draft7Validator(
    json.loads((Path(__file__).parents[2] / "support" / "asyncapi" / "3.0.0.json").read_text(encoding="utf-8"))
)
MARKER = "zqxjkvmarker"
HEAD = """
tags:
  pii: {}
types:
  Customer:
    attributes:
      name: {tags: [pii]}
      city: {}
    match: [{name: same, equal: [name]}]
contracts:
  open: {payload: full}
  masked: {payload: delta, deselect: true, golden: true, masks: {pii: redact}}
targets:
"""
ENVELOPES = ("event", "cloudevents-structured", "cloudevents-binary")
MESSAGES = {
    "kafka": "bootstrap_servers: ['b1.example:9093', 'b2.example:9093'], topic: golden, null_after_delete: true, partitions: 4",
    "event_hubs": "namespace: mdm-prod, hub: golden",
    "service_bus": "namespace: mdm-prod, queue: golden",
    "webhook": "url: 'https://shop.example:8443/hooks', signing_secrets: ['${env:NONE}'], idempotency_header: Idempotency-Key",
}
EVENT = sealed("straße 1", 7, {"name": "REDACTED", "city": "Ulm"}, classification="pii", retention_days=30)
GONE = deleted("b", 2)


def document(folder: Path, *targets: str, only: str | None = None) -> dict[str, Any]:
    """The document of a configuration with these targets, each written as `NAME: {…}`; checked against the official schema."""
    file = folder / "goldwire.yaml"
    file.write_text(HEAD + "".join(f"  {one}\n" for one in targets), encoding="utf-8")
    loaded = load(file)
    names = list(loaded.config.targets) if only is None else [only]
    found = asyncapi_document(loaded, names, named=only is not None)
    plain: dict[str, Any] = json.loads(json.dumps(found))
    assert [one.message for one in OFFICIAL.iter_errors(plain)] == []
    return plain


def target(kind: str, settings: str, name: str = "shop", contract: str = "masked", clearance: str = "[pii]") -> str:
    return f"{name}: {{kind: {kind}, contract: {contract}, clearance: {clearance}, settings: {{{settings}}}}}"


def resolved(found: dict[str, Any], at: Any) -> Any:
    """Follow a reference of the document."""
    while isinstance(at, dict) and set(at) == {"$ref"}:
        inner: Any = found
        for part in at["$ref"].removeprefix("#/").split("/"):
            inner = inner[part]
        at = inner
    return at


def fits(found: dict[str, Any], schema: Any, value: Any) -> bool:
    return jsonschema.Draft7Validator({**found, **schema}).is_valid(value)


def messages(found: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    return {one: resolved(found, ref) for one, ref in found["channels"][name]["messages"].items()}


def sent(kind: str, envelope: str, items: Sequence[Item], **more: Any) -> tuple[dict[str, str], bytes]:
    """Headers and body as the target's own code writes them."""
    if kind == "webhook":
        settings = registry.parse_settings("webhook", "shop", {"url": "https://x.example/", "envelope": envelope, **more})
        headers, body = webhook_renderer("shop", settings)(items)  # type: ignore[arg-type]  # the kind's own settings
        headers.pop("content-type")
        moment = {"webhook-timestamp": "1764200000", "webhook-signature": "v1,x", "idempotency-key": headers["webhook-id"]}
        return {**headers, **moment}, body
    plain = {"namespace": "n", "hub": "h"} if kind == "event_hubs" else {"namespace": "n", "queue": "q"}
    plain = {"bootstrap_servers": ["b:1"], "topic": "t"} if kind == "kafka" else plain
    settings = registry.parse_settings(kind, "shop", {**plain, "envelope": envelope})
    message = renderer("shop", settings)(items[0])  # type: ignore[arg-type]  # the same
    return dict(headers_of(message) if kind == "kafka" else application_properties_of(message)), message.body


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_what_is_really_sent_fits_its_message_and_no_other(tmp_path: Path, kind: str, envelope: str) -> None:
    found = document(tmp_path, target(kind, f"{MESSAGES[kind]}, envelope: {envelope}"))
    described = messages(found)
    assert set(described) - {"Nothing"} == {"Customer.EntityChanged", "EntityDeleted"}
    for event, wanted in ((EVENT, "Customer.EntityChanged"), (GONE, "EntityDeleted")):
        headers, body = sent(kind, envelope, [Item(event)])
        for name, message in described.items():
            assert fits(found, message["payload"], json.loads(body)) is (name == wanted)
        known = described[wanted]["headers"]
        assert fits(found, known, headers)
        assert set(headers) <= set(known["properties"]), "a header that the document does not tell of"
        for name in known["required"]:
            assert not fits(found, known, {one: text for one, text in headers.items() if one != name})


@pytest.mark.parametrize("settings", ["batch: array, array_size: 2", "envelope: cloudevents-batch, array_size: 2"])
def test_an_array_is_one_message_of_so_many_events(tmp_path: Path, settings: str) -> None:
    found = document(tmp_path, target("webhook", f"{MESSAGES['webhook']}, {settings}"))
    (message,) = messages(found).values()
    envelope = "cloudevents-batch" if "envelope" in settings else "event"
    more = {} if "envelope" in settings else {"batch": "array"}
    headers, body = sent("webhook", envelope, [Item(EVENT), Item(GONE)], **more)
    assert fits(found, message["payload"], json.loads(body))
    assert fits(found, message["headers"], headers)
    assert set(headers) <= set(message["headers"]["properties"])
    _, body = sent("webhook", envelope, [Item(EVENT), Item(GONE), Item(sealed("c", 1))], **more)
    assert not fits(found, message["payload"], json.loads(body))
    assert not fits(found, message["payload"], [])


def test_a_mask_shows_in_the_payload_and_a_clear_value_does_not_fit(tmp_path: Path) -> None:
    found = document(tmp_path, target("kafka", MESSAGES["kafka"]))
    payload = messages(found)["Customer.EntityChanged"]["payload"]
    assert fits(found, payload, json.loads(EVENT.body))
    assert not fits(found, payload, json.loads(sealed("a", 1, {"name": "Ada", "city": "Ulm"}).body))


def test_a_classified_attribute_that_is_shown_says_its_tags(tmp_path: Path) -> None:
    found = document(tmp_path, target("kafka", MESSAGES["kafka"], contract="open"))
    payload = resolved(found, messages(found)["Customer.EntityChanged"]["payload"])
    attributes = payload["properties"]["changes"]["properties"]["attributes"]["properties"]
    assert attributes["name"]["description"] == "Classified: pii."
    assert "description" not in attributes["city"]


def test_servers_channels_and_bindings_are_those_of_the_kinds(tmp_path: Path) -> None:
    kinds = [target(kind, settings, name=kind) for kind, settings in MESSAGES.items()]
    hub = target("event_hubs", "connection_string: '${env:NONE}', hub: golden, endpoint: kafka", name="gate")
    found = document(tmp_path, *kinds, hub, target("file", "path: out.jsonl", name="events"))
    assert list(found["channels"]) == ["kafka", "event_hubs", "service_bus", "webhook", "gate"]
    servers = {name: (one["host"], one["protocol"]) for name, one in found["servers"].items()}
    assert servers == {
        "kafka.1": ("b1.example:9093", "kafka-secure"),
        "kafka.2": ("b2.example:9093", "kafka-secure"),
        "event_hubs": ("mdm-prod.servicebus.windows.net:5671", "amqp1"),
        "service_bus": ("mdm-prod.servicebus.windows.net:5671", "amqp1"),
        "webhook": ("shop.example:8443", "https"),
        "gate": ("{namespace}:9093", "kafka-secure"),
    }
    assert found["servers"]["gate"]["variables"].keys() == {"namespace"}
    addresses = {name: one["address"] for name, one in found["channels"].items()}
    assert addresses == {"kafka": "golden", "event_hubs": "golden", "service_bus": "golden", "webhook": None, "gate": "golden"}
    topic = found["channels"]["kafka"]["bindings"]["kafka"]
    assert (topic["topic"], topic["partitions"]) == ("golden", 4)
    assert messages(found, "kafka")["EntityDeleted"]["bindings"]["kafka"]["key"]["type"] == "string"
    assert messages(found, "kafka")["Nothing"]["payload"] == {"type": "null"}
    assert found["operations"]["send.webhook"]["bindings"]["http"]["method"] == "POST"
    assert {one["action"] for one in found["operations"].values()} == {"send"}


SECRETS: list[tuple[str, dict[str, Any]]] = [
    ("webhook", {"url": f"https://user:{MARKER}@shop.example/{MARKER}?{MARKER}", "bearer_token": MARKER}),
    ("webhook", {"url": "https://shop.example/", "headers": {"x-api-key": MARKER}, "signing_secrets": [MARKER]}),
    ("webhook", {"url": f"https://user:p{MARKER}/x@shop.example/"}),
    ("webhook", {"url": MARKER, "certificate_file": "own.pem", "key_password": MARKER}),
    ("kafka", {"bootstrap_servers": ["b:1"], "topic": "t", "sasl": "plain", "username": MARKER, "password": MARKER}),
    ("kafka", {"bootstrap_servers": ["b:1"], "topic": "t", "oauth_client_secret": MARKER, "key_password": MARKER}),
    ("event_hubs", {"connection_string": f"Endpoint=sb://n/;SharedAccessKey={MARKER}", "hub": "h"}),
    ("event_hubs", {"connection_string": f"Endpoint=sb://n/;SharedAccessKey={MARKER}", "hub": "h", "endpoint": "kafka"}),
    ("service_bus", {"namespace": "n", "sas_token": MARKER, "queue": "q"}),
]


@pytest.mark.parametrize(("kind", "settings"), SECRETS)
def test_a_secret_that_stands_in_the_configuration_itself_is_in_no_channel(kind: str, settings: dict[str, Any]) -> None:
    found = registry.channel_of(kind, "shop", settings)
    assert found is not None
    assert MARKER not in msgspec.json.encode(found).decode()
    assert MARKER not in repr(found)


def test_a_reference_is_a_variable_and_what_it_leads_to_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUB", "BROKERS", "RECEIVER_HOST", "RECEIVER"):
        monkeypatch.setenv(name, MARKER)
    (tmp_path / "topic.txt").write_text(MARKER)
    found = document(
        tmp_path,
        target("kafka", "bootstrap_servers: ['${env:BROKERS}', 'b:1'], topic: '${file:topic.txt}'", name="kafka"),
        target("event_hubs", "namespace: '${env:HUB}', hub: 'golden-${env:STAGE}'", name="hub"),
        target("webhook", "url: 'https://${env:RECEIVER_HOST}/x'", name="hook"),
        target("webhook", "url: '${env:RECEIVER}'", name="other"),
    )
    assert MARKER not in json.dumps(found)
    assert {name: one["host"] for name, one in found["servers"].items()} == {
        "kafka.1": "{brokers}", "kafka.2": "b:1", "hub": "{hub}:5671", "hook": "{receiver_host}", "other": "{host}",
    }  # fmt: skip
    assert found["servers"]["hub"]["variables"] == {"hub": {"description": "The environment variable HUB"}}
    assert found["channels"]["kafka"]["address"] == "{topic_txt}"
    assert found["channels"]["kafka"]["parameters"] == {"topic_txt": {"description": "What the file topic.txt holds"}}
    assert "topic" not in found["channels"]["kafka"]["bindings"]["kafka"]
    assert found["channels"]["hub"]["address"] == "golden-{stage}"


def test_a_document_of_one_target_tells_nothing_of_the_others(tmp_path: Path) -> None:
    both = [target("kafka", MESSAGES["kafka"], name="kafka"), target("webhook", MESSAGES["webhook"], "hook", "open")]
    found = document(tmp_path, *both, only="kafka")
    assert list(found["channels"]) == ["kafka"]
    assert "hook" not in json.dumps(found).replace("webhook", "")
    assert "open." not in json.dumps(found)


def test_targets_that_nobody_else_receives_from_are_named(tmp_path: Path) -> None:
    file = target("file", "path: out.jsonl", name="events")
    with pytest.raises(InputError, match="'events' is of kind 'file'"):
        document(tmp_path, file)
    with pytest.raises(InputError, match="'events' is of kind 'file'"):
        document(tmp_path, file, target("kafka", MESSAGES["kafka"]), only="events")


def test_the_version_changes_with_the_content_alone(tmp_path: Path) -> None:
    first = document(tmp_path, target("kafka", MESSAGES["kafka"]))
    assert document(tmp_path, target("kafka", MESSAGES["kafka"] + ", linger_seconds: 1")) == first
    other = document(tmp_path, target("kafka", MESSAGES["kafka"], contract="open"))
    assert other["info"]["version"] != first["info"]["version"]
    assert first["info"]["version"].startswith("cluedin-1.0+")


def test_every_kind_that_has_a_destination_beyond_this_machine_describes_its_channel() -> None:
    """A kind without one says so here."""
    described = {kind for kind in registry.kinds() if registry._entry(kind).channel is not None}
    assert described == set(registry.kinds()) - {"file", "memory", "sql"}
