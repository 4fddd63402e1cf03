"""Real servers behind a wire that can be cut: PostgreSQL, MariaDB and nginx; and a Kafka cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from goldwire_emulator.kafka.cluster import KafkaCluster
from support.kafka_stage import TOPIC
from support.sql_servers import mariadb, postgresql

__all__ = ["mariadb", "postgresql"]


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """One broker, with a topic of four partitions."""
    with KafkaCluster(1, {TOPIC: 4}) as found:
        yield found
