"""What people read: short lines, and numbers with the right noun."""

from __future__ import annotations

import pytest

from goldwire.cli.output import counted, table


def test_one_takes_the_singular_and_every_other_number_the_plural() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 5_000)] == ["0 rows", "1 row", "2 rows", "5,000 rows"]
    assert [counted(n, "entity", "entities") for n in (1, 2)] == ["1 entity", "2 entities"]


def test_what_a_stranger_wrote_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(("reason",), [("nö\x1b[31m why\nsecond\x9b\u202e line",)])
    assert "nö [31m why second   line" in capsys.readouterr().out
