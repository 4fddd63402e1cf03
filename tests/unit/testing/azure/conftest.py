"""A broker under a virtual clock."""

from __future__ import annotations

import pytest

from goldwire.testing.azure.world import BrokerWorld


@pytest.fixture
def world(tmp_path):
    made = BrokerWorld(tmp_path)
    yield made
    made.close()
