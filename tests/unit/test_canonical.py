"""Canonical JSON equals RFC 8785, as the independent `rfc8785` package writes it."""

from __future__ import annotations

import json
import math
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from goldwire.canonical import MAX_DEPTH, MAX_INTEGER, NotPlainError, canonical, key_order

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
scalars = st.none() | st.booleans() | integers | numbers | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=30)


def as_double(digits: str) -> int | float:
    """A double of 2^53 or more is written like an integer, and a reader must take it for the double it is."""
    return int(digits) if abs(int(digits)) <= MAX_INTEGER else float(digits)


@given(values)
def test_any_plain_value_is_written_as_rfc8785_writes_it(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(st.integers(0, 2**64 - 1))
def test_every_bit_pattern_of_a_double_is_written_as_rfc8785_writes_it(bits: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    if math.isfinite(value):
        assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.slow
@given(values)
def test_writing_again_what_was_read_back_changes_nothing(value: object) -> None:
    once = canonical(value)
    assert canonical(json.loads(once, parse_int=as_double)) == once


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, b"1"), (-0.0, b"0"), (1e16, b"10000000000000000"), (1e21, b"1e+21"), (1e20, b"100000000000000000000"),
        (0.000001, b"0.000001"), (1e-7, b"1e-7"), (5e-324, b"5e-324"), (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (333333333.33333329, b"333333333.3333333"), (True, b"true"), (None, b"null"), (MAX_INTEGER, b"9007199254740991"),
        ("\u20ac$\u000f\nA'B\"\\\"/", b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\"/"'),
    ],
)  # fmt: skip
def test_known_values_are_written_as_the_standard_says(value: object, written: bytes) -> None:
    assert canonical(value) == written


def test_keys_stand_in_order_of_utf16_code_units_also_beyond_the_bmp() -> None:
    written = canonical({"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\r": 4, "1": 5})
    assert list(json.loads(written)) == ["\r", "1", "\u20ac", "\U0001f600", "\ufb33"]
    assert key_order("\U0001f600") < key_order("\ufb33")


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, MAX_INTEGER + 1, -MAX_INTEGER - 1, "\ud800", {"\udfff": 1}, {1: 2}, b"x", {1}, object()],
)
def test_what_has_no_exact_json_form_is_refused(value: object) -> None:
    with pytest.raises(NotPlainError):
        canonical(value)


def test_a_value_nested_too_deep_is_refused_without_exhausting_the_stack() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert canonical(value)
    with pytest.raises(NotPlainError, match="nested deeper"):
        canonical([value])


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(NotPlainError) as refused:
        canonical(9007199254740993123)
    assert "9007199254740993123" not in str(refused.value)
