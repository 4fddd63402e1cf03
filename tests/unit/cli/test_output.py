"""What people read: short lines, and numbers with the right noun."""

from __future__ import annotations

import pytest

from goldwire.cli.output import counted, fitted, table


def test_one_takes_the_singular_and_every_other_number_the_plural() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 5_000)] == ["0 rows", "1 row", "2 rows", "5,000 rows"]
    assert [counted(n, "entity", "entities") for n in (1, 2)] == ["1 entity", "2 entities"]


def test_what_a_stranger_wrote_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(("reason",), [("nö\x1b[31m why\nsecond\x9b\u202e line",)])
    assert "nö [31m why second   line" in capsys.readouterr().out


COLUMNS = ("target", "kind", "last attempt")
ROWS = [("a-long-target-name", "service_bus", "the receiver cannot be reached"), ("x", None, "")]


def test_columns_share_a_width_without_breaking_a_word_or_say_that_they_cannot() -> None:
    assert fitted([10, 30], [10, 5], 100) == [10, 30]
    assert fitted([10, 30], [10, 5], 20) == [10, 10]
    assert fitted([20, 30], [5, 5], 20) == [10, 10]
    assert fitted([10, 30], [10, 11], 20) is None


@pytest.mark.parametrize(("width", "is_table"), [(200, True), (62, True), (40, False), (24, False)])
def test_a_table_that_does_not_fit_becomes_a_list_of_fields(
    width: int, is_table: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table(COLUMNS, ROWS)
    shown = capsys.readouterr().out
    for word in ("a-long-target-name", "service_bus", *["the", "receiver", "cannot", "be", "reached"]):
        assert word in shown.split()
    assert max(len(line) for line in shown.splitlines()) <= max(width, 14 + len("a-long-target-name"))
    assert shown.startswith("target  ")
    assert ("a-long-target-name" in shown.splitlines()[0]) is not is_table
