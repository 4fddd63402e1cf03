"""From Goldwire's Azure targets to the kit while the service is disturbed: every event is applied once, and in order."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.eventhub import EventHubConsumerClient
from azure.servicebus import ServiceBusClient

from goldwire.clock import SystemClock
from goldwire.event.sealed import SealedEvent
from goldwire.targets import registry
from goldwire.targets.base import Delivered, Item, Outcome, Target, Throttled
from goldwire_consumer import Settings
from goldwire_consumer.adapter.event_hubs import EventHubsSubscription
from goldwire_consumer.adapter.event_hubs_checkpoints import SqlCheckpointStore
from goldwire_consumer.adapter.pace import Pace
from goldwire_consumer.adapter.service_bus import ServiceBusSubscription
from goldwire_emulator.amqp.sas import sas_token
from goldwire_emulator.emulator import ROOT
from support.histories import customers

HUB, QUEUE = "customers-hub", "customers"
PACE = Pace(batch=5, wait_seconds=0.2, retry_seconds=0.01)
PATIENCE_SECONDS = 120
LIFE_SECONDS, LONG_SECONDS = 3, 3_600
PARTS = 2


class Sending:
    """A target that is sent to as the relay does: an event again until it is taken, and nothing newer before it."""

    def __init__(self, kind: str, destination: dict[str, str], address: str) -> None:
        self.kind, self.settings = kind, {**destination, "connection_string": address}
        self.outcomes: Counter[type[Outcome]] = Counter()

    def __call__(self, events: Sequence[SealedEvent]) -> None:
        asyncio.run(self._send(events))

    async def _send(self, events: Sequence[SealedEvent]) -> None:
        target = registry.build(self.kind, "test", self.settings, SystemClock())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._open(target)
            for event in events:
                for attempt in itertools.count(1):
                    [outcome] = await target.send([Item(event, attempt=attempt)])
                    self.outcomes[type(outcome)] += 1
                    if isinstance(outcome, Delivered):
                        break
                    await asyncio.sleep(0.1)
            await target.close()

    async def _open(self, target: Target) -> None:
        while True:
            try:
                return await target.open()
            except ConnectionError:
                await asyncio.sleep(0.1)


class BriefTokens:
    """A credential whose SAS tokens live as long as the test says: until the subscriber was let in, for long."""

    token_type = b"servicebus.windows.net:sastoken"

    def __init__(self) -> None:
        self.issued = 0
        self.life_seconds = LONG_SECONDS

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        self.issued += 1
        expires_at = int(time.time()) + self.life_seconds
        return AccessToken(sas_token(ROOT, "sb://127.0.0.1/", expires_at), expires_at)

    def close(self) -> None:
        """Nothing is held."""


class Scene:
    """A service, what sends to it, and a subscriber at work in a thread."""

    def __init__(self, kind: str, peer: Any, rows: Callable[..., Any], events: Sequence[SealedEvent]) -> None:
        self.kind, self.peer, self.events = kind, peer, events
        self.mirror = rows(len(events), Settings(dead_letters="returned") if kind == "service_bus" else None)
        self.send = Sending(kind, {"hub": HUB} if kind == "event_hubs" else {"queue": QUEUE}, peer.address())
        self.tokens: BriefTokens | None = None
        self.sessions_at_once = 1

    def begin(self) -> None:
        subscription = self._hub if self.kind == "event_hubs" else self._queue
        self.worker = threading.Thread(target=self.mirror.run, args=(subscription(),))
        self.worker.start()

    def _client(self, kind: Any, *arguments: Any, **settings: Any) -> Any:
        if self.tokens is None:
            entity = {"eventhub_name": HUB} if kind is EventHubConsumerClient else {}
            return kind.from_connection_string(self.peer.address(), *arguments, **entity, **settings)
        host = f"127.0.0.1:{self.peer.emulator.server.port}"
        entity = {"eventhub_name": HUB, "consumer_group": "$Default"} if kind is EventHubConsumerClient else {}
        brief = {"retry_total": 1, "retry_backoff_factor": 0.05}  # so that a refusal comes to the kit, and soon
        return kind(host, credential=self.tokens, use_tls=False, **brief, **entity, **settings)

    def _hub(self) -> Any:
        checkpoints = SqlCheckpointStore(self.mirror.store)
        client = self._client(EventHubConsumerClient, "$Default", checkpoint_store=checkpoints, load_balancing_interval=0.3)
        return EventHubsSubscription(self.mirror.consumer, client, checkpoints, pace=PACE)

    def _queue(self) -> Any:
        scene = self

        class Run:
            def run(self, stop: Any) -> None:
                with scene._client(ServiceBusClient) as client:
                    at_once = scene.sessions_at_once
                    ServiceBusSubscription(scene.mirror.consumer, client, queue=QUEUE, sessions_at_once=at_once, pace=PACE).run(
                        stop
                    )

        return Run()


def throttled(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> None:
    """The service takes next to nothing until the sender was refused once, and then five events a second."""
    before = scene.send.outcomes[Throttled]
    scene.peer.call(scene.peer.emulator.broker.throttle, 0.001)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(scene.send, events)
        wait_for(lambda: scene.send.outcomes[Throttled] > before or sending.done(), "an event refused")
        scene.peer.call(scene.peer.emulator.broker.throttle, 5.0)
        sending.result(PATIENCE_SECONDS)
    scene.peer.call(scene.peer.emulator.broker.throttle, None)
    assert scene.send.outcomes[Throttled] > before


def restarted(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> None:
    """The service ends and begins again while it is sent to and read from."""
    before = scene.send.outcomes[Delivered]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(scene.send, events)
        wait_for(lambda: scene.send.outcomes[Delivered] > before or sending.done(), "an event sent")
        scene.peer.restart()
        sending.result(PATIENCE_SECONDS)


def stolen(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> None:
    """Another receiver takes every partition away for a moment."""
    scene.send(events)
    taken: set[str] = set()
    with EventHubConsumerClient.from_connection_string(scene.peer.address(), "$Default", eventhub_name=HUB) as thief:
        given = {"on_event": lambda context, _: taken.add(context.partition_id), "starting_position": "-1", "owner_level": 9}
        hands = [
            threading.Thread(target=thief.receive, kwargs={**given, "partition_id": one})
            for one in thief.get_partition_ids()
            if thief.get_partition_properties(one)["last_enqueued_sequence_number"] >= 0
        ]
        for hand in hands:
            hand.start()
        wait_for(lambda: len(taken) == len(hands), "every partition stolen")
    for hand in hands:
        hand.join(PATIENCE_SECONDS)


def locks_lost(scene: Scene, events: Sequence[SealedEvent], _: Any) -> None:
    """While the subscriber is at a message, its session's lock and all others end."""
    lost = threading.Event()

    def lose(_: Any) -> None:
        if not lost.is_set():
            scene.peer.call(scene.peer.emulator.broker.service_bus.lose_locks)
            lost.set()

    scene.mirror.fault = lose
    scene.send(events)
    assert lost.wait(PATIENCE_SECONDS)


def let_in(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> BriefTokens:
    """Wait until the subscriber has worked; who never was let in ends at the first token that is refused."""
    scene.send(events[:1])
    first = (events[0].entity_id, events[0].version)
    wait_for(lambda: first in scene.mirror.seen or not scene.worker.is_alive(), "the first event applied")
    assert scene.tokens is not None
    return scene.tokens


def tokens_expiring(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> None:
    """The subscriber has worked; then it is cut off, and its tokens live for three seconds from now on."""
    tokens = let_in(scene, events, wait_for)
    tokens.life_seconds = LIFE_SECONDS
    issued = tokens.issued
    scene.peer.drop_connections()
    wait_for(lambda: tokens.issued > issued or not scene.worker.is_alive(), "a token that does not live long")
    issued, ended_at = tokens.issued, time.time() + LIFE_SECONDS
    wait_for(
        lambda: (tokens.issued > issued and time.time() > ended_at) or not scene.worker.is_alive(),
        "that token ended, and another in its place",
    )
    assert scene.worker.is_alive(), scene.mirror.error
    scene.send(events[1:])


def refused_for_a_while(scene: Scene, events: Sequence[SealedEvent], wait_for: Callable[..., None]) -> None:
    """The subscriber has worked; then it is cut off, and gets tokens that are over already, as while a clock is wrong."""
    tokens = let_in(scene, events, wait_for)
    tokens.life_seconds = -5
    issued = tokens.issued
    scene.peer.drop_connections()
    wait_for(lambda: tokens.issued > issued + 3 or not scene.worker.is_alive(), "a token refused, and another tried")
    tokens.life_seconds = LONG_SECONDS
    scene.send(events[1:])


@pytest.mark.parametrize(
    ("kind", "disturb", "sessions_at_once"),
    [
        *[("event_hubs", one, 1) for one in (throttled, restarted, stolen, tokens_expiring, refused_for_a_while)],
        *[("service_bus", one, 1) for one in (throttled, restarted, locks_lost, tokens_expiring, refused_for_a_while)],
        *[("service_bus", one, 3) for one in (restarted, locks_lost, refused_for_a_while)],
    ],
)
def test_every_event_is_applied_once_and_in_order_while_the_service_is(
    lasting_peer: Any,
    rows: Callable[..., Any],
    wait_for: Callable[..., None],
    kind: str,
    disturb: Callable[..., None],
    sessions_at_once: int,
) -> None:
    events = customers(121, 3, 30).events
    scene = Scene(kind, lasting_peer, rows, events)
    scene.sessions_at_once = sessions_at_once
    if disturb in {tokens_expiring, refused_for_a_while}:
        scene.tokens = BriefTokens()
    scene.begin()
    for part in range(PARTS):
        until = len(events) * (part + 1) // PARTS
        disturb(scene, events[len(events) * part // PARTS : until], wait_for)
        wait_for(lambda until=until: len(scene.mirror.seen) >= until or not scene.worker.is_alive(), f"{until} events applied")
    scene.worker.join(PATIENCE_SECONDS)
    assert scene.mirror.error is None
    assert scene.mirror.letters == []
    seen = scene.mirror.seen
    assert sorted(seen) == sorted((event.entity_id, event.version) for event in events), "nothing is lost, or applied twice"
    for entity in {event.entity_id for event in events}:
        assert [version for name, version in seen if name == entity] == [
            event.version for event in events if event.entity_id == entity
        ]
