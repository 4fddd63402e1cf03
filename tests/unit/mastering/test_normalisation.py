"""Values that mean the same are brought into one form; what is no evidence makes no key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.canonical import canonical
from goldwire.mastering.keys import KeyMaker
from goldwire.mastering.model import Attribute, EntityType, MatchRule
from goldwire.mastering.normalisation import DEFAULT, NORMALISERS, normalised, soundex, stepwise

values = st.one_of(st.text(), st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none())


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Robert", "R163"), ("Rupert", "R163"), ("Rubin", "R150"), ("Ashcraft", "A261"), ("Ashcroft", "A261"),
        ("Tymczak", "T522"), ("Pfister", "P236"), ("Honeyman", "H555"), ("Lee", "L000"), ("Jürgen", "J625"), ("42", ""),
    ],
)  # fmt: skip
def test_soundex_agrees_with_the_national_archives(name: Any, code: Any) -> None:
    assert soundex(name) == code


@given(values)
def test_normalising_twice_is_normalising_once(value: Any) -> None:
    once = normalised(canonical(value), DEFAULT)
    assert normalised(canonical(once), DEFAULT) == once


@given(st.one_of(values, st.text(st.characters(max_codepoint=127)), st.lists(st.text(st.characters(max_codepoint=127)))))
def test_the_quick_way_comes_to_what_the_steps_come_to(value: Any) -> None:
    if value is not None:
        assert normalised(canonical(value), DEFAULT) == stepwise(canonical(value), DEFAULT)


@given(st.text())
def test_case_and_punctuation_do_not_matter(text: Any) -> None:
    if text.upper().lower() == text.lower():  # not so for a few letters, such as the dotted capital I
        assert normalised(canonical(text.lower()), DEFAULT) == normalised(canonical(f" -{text.upper().lower()}. "), DEFAULT)


@given(st.text(), st.sampled_from(sorted(NORMALISERS)))
def test_every_normaliser_takes_every_text(text: Any, name: Any) -> None:
    assert isinstance(normalised(canonical(text), (name,)), str)


def test_steps_apply_in_order_and_a_prefix_last() -> None:
    assert normalised(b'"Lovelace, Ada"', ("casefold", "sorted_words", "alphanumeric"), 6) == "adalov"
    assert normalised(b'"+49 (30) 12-34"', ("digits",)) == "49301234"
    assert normalised('"\u0664\u0669 / \u0966\u0967 x"'.encode(), ("digits",)) == "4901"  # Arabic and Devanagari digits
    assert normalised(b'"  x"', ("exact",)) == "  x"
    assert normalised(b"1953", DEFAULT) == normalised(b'"1953"', DEFAULT)


def maker(*rules: MatchRule) -> Any:
    names = ("a", "b")
    return KeyMaker("Customer", EntityType(attributes={name: Attribute() for name in names}, match=rules))


def claims(**values: Any) -> Any:
    return {name: ("2026", 1.0, canonical(value)) for name, value in values.items()}


def test_keys_have_16_bytes_and_missing_parts_make_none() -> None:
    made = maker(MatchRule("both", ("a", "b")), MatchRule("one", ("a",)))
    key, other = made.keys(claims(a="x", b="y"), "crm")
    assert len(key) == len(other) == 16
    assert made.keys(claims(a="x"), "crm") == [None, other]
    assert made.keys(claims(a="x", b=" "), "crm") == [None, other]


def test_parts_do_not_flow_into_one_another_nor_rules_nor_types() -> None:
    made = maker(MatchRule("both", ("a", "b")))
    assert made.keys(claims(a="ab", b="c"), "crm") != made.keys(claims(a="a", b="bc"), "crm")
    two = maker(MatchRule("a", ("a",)), MatchRule("b", ("b",))).keys(claims(a="x", b="x"), "crm")
    assert two[0] != two[1]


def test_renaming_a_rule_or_listing_its_attributes_otherwise_keeps_its_keys() -> None:
    said = claims(a="x", b="y")
    assert maker(MatchRule("old", ("a", "b"))).keys(said, "crm") == maker(MatchRule("new", ("b", "a"))).keys(said, "crm")


def test_an_attribute_that_is_named_twice_counts_once_and_two_types_share_no_key() -> None:
    twice, once = maker(MatchRule("one", ("a", "a"))), maker(MatchRule("one", ("a",)))
    said = claims(a="x")
    assert twice.keys(said, "crm") == once.keys(said, "crm")
    rule = (MatchRule("one", ("a",)),)
    keys = [KeyMaker(name, EntityType({"a": Attribute()}, match=rule)).keys(said, "crm") for name in ("Customer", "Company")]
    assert keys[0] != keys[1]


def test_each_rule_has_its_own_placeholders_also_where_two_compare_the_same() -> None:
    made = maker(
        MatchRule("usual", ("a",)), MatchRule("none", ("a",), default_placeholders=False),
        MatchRule("more", ("a",), placeholders=("nobody",)),
    )  # fmt: skip
    assert [key is not None for key in made.keys(claims(a="N/A"), "crm")] == [False, True, False]
    assert [key is not None for key in made.keys(claims(a="Nobody"), "crm")] == [True, True, False]
    assert [key is not None for key in made.keys(claims(a=None), "crm")] == [False] * 3


@pytest.mark.parametrize(("one", "other"), [("\u03d2", "\u03c5"), ("\u1e96", "H\u0331"), ("\ufb01", "FI")])
def test_letters_that_only_several_steps_bring_into_one_form_are_equal(one: str, other: str) -> None:
    assert normalised(canonical(one), ("casefold",)) == normalised(canonical(other), ("casefold",))


def test_words_are_sorted_and_stay_words() -> None:
    assert normalised(b'"  b  a c "', ("sorted_words",)) == "a b c"
    assert normalised(b"null", ("exact",)) == ""


def test_soundex_takes_compatible_letters_as_what_they_stand_for() -> None:
    assert soundex("\uff32\uff4f\uff42\uff45\uff52\uff54") == "R163"  # fullwidth
