"""What must never be shown: a marker is planted as a value or as a secret, and looked for where it does not belong."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich.pretty
import sqlalchemy as sa

from goldwire.canonical import canonical
from goldwire.clock import SystemClock
from goldwire.config.reader import load
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.masks import build_mask
from goldwire.contract.spec import ContractSpec, Mask, Truncate
from goldwire.errors import ConfigError, ContractError
from goldwire.event.chain import verify
from goldwire.event.envelope import read_event
from goldwire.event.headers import headers
from goldwire.event.schema import event_schema
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag
from goldwire.services.application import Application
from goldwire.services.contract_documents import document, preview
from goldwire.targets.base import Item
from goldwire.targets.clients.http import Reply
from goldwire.targets.settings import origin_of
from goldwire.targets.sql.change import read_change
from goldwire.targets.sql.faults import reason
from goldwire.targets.sql.settings import SqlSettings
from goldwire.targets.sql.target import SqlTarget
from goldwire.targets.sql.values import Column
from goldwire.targets.webhook.target import WebhookSettings
from goldwire.testing.events import sealed
from support.states import control_after, golden_state, log_row

MARKER = "zqxjkvmarker"
NUMBER = 7331094451263
KEYS = {"hash": b"h" * 32, "tokenise": b"t" * 32}

MODEL = Model(
    {
        "Customer": EntityType(
            {"name": Attribute(tags=("pii",)), "city": Attribute()},
            relations={"knows": Relation(), "owes": Relation(tags=("bank",))},
        )
    },
    {"pii": Tag(), "bank": Tag()},
)


def contract(model: Model = MODEL, clearance: tuple[str, ...] = (), **spec: Any) -> CompiledContract:
    return compile_contract("feed", ContractSpec(**{"edges": "none", **spec}), model, "partner", clearance, KEYS, 1)


def must_seal(compiled: CompiledContract, *arguments: Any) -> SealedEvent:
    event = seal(compiled, *arguments)
    assert isinstance(event, SealedEvent)
    return event


VALUES: list[Any] = [
    MARKER,
    f"{'x' * 20}{MARKER}@acme.example",
    f'"\\{MARKER}',
    [MARKER],
    {"value": MARKER, "provenance": MARKER},
    {MARKER: {MARKER: [MARKER]}},
    NUMBER,
    NUMBER / 1000,
    [NUMBER],
]


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("mask", ["redact", "hash", "tokenise", "partial", Truncate(3), Truncate(10_000)], ids=str)
@pytest.mark.parametrize("payload", ["full", "delta"])
def test_no_masked_value_of_any_type_is_in_an_event_its_headers_or_its_schema(value: Any, mask: Mask, payload: str) -> None:
    compiled = contract(masks={"name": mask}, payload=payload)
    states = [golden_state({"name": one, "city": "Ulm"}) for one in ("first", value, [value])] + [golden_state({"city": "Ulm"})]
    held, base, shown = None, None, [json.dumps(event_schema(compiled)), repr(compiled), repr(compiled.shapes)]
    for version, state in enumerate(states, 1):
        event = seal(compiled, log_row(state, version=version), held, base)
        if isinstance(event, SealedEvent):
            shown += [event.body.decode(), *headers(event).values(), repr(event)]
            held, base = control_after(event), state
    assert held is not None
    assert held.version == len(states), "at least the first event and the removal were sent"
    assert not any(MARKER[1:-1] in text or str(NUMBER)[:10] in text for text in shown)


def test_an_attribute_or_a_relation_that_the_model_learns_later_does_not_get_out_of_a_compiled_contract() -> None:
    compiled = contract(attributes="all", masks={"pii": "redact"}, edges=("knows",))
    state = golden_state(
        {"name": "x", "city": "Ulm", "renamed": MARKER},
        edges=[{"rel": "later", "to": {"entityId": MARKER}}, {"rel": "owes", "to": {"entityId": MARKER}}],
    )
    assert MARKER.encode() not in must_seal(compiled, log_row(state), None, None).body
    assert seal(compiled, log_row(state, entity_type="Later"), None, None) == "gone"


def test_all_attributes_with_a_new_classified_one_do_not_load() -> None:
    assert contract(attributes="all", masks={"name": "redact"})
    wider = EntityType({**MODEL.types["Customer"].attributes, "iban": Attribute(tags=("bank",))})
    with pytest.raises(ContractError, match=r"'iban'.*'bank'"):
        contract(Model({"Customer": wider}, MODEL.tags), attributes="all", masks={"name": "redact"})
    later = Model({**MODEL.types, "Later": EntityType({"iban": Attribute(tags=("bank",))})}, MODEL.tags)
    with pytest.raises(ContractError, match="'iban' of Later"):
        contract(later, types="all", masks={"name": "redact"})


def test_an_edge_does_not_show_the_external_id_of_a_system_that_the_contract_hides() -> None:
    state = golden_state(
        {"city": "Ulm"},
        edges=[
            {"rel": "knows", "to": {"externalId": {"id": MARKER, "system": "billing"}}},
            {"rel": "knows", "to": {"externalId": {"id": '","system":"crm"}}}', "system": "billing"}}},
            {"rel": "knows", "to": {"externalId": {"id": "C-7", "system": "crm"}}},
            {"rel": "knows", "to": {"entityId": "e-8"}},
        ],
        external_ids=[("billing", MARKER), ("crm", "C-1")],
    )
    for systems, expected in (("none", [{"entityId": "e-8"}]), (("crm",), ["C-7", {"entityId": "e-8"}]), ("all", None)):
        compiled = contract(attributes=("city",), external_ids=systems, edges=("knows",))
        body = must_seal(compiled, log_row(state), None, None).body
        assert (MARKER.encode() in body) == (expected is None)
        shown = [edge["to"] for edge in json.loads(body)["changes"]["edges"]]
        found = [to["externalId"]["id"] if "externalId" in to else to for to in shown]
        assert expected is None or sorted(found, key=str) == sorted(expected, key=str)


def test_keyed_masks_depend_on_the_key_and_live_in_domains_of_their_own() -> None:
    clear = canonical(MARKER)
    one = {"hash": b"k" * 32, "tokenise": b"k" * 32}
    other = {"hash": b"K" * 32, "tokenise": b"K" * 32}
    masks: tuple[Mask, Mask] = ("hash", "tokenise")
    made = [build_mask(mask, "name", keys)(clear) for mask in masks for keys in (one, other)]
    assert len(set(made)) == 4
    assert build_mask("tokenise", "name", one)(clear) != build_mask("tokenise", "email", one)(clear)
    assert build_mask("hash", "name", one)(b"1") != build_mask("hash", "name", one)(b'"1"')


@pytest.mark.parametrize("field", ["specVersion", "eventType"])
def test_what_verify_finds_never_quotes_the_line(field: str) -> None:
    event = json.loads(sealed("e", 1, {"name": "x"}).body) | {field: MARKER}
    _, findings = verify([json.dumps(event).encode()])
    assert findings
    assert not any(MARKER in finding.text for finding in findings)
    assert field in findings[0].text


def test_no_struct_that_holds_an_event_shows_its_content() -> None:
    event = sealed("e", 1, {"name": MARKER}, external_ids=[("crm", MARKER)])
    columns = {name: Column(name, "text") for name in ("id", "name")}
    settings = SqlSettings(url="sqlite:///x.db", table="t", columns={"name": "name"})
    change = read_change(Item(event), settings.row_tables[None], columns, {})
    assert change.values == {"name": MARKER}
    for thing in (event, Item(event), change, read_event(event.body), Reply(500, {"x": MARKER}, MARKER.encode())):
        assert MARKER not in repr(thing) + rich.pretty.pretty_repr(thing), type(thing)
        assert type(thing).__name__ in repr(thing)


def test_the_description_of_an_answer_holds_no_word_that_the_receiver_chose() -> None:
    for given in (f"text/{MARKER}", MARKER, f"application/json; {MARKER}", f"{MARKER}/json"):
        described = Reply(500, {"content-type": given}, b"").described()
        assert MARKER not in described
        assert "HTTP 500" in described


def test_a_webhooks_settings_hide_each_secret_from_every_repr() -> None:
    secret = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
    settings = WebhookSettings(
        url=f"https://user:{MARKER}@example.com/{MARKER}?t={MARKER}",
        signing_secrets=(secret,),
        bearer_token=MARKER,
        headers={"x-api-key": MARKER},
    )
    shown = repr(settings) + str(list(settings.__rich_repr__()))
    assert MARKER not in shown
    assert secret not in shown


@pytest.mark.parametrize("sign", ["/", "#", "?"])
def test_a_password_that_was_not_percent_encoded_is_hidden_whole(sign: str) -> None:
    assert "1234" not in origin_of(f"postgresql://gold:1234{sign}56@db.example/golden")


def test_a_database_error_that_quotes_values_is_told_without_them() -> None:
    psycopg = pytest.importorskip("psycopg")
    told = psycopg.errors.UniqueViolation(f"duplicate key value\nDETAIL:  Key (email)=({MARKER}) already exists.")
    error = sa.exc.IntegrityError("INSERT INTO t VALUES (:x)", {"x": MARKER}, told)
    assert MARKER in str(error)
    assert MARKER not in reason(error)


async def opened(target: Any) -> None:
    try:
        await target.open()
    finally:
        await target.close()


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://gold:{MARKER}@127.0.0.1:1/golden"
    with pytest.raises(OSError, match="warehouse") as failed:
        asyncio.run(opened(SqlTarget("warehouse", SqlSettings(url=url, table="t", columns={"a": "a"}), SystemClock())))
    chain: list[BaseException | None] = [failed.value, failed.value.__cause__]
    assert not any(MARKER in str(error) for error in chain)


Configured = Callable[..., Path]

CONFIGURATION = """\
tags: {{pii: {{}}, bank: {{}}}}
types: {{Customer: {{attributes: {{name: {{tags: [pii]}}, city: {{}}}}}}}}
contracts: {{feed: {{masks: {{name: hash}}}}}}
keys: {{hash: "${{env:HASH_KEY}}"}}
targets:
  one:
    kind: {kind}
    contract: feed
    clearance: [{clearance}]
    settings:
      {settings}
"""


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    def write(*, kind: str = "webhook", settings: str = "url: https://example.com/", clearance: str = "") -> Path:
        file = tmp_path / "goldwire.yaml"
        file.write_text(CONFIGURATION.format(kind=kind, settings=settings, clearance=clearance), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    "settings",
    [
        f"url: https://gold:{MARKER}@${{env:HOST}}/",
        f"url: https://example.com/?token={MARKER}&tenant=${{env:TENANT}}",
        f"url: https://gold:{MARKER}-${{env:REST}}@example.com/",
        f"url: https://gold:1/{MARKER}@example.com/",
        f"url: https://gold:1#{MARKER}@example.com/",
        f"url: https://example.com/\n      bearer_token: !{MARKER}",
        f"url: https://example.com/\n      bearer_token: *{MARKER}",
        f"url: https://example.com/\n      bearer_token: &{MARKER} {MARKER}",
        f"url: https://example.com/\n      signing_secrets: {MARKER}",
        f"url: https://example.com/\n      batch: {MARKER}",
        f"url: https://example.com/\n      headers: [{MARKER}]",
    ],
)
def test_a_secret_written_out_is_refused_and_not_repeated(configured: Configured, settings: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(configured(settings=settings), {})
    assert MARKER not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://${env:HOST}/hook",
        "https://gold:${env:PASSWORD}@example.com/",
        "https://${env:USER}:${file:pw}@${env:HOST}/?tenant=${env:TENANT}",
        "${env:URL}",
    ],
)
def test_an_address_whose_secrets_are_references_is_taken(configured: Configured, url: str) -> None:
    assert load(configured(settings=f"url: {url}"), {}).config.targets["one"].settings["url"] == url


def test_a_key_or_a_setting_that_does_not_fit_is_told_without_it(configured: Configured) -> None:
    secrets = "url: ${env:URL}\n      signing_secrets: ['${env:SIGN}']\n      bearer_token: ${env:TOKEN}"
    good = {"URL": "https://example.com/", "SIGN": "whsec_" + "QUJD" * 8, "TOKEN": MARKER, "HASH_KEY": MARKER * 4}
    application = Application(load(configured(settings=secrets), good))
    targets = application.targets
    assert MARKER not in repr(targets.settings("one")) + repr(application.loaded) + repr(targets.make("one"))
    assert MARKER not in repr(preview(application.loaded, "one")) + document(application.loaded, "one").decode()
    for name, bad in (
        ("URL", f"ftp://{MARKER}"),
        ("URL", f"http://{MARKER}.example/"),
        ("SIGN", f"whsec_{MARKER}"),
        ("SIGN", f"{MARKER}\udcff"),
        ("TOKEN", f"{MARKER}\n"),
        ("TOKEN", f"{MARKER}\udcff"),
        ("HASH_KEY", MARKER),
    ):
        loaded = load(configured(settings=secrets), {**good, name: bad})
        with pytest.raises(ConfigError) as refused:
            document(loaded, "one") if name == "HASH_KEY" else Application(loaded).targets.make("one")
        assert MARKER not in str(refused.value)


def test_a_key_may_be_any_bytes(configured: Configured) -> None:
    odd = os.fsdecode(bytes(range(128, 192)))
    assert preview(load(configured(), {"HASH_KEY": odd}), "one").masks == {"Customer": {"name": "hash"}}


def test_clearance_for_a_tag_that_no_attribute_of_the_contract_carries_is_no_fault(configured: Configured) -> None:
    loaded = load(configured(clearance="pii, bank"), {"HASH_KEY": "k" * 32})
    assert preview(loaded, "one").shapes


def test_only_its_owner_can_read_a_store_and_a_database_that_goldwire_makes(configured: Configured, tmp_path: Path) -> None:
    settings = "url: sqlite:///out.db\n      table: t\n      columns: {name: name}\n      create_table: true"
    before = os.umask(0o002)
    try:
        with Application(load(configured(kind="sql", settings=settings), {})) as application:
            assert application.store.position() == 0
            asyncio.run(opened(application.targets.make("one")))
    finally:
        os.umask(before)
    for made in (tmp_path / "out.db", tmp_path / ".goldwire/store.db"):
        allowed = 0o640 if made.name == "out.db" else 0o600
        assert stat.S_IMODE(made.stat().st_mode) & ~allowed == 0, made


def test_a_store_keeps_the_rights_that_its_owner_gave_it(configured: Configured, tmp_path: Path) -> None:
    loaded = load(configured(), {})
    with Application(loaded) as application:
        assert application.store.position() == 0
    (tmp_path / ".goldwire/store.db").chmod(0o660)
    with Application(loaded) as application:
        assert application.store.position() == 0
    assert stat.S_IMODE((tmp_path / ".goldwire/store.db").stat().st_mode) == 0o660


def test_what_the_store_keeps_of_a_configuration_holds_references_and_no_secret(configured: Configured) -> None:
    loaded = load(configured(settings="url: ${env:URL}"), {"URL": f"https://{MARKER}/", "HASH_KEY": MARKER * 4})
    kept = msgspec.json.encode(loaded.config) + document(loaded, "one")
    assert MARKER.encode() not in kept
    assert b"${env:URL}" in kept
