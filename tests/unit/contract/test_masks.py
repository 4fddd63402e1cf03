from __future__ import annotations

import hmac
import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from goldwire.canonical import canonical
from goldwire.contract.masks import LostKey, build_mask, detokenise
from goldwire.contract.spec import Mask, Truncate
from goldwire.errors import ConfigError, ContractError, InputError

KEYS = {"hash": b"h" * 32, "tokenise": b"t" * 32}
ALL: list[Mask] = ["redact", "hash", "tokenise", "partial", Truncate(3), Truncate(10_000)]

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(scalars | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10)


def shown(mask: Mask, value: object) -> object:
    return json.loads(build_mask(mask, "email", KEYS)(canonical(value)))


@pytest.mark.parametrize("mask", ALL, ids=str)
@given(value=values)
def test_a_mask_is_deterministic_and_gives_canonical_json(mask: Mask, value: object) -> None:
    first = build_mask(mask, "email", KEYS)(canonical(value))
    assert build_mask(mask, "email", dict(KEYS))(canonical(value)) == first
    assert canonical(json.loads(first)) == first


@pytest.mark.parametrize("mask", ["hash", "tokenise"])
@given(value=texts)
def test_nothing_clear_survives_a_hash_or_a_token(mask: Mask, value: str) -> None:
    assume(len(value) >= 6)
    assert value not in str(shown(mask, value)).removeprefix("hmac-sha256:").removeprefix("tok_")


@given(value=values)
def test_redacting_says_the_same_of_every_value(value: object) -> None:
    assert shown("redact", value) == (None if value is None else "REDACTED")


@pytest.mark.parametrize("mask", ["partial", Truncate(3), Truncate(10_000)], ids=str)
@given(value=texts)
def test_no_mask_shows_a_whole_text(mask: Mask, value: str) -> None:
    assume(value not in {"", "***"})
    assert value not in str(shown(mask, value)) or value in "***"


@pytest.mark.parametrize("count", [1, 3, 10_000])
@given(value=texts)
def test_truncating_keeps_at_most_n_characters_and_at_most_half(count: int, value: str) -> None:
    kept = shown(Truncate(count), value)
    assert isinstance(kept, str)
    assert value.startswith(kept)
    assert len(kept) <= min(count, len(value) / 2)


@given(value=st.text("ab@.c", min_size=1))
def test_partial_never_shows_more_than_the_first_letter_of_a_mailbox(value: str) -> None:
    result = str(shown("partial", value))
    if "@" in result.strip("@"):
        local, _, domain = value.partition("@")
        assert result in {f"{local[:1]}***@{domain}", f"***@{domain}"} or not value.strip("@")


@pytest.mark.parametrize(
    ("mask", "value", "expected"),
    [
        ("partial", "anna.schmidt@acme.com", "a***@acme.com"),
        ("partial", "a@acme.com", "***@acme.com"),
        ("partial", "a***@acme.com", "***"),
        ("partial", "call @ secret street 5 now", "c***w"),
        ("partial", "+49 171 1234567", "+***7"),
        ("partial", "ab@acme.com", "a***@acme.com"),
        ("partial", "Anna", "A***"),
        ("partial", "Johanna", "J***"),
        ("partial", "Johannes", "J***s"),
        ("partial", "", "***"),
        ("partial", "Bob", "***"),
        ("partial", 12345, "***"),
        ("partial", ["a", "b"], "***"),
        (Truncate(2), "89073", "89"),
        (Truncate(2), 89073, "89"),
        (Truncate(2), -89073, "-8"),
        (Truncate(9), 890733, "890"),
        (Truncate(2), 7, ""),
        (Truncate(9), None, None),
        (Truncate(9), "abcd", "ab"),
        ("partial", None, None),
        (Truncate(9), True, ""),
        (Truncate(9), ["a long text"], ""),
        (Truncate(9), {"k": "a long text"}, ""),
        (Truncate(9), "x", ""),
        (Truncate(2), "😀😃😄😅", "😀😃"),
        ("redact", False, "REDACTED"),
        ("hash", None, None),
        ("tokenise", None, None),
    ],
)
def test_known_values_are_masked_as_documented(mask: Mask, value: object, expected: object) -> None:
    assert shown(mask, value) == expected


@pytest.mark.parametrize("length", [32, 64, 65, 200])
@given(value=values)
def test_the_hash_is_hmac_sha256_over_the_canonical_bytes(length: int, value: object) -> None:
    assume(value is not None)
    key = bytes(range(length))
    clear = canonical(value)
    expected = "hmac-sha256:" + hmac.new(key, clear, "sha256").hexdigest()
    assert json.loads(build_mask("hash", "email", {"hash": key})(clear)) == expected


@given(value=values)
def test_a_token_gives_its_value_back_to_whoever_has_the_key(value: object) -> None:
    assume(value is not None)
    token = shown("tokenise", value)
    assert isinstance(token, str)
    assert detokenise(token, "email", KEYS) == canonical(value)


@pytest.mark.parametrize("length", range(6))
def test_a_token_is_one_word_whatever_the_length_of_the_value(length: int) -> None:
    assert re.fullmatch(r"tok_[A-Za-z0-9_-]+", str(shown("tokenise", "x" * length)))


def test_the_token_of_a_value_is_the_same_in_every_version() -> None:
    assert shown("tokenise", "Anna") == "tok_Sau7AngMzWSeBuzZeE-mxSQlPz8_9A"


@pytest.mark.parametrize("token", ["", "tok_", "tok_AAAA", "nothing", "tok_%%%", "tok_é", "tok_" + "A" * 60])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="email"):
        detokenise(token, "email", KEYS)


def test_a_token_is_bound_to_its_attribute_and_its_key() -> None:
    token = str(shown("tokenise", "secret text"))
    with pytest.raises(InputError):
        detokenise(token, "phone", KEYS)
    with pytest.raises(InputError):
        detokenise(token, "email", {"tokenise": b"u" * 32})


@pytest.mark.parametrize("mask", ["hash", "tokenise"])
def test_a_missing_key_names_where_to_set_it(mask: Mask) -> None:
    with pytest.raises(ContractError, match=f"keys.{mask}"):
        build_mask(mask, "email", {})


@pytest.mark.parametrize("mask", ["hash", "tokenise"])
def test_a_short_key_is_refused_without_being_shown(mask: str) -> None:
    with pytest.raises(ContractError, match="has 5 bytes") as refused:
        build_mask(mask, "email", {mask: b"k3y!!"})  # type: ignore[arg-type]
    assert "k3y!!" not in str(refused.value)
    with pytest.raises(ContractError, match=f"`keys.{mask}` has 31 bytes; give it at least 32"):
        build_mask(mask, "email", {mask: b"k" * 31})  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", ["hash", "tokenise"])
def test_a_lost_key_is_missed_only_when_there_is_something_to_mask(mask: Mask) -> None:
    function = build_mask(mask, "email", {mask: LostKey("restore it")})
    assert function(b"null") == b"null"
    with pytest.raises(ConfigError, match="restore it"):
        function(b'"ann@example.org"')
