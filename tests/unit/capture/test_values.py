from __future__ import annotations

from decimal import Decimal

import pytest

from goldwire.capture.values import RefusedError, from_text, from_value


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("0.30", b"0.3"),
        ("99999999999999.9", b"99999999999999.9"),
        ("123456789012345.50", b"123456789012345.5"),
        ("1e300", b"1e+300"),
        ("12E-1", b"1.2"),
        ("9007199254740993", b'"9007199254740993"'),
        ("2033735037361704962", b'"2033735037361704962"'),
    ],
)
def test_a_number_comes_in_exactly(text: str, held: bytes) -> None:
    assert from_text(text, "number") == held


@pytest.mark.parametrize(
    "text", ["1234567890123456.78", "0.1234567890123456789", "99999999999999.99", "1e-400", "1e400", "1.0000000000000001"]
)
def test_a_number_that_would_change_on_its_way_in_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(RefusedError, match="more digits than JSON carries") as caught:
        from_text(text, "number")
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["1234567890123456.78", "1e-400"])
def test_a_decimal_that_would_change_on_its_way_in_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="more digits than JSON carries"):
        from_value(Decimal(text), "number")
