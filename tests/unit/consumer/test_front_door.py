"""What the kit exports."""

from __future__ import annotations

import goldwire_consumer


def test_every_name_that_the_kit_exports_is_there_and_they_are_sorted() -> None:
    assert [name for name in goldwire_consumer.__all__ if not hasattr(goldwire_consumer, name)] == []
    assert list(goldwire_consumer.__all__) == sorted(goldwire_consumer.__all__, key=lambda name: (name.islower(), name))
