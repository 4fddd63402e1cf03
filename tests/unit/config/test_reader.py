"""A whole configuration: what refers to nothing, which secrets are missing, and the published schema."""

from __future__ import annotations

import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from goldwire.config.json_schema import config_schema
from goldwire.config.reader import Loaded, load
from goldwire.errors import ConfigError
from goldwire.services.application import Application
from goldwire.services.contract_documents import document
from goldwire.services.starter import START

SOUND = """\
tags: {pii: {}}
types:
  Customer:
    attributes: {name: {tags: [pii]}, city: {}}
contracts:
  all: {}
targets:
  events:
    kind: file
    contract: all
    clearance: [pii]
    settings: {path: out/events.jsonl}
"""


def loaded(folder: Path, text: str, **environment: str) -> Loaded:
    file = folder / "goldwire.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_the_configuration_that_init_writes_is_sound_and_fits_the_published_schema(tmp_path: Path) -> None:
    shutil.copy(START / "goldwire.yaml", tmp_path)
    assert sorted(load(tmp_path / "goldwire.yaml").config.targets) == ["events", "partners"]
    plain = yaml.safe_load((START / "goldwire.yaml").read_text())
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(plain)


def test_what_stands_there_as_a_comment_can_be_taken_into_use(tmp_path: Path) -> None:
    text = (START / "goldwire.yaml").read_text().replace("\n# keys:\n#   hash", "\nkeys:\n  hash").replace("\n#  ", "\n  ")
    config = loaded(tmp_path, text).config
    assert sorted(config.targets) == ["backplane", "events", "partners", "shop"]
    assert config.keys.hash == "${env:GOLDWIRE_HASH_KEY}"


@pytest.mark.parametrize(
    "wrong",
    [
        SOUND.replace("contract:", "conract:"),
        SOUND.replace("path:", "pth:"),
        SOUND.replace("kind: file", "kind: files"),
        SOUND.replace("attributes: {name", "attributes: {7name: {}, name").replace("Customer", "1 Customer"),
        SOUND + "targts: {}\n",
    ],
)
def test_the_published_schema_refuses_what_the_loader_refuses(tmp_path: Path, wrong: str) -> None:
    assert faults(tmp_path, wrong)
    assert not jsonschema.Draft202012Validator(config_schema()).is_valid(yaml.safe_load(wrong))


def test_a_wrong_field_of_a_target_is_named_with_its_location(tmp_path: Path) -> None:
    assert faults(tmp_path, SOUND.replace("    contract: all", "    conract: all")) == [
        "goldwire.yaml:8:3: targets.events: `contract` is missing",
        "goldwire.yaml:10:5: targets.events.conract: unknown field; did you mean 'contract'?",
    ]


def test_a_setting_of_the_kind_is_checked_with_the_rest(tmp_path: Path) -> None:
    assert faults(tmp_path, SOUND.replace("path: out/events.jsonl", "path: x, fsink: true, rotate_bytes: many")) == [
        "goldwire.yaml:12:25: targets.events.settings.fsink: unknown field; did you mean 'fsync'?",
        "goldwire.yaml:12:52: targets.events.settings.rotate_bytes: expected a whole number, found text",
    ]


def test_a_source_of_cloudevents_that_is_no_uri_reference_is_refused(tmp_path: Path) -> None:
    settings = '{bootstrap_servers: ["localhost:9092"], topic: golden, cloudevents_source: "my source"}'
    text = SOUND.replace("kind: file", "kind: kafka").replace("{path: out/events.jsonl}", settings)
    [fault] = faults(tmp_path, text)
    assert fault.startswith("goldwire.yaml:12:15: targets.events.settings: cloudevents_source must be a URI reference")


def test_missing_settings_are_named_also_where_there_are_none(tmp_path: Path) -> None:
    text = SOUND.replace("    settings: {path: out/events.jsonl}\n", "")
    assert faults(tmp_path, text) == ["goldwire.yaml:8:3: targets.events: `settings` is missing; the kind file needs path"]


def test_two_targets_of_one_name_are_refused_with_both_lines(tmp_path: Path) -> None:
    twice = SOUND + "  events: {kind: memory, contract: all}\n"
    assert faults(tmp_path, twice) == [
        "goldwire.yaml:13:3: targets.events: stands twice; first on line 8. Rename or remove one"
    ]


def test_names_that_refer_to_nothing_are_told_at_once(tmp_path: Path) -> None:
    text = SOUND.replace("contract: all", "contract: al").replace("clearance: [pii]", "clearance: [pi]")
    text = text.replace("all: {}", "all: {types: [Custmer], attributes: [nam], masks: {citi: redact}}")
    text += "sources:\n  crm: {system: crm, type: Person, id: id}\n  erp: {system: steward, type: Customer, id: id}\n"
    said = faults(tmp_path, text)
    for expected in (
        "contracts.all.types[0]: Custmer is no known entity type; did you mean 'Customer'?",
        "contracts.all.masks.citi: citi is no known attribute or tag",
        "targets.events.contract: al is no known contract; did you mean 'all'?",
        "targets.events.clearance[0]: pi is no known tag; did you mean 'pii'?",
        "sources.crm.type: Person is no known entity type",
        "sources.erp.system: `steward` is kept",
    ):
        assert any(expected in line for line in said), (expected, said)
    assert [int(line.split(":")[1]) for line in said] == sorted(int(line.split(":")[1]) for line in said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfet\x00", "not UTF-8"),
        (b"", "empty"),
        (b"a: [", "no valid YAML"),
        (b"x" * 5_000_000, "larger than"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "goldwire.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load(tmp_path / "goldwire.yaml")


def test_a_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="goldwire init"):
        load(tmp_path / "goldwire.yaml")


def test_a_missing_secret_names_variable_place_and_target_and_only_when_it_is_needed(tmp_path: Path) -> None:
    text = SOUND.replace("out/events.jsonl", "'${env:OUT_FOLDER}/events.jsonl'")
    application = Application(loaded(tmp_path, text))
    with pytest.raises(ConfigError, match=r"goldwire.yaml:12:5: targets.events.settings.path: .*OUT_FOLDER is not set"):
        application.targets.make("events")
    application = Application(loaded(tmp_path, text, OUT_FOLDER="elsewhere"))
    assert application.targets.settings("events").path == str(tmp_path / "elsewhere/events.jsonl")  # type: ignore[attr-defined] - of the kind's own type


def test_a_mask_without_its_key_says_which_setting_to_add(tmp_path: Path) -> None:
    text = SOUND.replace("all: {}", "all: {masks: {pii: hash}}").replace("    clearance: [pii]\n", "")
    with pytest.raises(ConfigError, match=r"targets.events.contract: the mask `hash` needs a key; .*env:GOLDWIRE_HASH_KEY"):
        document(loaded(tmp_path, text), "events")
    text += "keys: {hash: '${env:KEY}'}\n"
    with pytest.raises(ConfigError, match=r"keys.hash \(for target events\): the key has fewer than 32 bytes"):
        document(loaded(tmp_path, text, KEY="short-and-secret"), "events")
    with pytest.raises(ConfigError, match=r"variable KEY is not set"):
        document(loaded(tmp_path, text), "events")


def test_a_revision_depends_on_what_seals_and_on_nothing_else(tmp_path: Path) -> None:
    masked = SOUND.replace("all: {}", "all: {masks: {pii: hash}}") + "keys: {hash: '${env:KEY}'}\n"
    first = document(loaded(tmp_path, masked, KEY="k" * 32), "events")
    other = masked.replace("city: {}", "city: {description: Where.}").replace("out/", "in/") + "log: {format: json}\n"
    assert document(loaded(tmp_path, other, KEY="k" * 32), "events") == first
    assert document(loaded(tmp_path, masked, KEY="q" * 32), "events") != first
    assert document(loaded(tmp_path, masked.replace("pii: hash", "pii: redact"), KEY="k" * 32), "events") != first
    assert b"k" * 32 not in first
