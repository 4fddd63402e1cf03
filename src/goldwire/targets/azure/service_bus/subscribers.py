"""How many messages wait in a Service Bus queue, or in each subscription of a topic, and how many were given up there."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Protocol

from goldwire.errors import ConfigError, GoldwireError
from goldwire.targets.base import SubscriberLag
from goldwire.targets.settings import SubscribersSettings, about


class BusSubscribers(SubscribersSettings, frozen=True, kw_only=True):
    """With what the management API of the namespace is asked how many messages wait."""

    connection_string: Annotated[
        str | None,
        about(
            "To ask with, instead of the target's own: the management API wants Manage, which a sender should not have.",
            secret=True,
        ),
    ] = None


class BusSettings(Protocol):
    """The entity that is asked about."""

    @property
    def queue(self) -> str | None:
        """Its name, if it is a queue."""

    @property
    def topic(self) -> str | None:
        """Its name, if it is a topic."""


async def message_counts(what: str, administration: Any, expected: BusSettings, limit_seconds: float) -> list[SubscriberLag]:
    """Ask the management API.

    Args:
        what: target and entity, as an error begins.
        administration: the SDK's client; it is closed.
        expected: the entity.
        limit_seconds: how long to wait.

    Raises:
        ConfigError: the entity is not there, or the credential must not ask.
        OSError: not reachable now.
    """
    try:
        async with asyncio.timeout(limit_seconds):
            if expected.queue is not None:
                return [_lag(expected.queue, await administration.get_queue_runtime_properties(expected.queue))]
            found = administration.list_subscriptions_runtime_properties(expected.topic)
            return [_lag(one.name, one) async for one in found]
    except TimeoutError:
        raise ConnectionError(f"{what}: the management API gives no answer in time") from None
    except GoldwireError:
        raise
    except Exception as error:  # noqa: BLE001 - of the SDK, of its credential or of the system
        names = {kind.__name__ for kind in type(error).__mro__}
        if "ResourceNotFoundError" in names:
            raise ConfigError(f"{what}: it does not exist; create it, or mend its name") from None
        if "ClientAuthenticationError" in names or getattr(error, "status_code", None) in _FORBIDDEN:
            raise ConfigError(f"{what}: the management API does not accept the credential; {_GRANT}") from None
        raise ConnectionError(f"{what}: the management API gives no answer ({type(error).__name__})") from None
    finally:
        await administration.close()


_FORBIDDEN = frozenset((401, 403))
_GRANT = "set `subscribers: {connection_string: …}` to one of a policy that has Manage, or grant the identity a reader's role"


def _lag(subscriber: str, counts: Any) -> SubscriberLag:
    return SubscriberLag(subscriber, None, None, None, counts.active_message_count or 0, counts.dead_letter_message_count or 0)
