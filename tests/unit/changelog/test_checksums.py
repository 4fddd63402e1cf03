from __future__ import annotations

import pytest

from goldwire.changelog.checksums import log_checksum
from goldwire.changelog.rows import LogRow

ROW = LogRow(7, "e", "Customer", 2, "live", "2026-01-01T00:00:00.000000Z", "c", b"{}", "city", None)


@pytest.mark.parametrize("field", LogRow._fields)
def test_every_field_of_a_row_counts(field: str) -> None:
    assert log_checksum(ROW._replace(**{field: "another"}), 1) != log_checksum(ROW, 1)
    addressed = ROW._replace(addressed_to="t")
    assert log_checksum(addressed._replace(**{field: "another"}), 1) != log_checksum(addressed, 1)


def test_the_entitys_number_counts() -> None:
    assert log_checksum(ROW, 1) != log_checksum(ROW, 2)


def test_a_row_for_all_targets_has_the_checksum_that_it_had_before_rows_had_an_address() -> None:
    assert log_checksum(ROW, 1) == log_checksum(ROW[:-1], 1)
