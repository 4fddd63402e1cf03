"""A broken Config.json: the error names file, line and field."""

from __future__ import annotations

import json

import pytest

from goldwire_emulator.broker.config import parse_config, read_config
from goldwire_emulator.errors import InputError

QUEUE = """{
\t"UserConfig": {
\t\t"Namespaces": [
\t\t\t{
\t\t\t\t"Name": "ns",
\t\t\t\t"Queues": [
\t\t\t\t\t{ "Name": "first" },
\t\t\t\t\t{
\t\t\t\t\t\t"Name": "second",
\t\t\t\t\t\t"Properties": {
\t\t\t\t\t\t\tPLACE
\t\t\t\t\t\t}
\t\t\t\t\t}
\t\t\t\t]
\t\t\t}
\t\t]
\t}
}
"""
SECOND = "UserConfig.Namespaces[0].Queues[1]"


def refusal(text):
    with pytest.raises(InputError) as refused:
        parse_config(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('"MaxDeliveryCount": "many"', ".MaxDeliveryCount: expected a whole number, found text"),
        ('"LockDurations": "PT1M"', ".LockDurations: there is no such setting; did you mean LockDuration?"),
        ('"requiresSession": true', ".requiresSession: there is no such setting; did you mean RequiresSession?"),
        ('"Partitions": 3', ".Partitions: there is no such setting; known are DeadLetteringOnMessageExpiration, "),
    ],
)
def test_a_wrong_field_is_named_with_its_line(setting, said):
    assert refusal(QUEUE.replace("PLACE", setting)).startswith(f"Config.json:11:8: {SECOND}.Properties{said}")


def test_a_field_that_is_missing_is_named_with_the_line_of_where_it_should_be():
    text = QUEUE.replace('"Name": "second",', "").replace("PLACE", "")
    assert refusal(text) == f"Config.json:8:6: {SECOND}: object missing required field `Name`"
    assert refusal("{}") == "Config.json:1:1: object missing required field `UserConfig`"
    assert refusal(" []") == "Config.json:1:2: expected an object { }, found a list [ ]"


def test_a_value_that_must_be_one_of_a_few_is_told_which():
    text = '{"UserConfig": {"NamespaceConfig": [\n{"Type": "Kafka"}]}}'
    assert refusal(text) == "Config.json:2:2: UserConfig.NamespaceConfig[0].Type: expected 'EventHub', found 'Kafka'"


@pytest.mark.parametrize(
    ("setting", "line", "fix"),
    [
        ('"RequiresSession": true,', (11, 12), "remove the comma before the closing bracket"),
        ("// a comment", (11,), "remove the comment, which JSON does not have"),
        ('"RequiresSession": true // a comment', (11,), "remove the comment"),
        ("'RequiresSession': true", (11,), "put texts into double quotes"),
    ],
)
def test_what_is_no_json_is_told_with_its_line_and_the_fix(setting, line, fix):
    said = refusal(QUEUE.replace("PLACE", setting))
    assert said.startswith(tuple(f"Config.json:{number}:" for number in line)), said
    assert fix in said


def test_a_file_that_ends_too_early_says_so():
    assert refusal('{\n"UserConfig": {').startswith("Config.json:2:16: no valid JSON: ")
    assert "the file ends too early" in refusal("")
    assert "nested" in refusal("[" * 100_000)


def test_a_field_that_stands_twice_is_refused_since_one_would_be_lost():
    text = '{"UserConfig": {"Namespaces": [{\n"Queues": [{"Name": "a"}],\n"Queues": [{"Name": "b"}]}]}}'
    assert refusal(text) == "Config.json:3:1: UserConfig.Namespaces[0].Queues: stands twice; first on line 2. Merge the two"


def test_a_file_in_another_encoding_is_told_how_to_save_it(tmp_path):
    path = tmp_path / "Config.json"
    path.write_bytes('{"UserConfig":\n{"Namespaces": [{"Name": "Zoë"}]}}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"Config\.json:2: .*UTF-8"):
        read_config(path)
    path.write_text("{}", encoding="utf-16")
    with pytest.raises(InputError, match="UTF-16; save it as UTF-8"):
        read_config(path)


def test_a_text_with_escapes_is_read_as_json_reads_it():
    text = json.dumps({"UserConfig": {"Logging": {"a/\u2028\U0001f600": "\ud83d \t"}, "Namespaces": 3}}).replace("/", "\\/")
    assert refusal(text).startswith("Config.json:1:")
