"""The garbage collector stands still for a batch and runs rarely for a relay, and runs afterwards as it ran before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from goldwire.services.garbage_collection import rare_collection, without_collection


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


def test_it_runs_as_often_as_before_once_a_relay_has_ended() -> None:
    before = gc.get_threshold()
    with rare_collection():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
