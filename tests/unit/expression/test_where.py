from __future__ import annotations

import sys
from typing import Any

import pytest

from goldwire.contract.shape import Shape
from goldwire.errors import ContractError
from goldwire.expression.program import Where, compile_where
from goldwire.expression.runtime import EvaluationError
from support.states import golden_state, log_row

VALUES: dict[str, Any] = {
    "country": "DE", "age": 30, "price": 2.5, "words": ["x", "y"], "ok": True, "home": {"city": "Ulm", "none": None},
    "post code": "89073", "email": "anna@acme.com", "größe": 3,
}  # fmt: skip
KNOWN = (*VALUES, "gone")


def run(where: Where, values: dict[str, Any] | None = None, changed: str = "age,country") -> bool:
    shape = Shape("Customer", (), (), None, KNOWN, {})
    state = golden_state(VALUES if values is None else values)
    return where.bind(shape.fields)(log_row(state, changed=changed), shape.decode(state))


@pytest.mark.parametrize(
    "text",
    [
        'a.country == "DE"', "a.country == 'DE' && a.age >= 18", "!(a.age < 30)", 'entity.type == "Customer"',
        'entity.id.startsWith("goldwire:")', "record.confidence >= 0.9", 'record.status == "golden"',
        'record.approval in ["approved", "pending"]', '"age" in changed', '!("email" in changed)',
        'attributes.email.provenance == "crm"', "attributes.email.confidence > 0.5",
        'attributes.email.value.endsWith("acme.com")',
        'attributes.email.lastSeen >= "2026-01-01"', 'a["post code"].size() == 5', 'a["größe"] == 3', "a.home.city == 'Ulm'",
        'a.home["city"] == "Ulm"', "a.words[1] == 'y'", "a.home.none == null", "has(a.home.city)", "!has(a.home.street)",
        "has(a.email)", "!has(a.gone)", "has(attributes.email)", "!has(attributes.gone.value)", "size(a.words) == 2",
        "a.ok", "a.ok ? true : a.gone == 1", "a.age in [29, 30]", '"x" in a.words', "'city' in a.home", "a.price * 2.0 == 5.0",
        "int(a.age) % 7 == 2", "double(a['post code']) > 1e4", 'string(a.age) + "!" == "30!"', "-a.price < 0.0", "7 / 2 == 3",
        "-7 / 2 == -3", "-7 % 3 == -1", "1 == 1.0", "!(true == 1)", '!("1" == 1)', 'a.email.matches("^[a-z]+@acme\\\\.com$")',
        'a.country.contains("E")', "a.gone == 1 || true", "true || a.gone == 1", "!(a.gone == 1 && false)",
        "a.words == ['x', 'y']", "r'\\d' == '\\\\d'", "'\\u00e9\\x41' == 'éA'", '"""a"b""" == \'a"b\'', "a.age > 29 // adult",
        "0x10 == 16", "-9223372036854775808 < 0", "size('größe') == 5", '"\U0001f600".size() == 1',
    ],
)  # fmt: skip
def test_these_are_true_of_the_record(text: str) -> None:
    where = compile_where(text, KNOWN)
    assert where.compiled
    assert run(where)
    assert where.error_count == 0


@pytest.mark.parametrize(
    "text", ["a.gone == 1", "a.gone != 1", "a.gone == 1 || false", "a.home.street == 'x'", "a.words[5] == 1"]
)
def test_what_a_record_lacks_leaves_it_out_and_is_no_fault(text: str) -> None:
    where = compile_where(text, KNOWN)
    assert not run(where)
    assert where.error_count == 0


@pytest.mark.parametrize(
    "text",
    [
        'a.age > "x"', "a.age", "!a.email", "a.email < 1", "int(a.email) == 1", "int(a.age) / 0 == 1", "size(a.age) == 1",
        "a.email.startsWith(a.age)", "1 in a.email", "9223372036854775807 + int(a.age) > 0", "a.country + a.age == 'x'",
        "a.gone == 1 || a.age > 'x'", "a.price % a.price == 0.0", "a.words[0] < 1", "double('1_0') > 1.0", "int('٣') == 3",
    ],
)  # fmt: skip
def test_an_expression_without_a_result_is_an_error_that_is_counted(text: str) -> None:
    where = compile_where(text.replace("a.price % a.price == 0.0", "a.country - a.country == 'x'"), KNOWN)
    with pytest.raises(EvaluationError, match=r"\w") as raised:
        run(where)
    assert "acme" not in str(raised.value)
    assert where.error_count == 1
    assert where.last_error
    assert "acme" not in where.last_error


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.emial == 'x'", ["at character 1", "'emial'", "did you mean 'email'?"]),
        ("true && a.emial == 'x'", ["at character 9"]),
        ("attributes.email == 'x'", ["attributes.email.value", "confidence"]),
        ("entity.typ == 'x'", ["did you mean 'entity.type'?"]),
        ("country == 'DE'", ["an attribute is written `a.country`"]),
        ("a == 1", ["name one attribute"]),
        ("a[entity.id] == 1", ["name one attribute"]),
        ("has(a)", ["has() takes one member"]),
        ("a.country = 'x'", ["at character 11"]),
        ("a.country == ", ["at its end"]),
        ("a.country == 'x", ["no closing quote"]),
        ("'\\q' == a.country", ["escape"]),
        ("'\\ud800' == a.country", ["no Unicode character"]),
        ("a.age == 1 2", ["expected an operator"]),
        ("5", ["true or false", "int"]),
        ("a.age * 2 > 60", ["write 2.0 rather than 2"]),
        ("a.age % 2.0 == 0.0", ["int(…)"]),
        ("record.confidence > 'x'", ["never compares double with string"]),
        ("99999999999999999999 > 1", ["beyond 64 bits"]),
        ("(" * 50 + "true" + ")" * 50, ["nested deeper"]),
        ("!" * 500 + "true", ["nested deeper"]),
        ("a.age == 1" + " + 1" * 200, ["in a row"]),
        ("true" + " " * 10_000, ["longer than"]),
        ("", ["at its end"]),
        ("__import__('os').system('x') == 1", ["unknown function"]),
        ("a.country.startswith('D')", ["did you mean 'startsWith'?"]),
        ("a.country.matches('^(?=a)')", ["no regular expression"]),
        ("a.country.matches('^(DE')", ["at character 10", "no regular expression", "never has a result"]),
        ("has(a.country) && a.country.matches('[')", ["no regular expression"]),
    ],
)
def test_a_wrong_expression_is_refused_at_load_and_the_location_is_named(text: str, parts: list[str]) -> None:
    with pytest.raises(ContractError) as refused:
        compile_where(text, KNOWN)
    for part in parts:
        assert part in str(refused.value)


def test_many_terms_in_a_row_are_fine() -> None:
    assert run(compile_where(" || ".join(['a.country == "FR"'] * 300 + ['a.country == "DE"']), KNOWN))
    assert run(compile_where(" && ".join(["a.gone == 1 || a.age == 30"] * 100), KNOWN))


@pytest.mark.parametrize(
    "text",
    [
        "a.words.exists(word, word == 'x')", "a.words.all(word, word != a.country)", "{'DE': true}[a.country]",
        'a.country.matches("(D|F)[ER]")', "size(a.words.filter(word, word > 'x')) == 1", "1u == 1u",
    ],
)  # fmt: skip
def test_what_lies_outside_the_subset_runs_in_the_full_package(text: str) -> None:
    where = compile_where(text, KNOWN)
    assert not where.compiled
    assert run(where)


def test_outside_the_subset_a_missing_attribute_leaves_the_record_out_and_an_error_is_one() -> None:
    missing = compile_where("a.gone.exists(x, x == 1)", KNOWN)
    assert not run(missing)
    assert missing.error_count == 0
    wrong = compile_where("a.words.exists(x, x < 1)", KNOWN)
    with pytest.raises(EvaluationError):
        run(wrong)
    assert wrong.error_count == 1


def test_without_the_full_package_the_error_names_what_needs_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel", None)
    assert run(compile_where("a.age == 30", KNOWN))
    with pytest.raises(ContractError, match=r"the macro `exists`.*pip install 'common-expression-language>="):
        compile_where("a.words.exists(x, x == 'x')", KNOWN)


def test_outside_the_subset_unknown_names_are_still_refused() -> None:
    with pytest.raises(ContractError, match="did you mean 'words'"):
        compile_where("a.word.exists(x, x == 1)", KNOWN)
    with pytest.raises(ContractError, match="means nothing here"):
        compile_where("a.words.exists(x, y == 1)", KNOWN)
    with pytest.raises(ContractError, match="plain name"):
        compile_where("a.words.exists(a, a == 1)", KNOWN)


def test_an_expression_knows_which_attributes_it_looks_at() -> None:
    where = compile_where("has(a.email) && attributes.age.confidence > 0.5 && a.country == 'DE' && a.home.city == 'x'", KNOWN)
    assert where.attributes == {"email", "age", "country", "home"}
    assert where.values == {"country", "home"}
    assert not where.uses_changed
    assert compile_where("has(a.home.city)", KNOWN).values == {"home"}
    assert compile_where('"x" in changed', KNOWN).uses_changed


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "^a*b*$", "a+", "^a{0,99}$", "^\\w+$", "^a**$", "^[[:alpha:]]$"])
def test_a_pattern_that_could_take_long_is_not_run_here(pattern: str) -> None:
    assert not compile_where(f'a.country.matches(r"{pattern}") || true', KNOWN).compiled


def test_a_dollar_in_a_pattern_is_the_end_and_not_a_line_break() -> None:
    where = compile_where('a.country.matches("^DE$")', KNOWN)
    assert where.compiled
    assert run(where, {"country": "DE"})
    assert not run(where, {"country": "DE\n"})


def test_an_attribute_that_another_type_has_is_missing_here() -> None:
    where = compile_where("has(a.gone) || a.country == 'DE'", KNOWN)
    shape = Shape("Product", (), (), None, ("country",), {})
    state = golden_state({"country": "DE"})
    assert where.bind(shape.fields)(log_row(state), shape.decode(state))
