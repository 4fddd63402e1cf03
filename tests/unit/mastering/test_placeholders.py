"""Values that say nothing are no evidence, whatever rule looks at them; what says something always is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.canonical import canonical
from goldwire.mastering.model import Attribute, EntityType, MatchRule, Model
from goldwire.mastering.placeholders import WORDS, Placeholders

EVERYBODYS = Placeholders()


@pytest.mark.parametrize(
    "value",
    ["", " ", "NULL", "null", "N/A", "n/a", " n/a ", "-", "--", "?", "…", "NaN", "None", "none", "UNKNOWN", "none@none.com",
     "Test@x.org", "000", "0", "+00 (0) 00", 0, 0.0, None, [], {}, "1900-01-01", "1900-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_everybody_writes_for_nothing_says_nothing(value: Any) -> None:
    assert EVERYBODYS.holds(canonical(value))


@pytest.mark.parametrize(
    "value",
    ["Ann", "Na", "Nancy", "Nonett", "Nullmeyer", "unknown soldier", "tester@x.org", "10", "+49 30 1", "1900-01-02", "Ünal",
     "山田", "é", True, 1, 0.5, [0, "a"], {"a": 0}],
)  # fmt: skip
def test_what_says_something_is_evidence(value: Any) -> None:
    assert not EVERYBODYS.holds(canonical(value))


def plainly(value: str, words: tuple[str, ...], *, defaults: bool) -> bool:
    """The same without any short cut."""
    text = value.strip().casefold()
    if not text or (defaults and not any(each.isalnum() and each != "0" for each in text)):
        return True
    return any(
        re.fullmatch(".*".join(re.escape(part) for part in word.casefold().split("*")), text, re.DOTALL)
        for word in (*(WORDS if defaults else ()), *words)
    )


pieces = st.sampled_from(["n/a", "NONE@", "unknown", "zzz", "Zz", "Ä", "ä", "x", "@", "0", "1900-01-01", " ", '"', "\n", "²"])
texts = st.lists(pieces, max_size=3).map("".join)


@given(texts, st.lists(st.sampled_from(["zzz", "ä*", "*@x", "x*x", "K"]), max_size=2).map(tuple), st.booleans())
def test_the_short_cut_changes_nothing(value: str, words: tuple[str, ...], defaults: bool) -> None:
    assert Placeholders(words, defaults=defaults).holds(canonical(value)) == plainly(value, words, defaults=defaults)


def test_a_rule_may_do_without_the_list_and_a_system_may_have_its_own(new_hub: Any) -> None:
    match = (MatchRule("name", ("name",), placeholders=("nobody",), default_placeholders=False),)
    model = Model(
        {"Customer": EntityType({"name": Attribute()}, match=match)}, placeholders={"Customer": {"crm": ("zz*",)}}
    )  # fmt: skip
    hub = new_hub(model)
    names = ["Null", "Null", "Nobody", "Nobody", "zz top", "zz top"]
    result = hub.apply(*[hub.fact("crm", str(number), 0, name=name) for number, name in enumerate(names)])
    assert (len(hub.golden()), result.joined) == (5, 1), "one is called Null, and that is a name"
    hub.apply(hub.fact("erp", "1", 0, name="zz top"), hub.fact("erp", "2", 0, name="zz top"))
    assert hub.entity_of("erp", "1") == hub.entity_of("erp", "2"), "the other system means it"


def test_the_most_shared_keys_are_named_without_their_values(hub: Any) -> None:
    many = [hub.fact("crm", str(number), 0, email="info@firm.example") for number in range(120)]
    result = hub.apply(*many, *[hub.fact("erp", str(number), 0, email="ann@x.example") for number in range(3)])
    first, second = result.shared
    assert (first.rule, first.records, first.is_evidence) == ("email", 120, False)
    assert (second.rule, second.records, second.is_evidence) == ("email", 3, True)
    assert second.entity_id == hub.entity_of("erp", "1")
    assert result.joined == 2
    assert "firm" not in repr(result.shared)
    again = hub.apply(hub.fact("web", "1", 0, email="ann@x.example"))
    assert [(each.key, each.records) for each in again.shared] == [(second.key, 4)]


def test_how_many_joined_does_not_depend_on_the_batches(new_hub: Any) -> None:
    counts = set()
    for size in (1, 7, 50):
        hub = new_hub()
        facts = [hub.fact("crm", str(number), 0, email=f"{number % 9}@x.example") for number in range(50)]
        results = [hub.apply(*facts[start : start + size]) for start in range(0, 50, size)]
        counts.add((sum(each.joined for each in results), max(each.records for result in results for each in result.shared)))
    assert counts == {(41, 6)}
