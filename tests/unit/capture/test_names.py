import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.capture.names import has_name_twice

names = st.text(':"\\ ab\u00e9\n', max_size=3)
values = st.recursive(
    st.none() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("line", "twice"),
    [
        ('{"a":1,"a":2}', True),
        ('{"a":1,"\\u0061":2}', True),
        ('{"b":{"a":1 ,"a" : 2}}', True),
        ('[{"a":1},{"a":2}]', False),
        ('{"a":"\\"a\\":1"}', False),
        ('{"a":"b","b":{"a":1}}', False),
    ],
)
def test_a_name_counts_within_its_own_object(line: str, twice: bool):
    assert has_name_twice(line.encode()) is twice


@given(value=values, ascii_only=st.booleans())
def test_what_an_encoder_writes_has_each_name_once(value: Any, ascii_only: bool):
    assert not has_name_twice(json.dumps(value, ensure_ascii=ascii_only).encode())


@given(value=st.dictionaries(names, values, min_size=1, max_size=3), ascii_only=st.booleans())
def test_a_member_that_is_written_again_is_found(value: dict[str, Any], ascii_only: bool):
    line = json.dumps(value, ensure_ascii=ascii_only)
    again = json.dumps({next(iter(value)): 0})
    assert has_name_twice(f"{line[:-1]},{again[1:]}".encode())
