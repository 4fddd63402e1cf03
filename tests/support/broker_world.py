"""A broker under virtual time, for tests that need no wire: opens it, lets time pass, closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from goldwire_emulator.broker.broker import Broker, open_broker
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import HubSettings, Limits, QueueSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.broker.message import SYSTEM_PROPERTIES, NewMessage, StoredMessage
from goldwire_lab.virtual_time import VirtualClock, VirtualLoop

_T = TypeVar("_T")


class BrokerWorld:
    """Where brokers live whose time only a test moves.

    Args:
        folder: for brokers that outlive their closing.
    """

    def __init__(self, folder: Path) -> None:
        self._loop = VirtualLoop()
        self._folder = folder
        self._open: list[Broker] = []
        self.clock = VirtualClock(self._loop)

    @property
    def now_ms(self) -> int:
        """The time, in POSIX milliseconds."""
        return int(self.clock.now() * 1000)

    def pass_time(self, seconds: float) -> None:
        """Move the time on."""
        self._loop.elapsed_seconds += seconds

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine; while it waits, the time moves by itself."""
        asyncio.set_event_loop(self._loop)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio.set_event_loop(None)

    def open(
        self,
        *queues: QueueSettings,
        topics: Iterable[TopicSettings] = (),
        hubs: Iterable[HubSettings] = (),
        limits: Limits | None = None,
        durable: bool = False,
    ) -> Broker:
        """Open a broker with these entities, in memory, or durable in the folder."""
        config = BrokerConfig(hubs=tuple(hubs), queues=queues, topics=tuple(topics))
        self._open.append(open_broker(self._folder if durable else None, config, limits=limits, clock=self.clock))
        return self._open[-1]

    def close(self) -> None:
        """Close all brokers."""
        for broker in self._open:
            broker.close()
        self._loop.close()


def message(text: str = "hello", *, application: dict[str, Any] | None = None, **fields: Any) -> NewMessage:
    """A message whose payload is this text; system properties are named as in `SYSTEM_PROPERTIES`, the rest are its fields."""
    system = {name: fields.pop(name) for name in set(SYSTEM_PROPERTIES.values()) & set(fields)}
    return NewMessage(payload=text.encode(), system=system, application=application or {}, **fields)


def texts(messages: Sequence[StoredMessage]) -> list[str]:
    """The payloads as text."""
    return [each.payload.decode() for each in messages]


def topic(name: str, *subscriptions: SubscriptionSettings, **settings: Any) -> TopicSettings:
    """A topic with these subscriptions."""
    return TopicSettings(name=name, subscriptions=subscriptions, **settings)
