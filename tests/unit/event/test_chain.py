from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.canonical import MAX_DEPTH
from goldwire.changelog.rows import Control
from goldwire.contract.compiled import CompiledContract
from goldwire.event.chain import Verifier, verify
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from support.states import control_after, golden_state, log_row

Make = Callable[..., CompiledContract]


@pytest.fixture(scope="session")
def chain(make: Make) -> Callable[..., list[bytes]]:
    """Seal so many versions of one entity."""
    contract = make()

    def build(count: int, entity_id: str = "e1", value: Any = "Ulm") -> list[bytes]:
        held: Control | None = None
        found = []
        for version in range(1, count + 1):
            state = golden_state({"city": value, "hash": version})
            event = seal(contract, log_row(state, version=version, entity_id=entity_id), held, None)
            assert isinstance(event, SealedEvent)
            held = control_after(event)
            found.append(event.body)
        return found

    return build


Chain = Callable[..., list[bytes]]


def kinds(lines: list[bytes], **options: Any) -> list[tuple[int, str]]:
    result, findings = verify(lines, **options)
    assert result.findings == len(findings)
    assert result.whole is (not findings)
    return [(one.line, one.kind) for one in findings]


def test_whole_chains_of_several_entities_hold(chain: Chain) -> None:
    lines = [line for pair in zip(chain(5, "e1"), chain(5, "e2"), strict=True) for line in pair]
    result, findings = verify([*lines, b"", b"\n"])
    assert findings == []
    assert (result.events, result.entities, result.repeated, result.whole) == (10, 2, 0, True)


def test_an_identical_resend_is_no_fault_wherever_it_stands(chain: Chain) -> None:
    one, two, three = chain(3)
    result, findings = verify([one, one, two, three, two, one])
    assert findings == []
    assert result.repeated == 3


def test_another_spacing_and_order_of_members_is_the_same_event(chain: Chain) -> None:
    lines = [json.dumps(dict(reversed(json.loads(line).items())), indent=1).encode() for line in chain(3)]
    assert kinds(lines) == []


def test_an_altered_value_is_found_in_its_line(chain: Chain) -> None:
    one, two, three = chain(3)
    assert kinds([one, two.replace(b'"Ulm"', b'"Bonn"'), three]) == [(2, "altered")]


def test_an_event_altered_and_hashed_anew_breaks_the_chain_behind_it(chain: Chain, make: Make) -> None:
    one, two, three = chain(3)
    before = json.loads(one)
    held = Control("e1", 1, 1, "in", bytes.fromhex(before["hash"][7:]), None, None, 1, None, "", "delivered")
    forged = seal(make(), log_row(golden_state({"city": "Bonn"}), version=2, entity_id="e1"), held, None)
    assert isinstance(forged, SealedEvent)
    assert kinds([one, forged.body, three]) == [(3, "missing")]
    assert kinds([one, two, three]) == []


def test_a_missing_event_is_found_at_the_one_after_it(chain: Chain) -> None:
    one, two, three, four = chain(4)
    assert kinds([one, three, four]) == [(2, "missing")]
    assert kinds([two, three]) == [(1, "missing")]
    assert kinds([two, three], from_the_start=False) == []


def test_swapped_events_are_found(chain: Chain) -> None:
    one, two, three, four = chain(4)
    assert kinds([one, three, two, four]) == [(2, "missing"), (3, "reordered")]
    assert kinds([two, one, three]) == [(1, "missing"), (2, "reordered")]


def test_a_chain_that_begins_again_is_found(chain: Chain) -> None:
    other = chain(1, value="Kiel")[0].replace(b'"version":1', b'"version":9')
    assert (4, "restarted") in kinds([*chain(3), other])


def test_after_a_chain_that_begins_again_its_events_are_held_against_the_new_one(chain: Chain) -> None:
    [one], others = chain(1), chain(3, value="Kiel")
    assert kinds([one, *others]) == [(2, "restarted")]  # the second has the version of the first


def test_the_findings_say_what_is_wrong_in_words(chain: Chain) -> None:
    one, two, three, four = chain(4)
    other = chain(1, value="Kiel")[0]

    def said(*lines: bytes) -> list[str]:
        return [finding.text for finding in verify(lines)[1]]

    assert said(two) == ["it names a predecessor, and there is none: the beginning is missing"]
    assert said(two, one)[1] == "it belongs before line 1, which names it as its predecessor"
    lost = "its predecessor is not the event in line 1: at least one event between is missing or was altered"
    assert said(one, four) == [lost]
    assert said(one, three, other) == [lost, "version 3 came before it, in line 2"]
    assert said(one, other) == ["it begins a new chain, though line 1 has an event before it"]
    assert said(one.replace(b'"Ulm"', b'"Bonn"')) == ["its content does not have the hash that it states"]
    assert said(b"{") == ["cannot be read as an event: no JSON in UTF-8"]


def test_a_finding_names_its_entity_and_version(chain: Chain) -> None:
    one, two = chain(2)
    other, later = chain(1, value="Kiel")[0], chain(1, value="Bern")[0].replace(b'"version":1', b'"version":9')
    found = verify([two, one, one.replace(b'"Ulm"', b'"Bonn"'), b"{", other, later])[1]
    assert [(each.line, each.kind, each.entity_id, each.version) for each in found] == [
        (1, "missing", "e1", 2),
        (2, "reordered", "e1", 1),
        (3, "altered", "e1", 1),
        (4, "unreadable", None, None),
        (5, "reordered", "e1", 1),
        (6, "altered", "e1", 9),
        (6, "restarted", "e1", 9),
    ]


@pytest.mark.parametrize("word", ["top secret", "top\\nsecret", "it's"])
def test_a_word_that_is_not_known_is_not_quoted(chain: Chain, word: str) -> None:
    [one] = chain(1)
    [finding] = verify([one.replace(b"EntityChanged", word.encode())])[1]
    assert finding.text == "cannot be read as an event: no event: a word that is not known here - at `$.eventType`"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"version":1', b'"version":0'),
        (b'"version":1', b'"version":1.5'),
        (b'","payload"', b'\\n","payload"'),  # a hash with a line's end behind it
        (b'"hash":"sha256:', b'"hash":"sha256:0'),
        (b'"previousHash":null', b'"previousHash":"sha256:0"'),
        (b"cluedin-1.0", b"cluedin-2.0"),
    ],
)
def test_a_header_that_is_not_as_the_wire_says_is_unreadable(chain: Chain, before: bytes, after: bytes) -> None:
    [one] = chain(1)
    assert before in one
    assert kinds([one.replace(before, after)]) == [(1, "unreadable")]


def test_a_member_that_is_missing_is_named(chain: Chain) -> None:
    [one] = chain(1)
    [finding] = verify([one.replace(b'"version"', b'"edition"')])[1]
    assert finding.text == "cannot be read as an event: no event: Object missing required field `version`"


def test_a_version_that_does_not_rise_is_found(chain: Chain, make: Make) -> None:
    one, two = chain(2)
    held = Control("e1", 2, 2, "in", bytes.fromhex(json.loads(two)["hash"][7:]), None, None, 1, None, "", "delivered")
    again = seal(make(), log_row(golden_state({"city": "x"}), version=2, entity_id="e1"), held, None)
    assert isinstance(again, SealedEvent)
    assert kinds([one, two, again.body]) == [(3, "version")]
    [finding] = verify([one, two, again.body])[1]
    assert (finding.entity_id, finding.version, finding.text) == ("e1", 2, "its version does not rise above 2")


@pytest.mark.parametrize(
    "text",
    [
        b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"{}", b"<html>", b"[" * 100_000, b'{"entityId":1}', b"\x00",
        b'{"entityId":"e","version":0,"hash":"sha256:x","previousHash":null,"eventType":"EntityChanged","specVersion":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_reported_and_the_rest_is_still_read(chain: Chain, text: bytes) -> None:
    one, two = chain(2)
    assert kinds([one, text, two]) == [(2, "unreadable")]


def test_a_member_that_stands_twice_is_reported(chain: Chain) -> None:
    [one] = chain(1)
    doubled = one.replace(b'{"changes"', b'{"entityType":"Other","changes"')
    [finding] = verify([doubled])[1]
    assert finding.kind == "unreadable"
    assert "stands twice" in finding.text


def test_a_finding_never_shows_a_value(chain: Chain) -> None:
    lines = [line.replace(b'"Ulm"', b'"top secret"') for line in chain(3)] + [b'{"entityId":"top secret"}', b'"top secret"']
    _, findings = verify(lines)
    assert len(findings) == 5
    assert "top secret" not in " ".join(one.text for one in findings)


@pytest.mark.parametrize("value", [1e16, 2.0**53, 1e300, -1e20, 5e-324, 2**53 - 1])
def test_large_numbers_verify_as_the_doubles_they_are(chain: Chain, value: float) -> None:
    assert kinds(chain(2, value=value)) == []


@pytest.mark.parametrize("inside", [b"", b"1,-3,0,10000000000000000"])
def test_the_deepest_value_that_can_be_captured_verifies(make: Make, inside: bytes) -> None:
    value = b"[" * MAX_DEPTH + inside + b"]" * MAX_DEPTH
    state = golden_state({"city": "HERE"}).replace(b'"HERE"', value)
    event = seal(make(), log_row(state), None, None)
    assert isinstance(event, SealedEvent)
    assert kinds([event.body]) == []


def test_rotated_files_verify_as_one_stream(chain: Chain) -> None:
    lines = chain(6)
    verifier = Verifier()
    assert list(verifier.check(lines[:3])) == []
    assert list(verifier.check(lines[3:])) == []
    assert verifier.result.events == 6


@given(seed=st.integers(0, 2**32), count=st.integers(3, 12))
def test_any_deletion_but_that_of_the_last_any_swap_and_any_alteration_is_found(chain: Chain, seed: int, count: int) -> None:
    lines = chain(count)
    chance = random.Random(seed)
    index = chance.randrange(count - 1)
    assert kinds(lines[:index] + lines[index + 1 :]) == [(index + 1, "missing")]
    other = chance.choice([one for one in range(count) if one != index])
    swapped = list(lines)
    swapped[index], swapped[other] = swapped[other], swapped[index]
    assert "reordered" in dict(map(reversed, kinds(swapped)))  # type: ignore[call-overload]
    altered = list(lines)
    position = chance.randrange(len(lines[index]))
    byte = altered[index][position]
    altered[index] = altered[index][:position] + bytes([byte ^ (1 << chance.randrange(7))]) + altered[index][position + 1 :]
    assert kinds(altered) != []


def test_findings_name_the_other_file_where_the_line_is_in_another(chain: Chain) -> None:
    one, two, three, four = chain(4)
    verifier = Verifier()
    assert list(verifier.check([one, two], "a.jsonl")) == []
    [lost] = verifier.check([four], "b.jsonl")
    assert "the event in line 2 of a.jsonl" in lost.text
    [late] = verifier.check([b"", three], "c.jsonl")
    assert "before line 1 of b.jsonl" in late.text


def test_files_of_two_targets_are_told_as_such(chain: Chain) -> None:
    verifier = Verifier()
    assert list(verifier.check(chain(1, value="Ulm"), "a.jsonl")) == []
    [finding] = verifier.check(chain(1, value="Bonn"), "b.jsonl")
    assert finding.kind == "restarted"
    assert "line 1 of a.jsonl" in finding.text
    assert "verify each alone" in finding.text
