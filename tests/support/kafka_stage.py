"""A topic for tests of the `kafka` target: its settings, its target, and what becomes of events that it sends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets.base import Item, Outcome
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire_emulator.kafka.cluster import KafkaCluster
from goldwire_emulator.kafka.gate import KafkaGate
from support.target_use import use

TOPIC = "golden"
PATIENCE_SECONDS = 60.0


def settings_for(cluster: KafkaCluster | KafkaGate, **more: Any) -> KafkaSettings:
    """Return settings for the topic, without TLS; unless a test names a limit, a busy machine may take its time to connect."""
    given = {"connect_timeout_seconds": PATIENCE_SECONDS} | more
    return KafkaSettings(bootstrap_servers=tuple(cluster.bootstrap.split(",")), topic=TOPIC, tls=False, **given)


def with_target(
    cluster: KafkaCluster, check: Callable[[KafkaTarget], Coroutine[Any, Any, Any]], *, again: bool = False, **settings: Any
) -> Any:
    """Open a target, use it, and close it; with `again`, open it again while no broker answers, as the relay does."""
    return use(KafkaTarget("k", settings_for(cluster, **settings), SystemClock()), check, again=again)


def outcomes_of(cluster: KafkaCluster, *events: SealedEvent, **settings: Any) -> list[Outcome]:
    """Send events, and return what became of each."""

    async def check(target: KafkaTarget) -> list[Outcome]:
        return list(await target.send([Item(event) for event in events]))

    found: list[Outcome] = with_target(cluster, check, **settings)
    return found
