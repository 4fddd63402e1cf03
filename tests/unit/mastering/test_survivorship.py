"""Which value survives: rule by rule, total, and free of order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.canonical import canonical
from goldwire.mastering.survivorship import choice

RULES = ("source_priority", "most_recent", "highest_confidence", "most_frequent", "longest")


def candidate(system: Any, at: Any, confidence: Any, value: Any) -> Any:
    return (at, confidence, canonical(value)), system


FOUR = [
    candidate("crm", "2026-01-03", 0.5, "bb"),
    candidate("erp", "2026-01-01", 0.9, "c"),
    candidate("shop", "2026-01-02", 0.7, "dddd"),
    candidate("web", "2026-01-01", 0.6, "c"),
]


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        (("source_priority",), b'"dddd"'),
        (("most_recent",), b'"bb"'),
        (("highest_confidence",), b'"c"'),
        (("most_frequent",), b'"c"'),
        (("longest",), b'"dddd"'),
        ((), b'"bb"'),
    ],
)
def test_each_rule_chooses_its_own(rules: Any, value: Any) -> None:
    assert choice(rules, ("shop", "erp"))(FOUR)[0][2] == value


def test_the_next_rule_decides_where_the_first_one_ties() -> None:
    assert choice(("most_frequent", "highest_confidence"), ())(FOUR)[1] == "erp"


def test_the_systems_that_are_trusted_more_come_first_also_where_another_rule_ties() -> None:
    tied = [candidate(system, "2026", 0.9, system) for system in ("crm", "erp", "web")]
    assert choice(("highest_confidence", "source_priority"), ("erp", "crm"))(tied)[1] == "erp"
    assert choice(("highest_confidence", "source_priority"), ("web",))(tied)[1] == "web"


def test_longest_counts_characters_not_bytes() -> None:
    pair = [candidate("a", "2026", 1.0, "éé"), candidate("b", "2026", 1.0, "eee")]
    assert choice(("longest",), ())(pair)[1] == "b"
    pair = [candidate("a", "2026", 1.0, '""'), candidate("b", "2026", 1.0, "eee")]
    assert choice(("longest",), ())(pair)[1] == "b"


def test_a_full_tie_goes_to_the_first_by_system_and_id() -> None:
    same = [candidate(system, "2026", 1.0, value) for system, value in (("a", "x"), ("a", "y"), ("b", "z"))]
    for rule in RULES:
        assert choice((rule,), ())(same) is same[0]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.sampled_from([0.5, 1.0]), st.sampled_from(["x", "yy"])),
        min_size=1,
    ),
    st.lists(st.sampled_from(RULES), unique=True),
)
def test_the_winner_is_a_candidate_that_the_first_rule_ranks_highest(said: Any, rules: Any) -> None:
    candidates = [candidate(*each) for each in sorted(said)]
    winner = choice(rules, ("b",))(candidates)
    assert winner in candidates
    if rules[:1] == ["highest_confidence"]:
        assert winner[0][1] == max(each[0][1] for each in candidates)
    if rules[:1] in ([], ["most_recent"]):
        assert winner[0][0] == max(each[0][0] for each in candidates)


def test_the_most_confident_of_the_most_recent_wins_wherever_it_stands() -> None:
    tied = [candidate(system, "2026", confidence, system) for system, confidence in (("a", 0.5), ("b", 0.9), ("c", 0.7))]
    assert choice(("most_recent",), ())(tied)[1] == "b"
    assert choice(("longest",), ())(tied)[1] == "b"


def test_another_rule_after_the_most_recent_decides_between_those_of_one_time() -> None:
    tied = [candidate("a", "2026", 0.9, "x"), candidate("b", "2026", 0.5, "xxx")]
    assert choice(("most_recent", "longest"), ())(tied)[1] == "b"
    assert choice(("most_recent", "highest_confidence"), ())(tied)[1] == "a"


def test_between_two_records_of_the_system_that_is_trusted_most_the_next_rule_decides() -> None:
    listed = [
        candidate("crm", "2025", 1.0, "old"),
        candidate("crm", "2026", 1.0, "new"),
        candidate("erp", "2027", 1.0, "newest"),
    ]
    assert choice(("source_priority",), ("crm",))(listed)[0][2] == b'"new"'


def test_how_often_a_value_is_said_counts_what_all_say_and_not_only_those_that_are_left() -> None:
    listed = [candidate("crm", "2027", 1.0, "a"), candidate("crm", "2026", 1.0, "b"), candidate("erp", "2025", 1.0, "b")]
    assert choice(("source_priority", "most_frequent"), ("crm",))(listed)[0][2] == b'"b"'


def test_the_length_of_what_is_no_text_is_that_of_its_json() -> None:
    pair = [candidate("a", "2026", 1.0, 12345), candidate("b", "2026", 1.0, "sixsix")]
    assert choice(("longest",), ())(pair)[1] == "b"
    assert choice(("longest",), ())([candidate("a", "2026", 1.0, 1234567), pair[1]])[1] == "a"
