"""The garbage collector stands still for a batch, and runs afterwards as it ran before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from goldwire.app.ingesting import without_collection


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    yield
    gc.enable()


def test_the_collector_stands_still_and_runs_again() -> None:
    gc.enable()
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_runs_again_when_the_batch_fails() -> None:
    with pytest.raises(ZeroDivisionError), without_collection():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    with without_collection():
        pass
    assert not gc.isenabled()
