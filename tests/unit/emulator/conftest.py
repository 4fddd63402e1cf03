"""A broker under a virtual clock."""

from __future__ import annotations

import pytest

from support.broker_world import BrokerWorld


@pytest.fixture
def world(tmp_path):
    made = BrokerWorld(tmp_path)
    yield made
    made.close()
