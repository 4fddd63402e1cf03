"""Reading YAML by types: what fits becomes plain values, what does not is named with its place."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from goldwire.config.problems import Problems
from goldwire.config.typed_reader import NODE_LIMIT, WRONG, TypedReader
from goldwire.config.yaml_nodes import compose


class Inner(Struct, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=1)] = 1
    flag: bool = False
    ratio: float = 0.5


class Outer(Struct, forbid_unknown_fields=True):
    name: str
    inner: dict[str, Inner] = {}
    words: tuple[Literal["red", "green"], ...] = ()
    either: Literal["all"] | tuple[str, ...] = "all"
    anything: Any = None
    maybe: int | None = None
    token: Annotated[str, Meta(extra={"secret": True})] | None = None
    address: Annotated[str, Meta(extra={"secret": True, "url": True})] = ""
    headers: Annotated[dict[str, str], Meta(extra={"secret": True})] = {}


def read(text: str) -> tuple[Any, list[str]]:
    problems = Problems("f.yaml")
    root = compose(text, problems)
    plain = TypedReader(problems).read(root, Outer) if root is not None else WRONG
    return plain, problems.lines()


def wrong(text: str) -> list[str]:
    _, lines = read(text)
    assert lines
    return lines


def right(text: str) -> Any:
    plain, lines = read(text)
    assert lines == []
    msgspec.convert(plain, Outer)
    return plain


@pytest.mark.parametrize("value", ["no", "0123", "2026-01-01", "1.10", "1e3", "true", "12:30:00", "0x1F"])
def test_where_text_is_wanted_an_unquoted_word_is_the_text_as_written(value: str) -> None:
    assert right(f"name: {value}")["name"] == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0123", "0123"),
        ("no", "no"),
        ("2026-01-01", "2026-01-01"),
        ("12", 12),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("~", None),
        ("'12'", "12"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: yes}}", {"a": {"b": "yes"}}),
    ],
)
def test_where_anything_is_welcome_the_rules_of_json_decide(value: str, expected: object) -> None:
    assert right(f"name: x\nanything: {value}")["anything"] == expected


def test_an_unknown_field_is_named_with_line_column_and_the_field_that_was_meant() -> None:
    assert wrong("name: x\ninner:\n  a:\n    sice: 3\n") == ["f.yaml:4:5: inner.a.sice: unknown field; did you mean 'size'?"]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    lines = wrong("inner:\n  a: {size: 0, flag: yes}\n  b: 7\nwords: [red, grene]\nmaybe: soon\ntoken: hunter2\n")
    assert lines == [
        "f.yaml:1:1: `name` is missing",
        "f.yaml:2:13: inner.a.size: expected `int` >= 1",
        "f.yaml:2:22: inner.a.flag: expected true or false, found text; write true or false",
        "f.yaml:3:6: inner.b: expected settings (size, flag, ratio), found a number",
        "f.yaml:4:14: words[1]: not one of the words known here; did you mean 'green'?",
        "f.yaml:5:8: maybe: expected a whole number, found text",
        "f.yaml:6:8: token: a secret is never written here; refer to it as ${env:NAME} or ${file:PATH}",
    ]


def test_a_literal_secret_is_refused_without_being_repeated() -> None:
    assert "hunter2" not in "".join(wrong("name: x\ntoken: hunter2"))


def test_a_reference_is_welcome_where_a_secret_is_wanted_and_an_escaped_one_is_none() -> None:
    assert right("name: x\ntoken: Bearer ${env:T}")["token"] == "Bearer ${env:T}"
    assert wrong("name: x\ntoken: $${env:T}")


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    assert wrong("name: x\ninner:\n  a: {}\n  b: {}\n  a: {size: 2}\n") == [
        "f.yaml:5:3: inner.a: stands twice; first on line 3. Rename or remove one"
    ]


def test_a_union_takes_either_form() -> None:
    assert right("name: x\neither: all")["either"] == "all"
    assert right("name: x\neither: [a, 1]")["either"] == ["a", "1"]
    assert "did you mean 'all'" in wrong("name: x\neither: al")[0]


def test_merge_keys_bring_in_what_is_not_there_yet() -> None:
    plain = right("name: x\ninner:\n  a: &a {size: 5, ratio: 1}\n  b:\n    <<: *a\n    size: 6\n")
    assert plain["inner"]["b"] == {"size": 6, "ratio": 1.0}


def test_an_alias_to_its_own_surroundings_is_refused() -> None:
    assert any("alias" in line for line in wrong("name: x\nanything: &a [*a]\n"))
    assert any("alias" in line for line in wrong("name: x\ninner:\n  a: &a\n    <<: *a\n"))


@pytest.mark.slow
def test_aliases_that_multiply_end_at_a_limit() -> None:
    layers = ["anything:", "  - &l0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any(f"{NODE_LIMIT:,}" in line for line in wrong("name: x\n" + "\n".join(layers)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("[1, 2]", "expected settings"),
        ("name: x\n\tinner: 1", "spaces, not with tabs"),
        ("name: {a: ${env:X}}", "quotes"),
        ("name: [", "no valid YAML"),
        ("a: 1\n---\nb: 2", "no valid YAML"),
        ("name: !!python/object:os.system x", "tag"),
        ("name: !secret x", "tag"),
        ("name: \x00", "control character"),
        ("? [a]\n: 1", "key must be text"),
    ],
)
def test_a_file_that_is_no_settings_says_what_it_is(text: str, said: str) -> None:
    lines = wrong(text)
    assert any(said in line for line in lines), lines
    assert all(line.startswith("f.yaml:") for line in lines)


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("http://localhost:8080/hook", True),
        ("sqlite:///warehouse.db", True),
        ("https://user:pw@x.example/hook", False),
        ("https://x.example/hook?sig=abc", False),
        ("postgresql://u:${env:PW}@db/x", True),
    ],
)
def test_an_address_may_be_written_out_while_nothing_in_it_is_secret(address: str, fine: bool) -> None:
    _, lines = read(f"name: x\naddress: {address}")
    assert (lines == []) is fine
    assert "pw@" not in "".join(lines)


def test_of_secret_headers_each_value_is_a_reference() -> None:
    assert right("name: x\nheaders: {A: '${env:A}'}")["headers"] == {"A": "${env:A}"}
    assert wrong("name: x\nheaders: {A: '${env:A}', B: open}")[0].startswith("f.yaml:2:29: headers")


def test_nothing_below_a_name_is_an_empty_mapping() -> None:
    assert right("name: x\ninner:\n  a:\n")["inner"] == {"a": {}}
    assert right("name: x\ninner:\n")["inner"] == {}
