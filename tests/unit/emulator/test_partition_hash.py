"""The service's partition hash, against the copy that the real SDK carries."""

from __future__ import annotations

import pytest
from azure.eventhub._buffered_producer._partition_resolver import PartitionResolver, generate_hash_code
from hypothesis import given
from hypothesis import strategies as st

from goldwire_emulator.broker.partition_hash import key_hash, partition_of

ascii_keys = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=80)


@given(ascii_keys)
def test_the_hash_of_a_key_is_the_sdk_s(key):
    assert key_hash(key) == generate_hash_code(key)


@given(ascii_keys, st.integers(1, 32))
def test_the_partition_is_the_sdk_s_where_the_hash_is_not_negative(key, count):
    theirs = PartitionResolver([str(number) for number in range(count)]).get_partition_id_by_partition_key(key)
    if key_hash(key) >= 0:
        assert str(partition_of(key, count)) == theirs


@given(st.text(min_size=1, max_size=40), st.integers(1, 32))
def test_every_key_has_a_partition(key, count):
    assert 0 <= partition_of(key, count) < count


def test_a_negative_hash_is_divided_as_the_service_divides_it():
    """C# keeps the dividend's sign and takes the absolute value then; Python's remainder is never negative."""
    key = next(f"key-{number}" for number in range(100) if key_hash(f"key-{number}") < 0 and key_hash(f"key-{number}") % 4 == 1)
    assert partition_of(key, 4) == 3


@pytest.mark.parametrize(("text", "expected"), [("", 0xDEADBEEF), ("Four score and seven years ago", 0x17770551)])
def test_the_words_are_those_that_the_author_of_lookup3_gives(text, expected):
    """From the self-test in lookup3.c: `hashlittle` of these texts with seed 0."""
    from goldwire_emulator.broker.partition_hash import _lookup3  # noqa: PLC0415 - the inner function is looked at only here

    assert _lookup3(text.encode())[0] == expected
