"""The dead-letter queue of a Service Bus queue or subscription: what subscribers gave up, and the way back into the queue.

These are the broker's dead letters: the event was delivered to the broker, and a subscriber did not process it. Goldwire's own
are deliveries that never got there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError, GoldwireError
from goldwire.targets.azure.namespace import explained
from goldwire.targets.azure.service_bus.redrive import LocksEndTooSoonError, Redrive, Redriven, number_of, peek
from goldwire.targets.azure.service_bus.target import BusEntity, ServiceBusSettings
from goldwire.targets.clients.extras import require

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver


class DeadMessage(Struct, frozen=True):
    """One dead letter of the broker, without its body."""

    sequence_number: int
    message_id: str | None
    subject: str | None
    session_id: str | None
    reason: str | None
    """What the subscriber or the broker gave as reason; its description is left out, since it may repeat values."""
    delivery_count: int
    enqueued_at: str | None


class BrokerDeadLetters:
    """The dead letters of one target's queue, or of one subscription of its topic.

    Args:
        name: the target's.
        settings: its settings, with a credential that has Listen; a redrive needs Send as well.
        subscription: of a topic, whose dead letters.

    Raises:
        ConfigError: a topic without a subscription, a queue with one, or a connection string that does not fit.
    """

    def __init__(self, name: str, settings: ServiceBusSettings, subscription: str | None) -> None:
        if settings.topic is not None and subscription is None:
            raise ConfigError(
                f"target '{name}': it sends to the topic {settings.topic}, whose subscriptions have the dead letters; "
                "give --subscription NAME"
            )
        if settings.topic is None and subscription is not None:
            raise ConfigError(
                f"target '{name}': it sends to the queue {settings.queue}, which has no subscriptions; leave out --subscription"
            )
        self._sdk: Any = require("azure.servicebus", extra="azure", used_by=f"target '{name}'")
        source = f"the queue {settings.queue}" if subscription is None else f"{subscription} of the topic {settings.topic}"
        self._what = f"target '{name}': the dead letters of {source}"
        self._entity = BusEntity(name, settings, SystemClock())
        self._settings = settings
        self._subscription = subscription

    async def look(self, limit: int) -> list[DeadMessage]:
        """Return the oldest dead letters, and leave them as they are.

        Args:
            limit: the most that are returned.

        Raises:
            GoldwireError: not reachable; ConfigError: the credential must not read it, or it does not exist.
        """
        async with self._client() as client, self._receiver(client) as receiver:
            return [_summary(message) async for message in peek(receiver, limit)]

    async def redrive(self, sequence_numbers: Collection[int] | None) -> Redriven:
        """Send dead letters to the queue or topic again, oldest first, and take them out of the dead-letter queue.

        The message is the same, but for its id, and for a time it was scheduled for. The id ends in `~d` and the dead letter's
        sequence number: duplicate detection lets it through, and holds back a second copy where this is interrupted between
        the two steps and repeated.

        A dead letter cannot be received by its number. Those that are in the way are received too, and given back, which counts
        as a delivery of them (a dead-letter queue sets no limit to that). Those behind the last one asked for are not received.

        Args:
            sequence_numbers: which; None for all.

        Raises:
            GoldwireError: not reachable, or locks end too soon; the text says how many were sent. ConfigError: the credential
                must not read, or must not send.
        """
        sent: set[int] = set()
        async with self._client(sent) as client, self._receiver(client) as receiver, self._sender(client) as sender:
            work = Redrive(receiver, sender, sent)
            if sequence_numbers is None:
                return await work.everything()
            there = [number_of(message) async for message in peek(receiver)]
            return await work.these(set(sequence_numbers), there)

    @asynccontextmanager
    async def _client(self, sent: Collection[int] = ()) -> AsyncIterator[ServiceBusClient]:
        """Connect; an error becomes one of the target, with the number of messages that were sent before."""
        try:
            async with self._entity.new_client() as client:
                yield client
        except GoldwireError:
            raise
        except LocksEndTooSoonError:
            raise GoldwireError(
                f"{self._what}: {len(sent)} were sent again; the others came again and again, since their locks end too soon. "
                "Lengthen LockDuration, redrive fewer at once, and see whether this machine's clock is right"
            ) from None
        except Exception as error:  # noqa: BLE001 - of the SDK, of its credential or of the system
            why = explained(error, self._what)
            if isinstance(error, self._sdk.exceptions.MessagingEntityNotFoundError):
                raise ConfigError(str(why)) from None
            if isinstance(why, ConfigError):
                raise ConfigError(f"{why}; to read dead letters a policy needs Listen, and to redrive them Send too") from None
            before = f"; {len(sent)} were sent again before" if sent else ""
            raise GoldwireError(f"{why}{before}; try again") from None
        finally:
            await self._entity.close()

    def _receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        dead: Any = self._sdk.ServiceBusSubQueue.DEAD_LETTER
        if self._subscription is None:
            return client.get_queue_receiver(self._settings.entity, sub_queue=dead)
        return client.get_subscription_receiver(self._settings.entity, self._subscription, sub_queue=dead)

    def _sender(self, client: ServiceBusClient) -> Any:
        if self._subscription is None:
            return client.get_queue_sender(self._settings.entity)
        return client.get_topic_sender(self._settings.entity)


def _summary(message: ServiceBusReceivedMessage) -> DeadMessage:
    at = message.enqueued_time_utc
    return DeadMessage(
        number_of(message),
        message.message_id,
        message.subject,
        message.session_id,
        message.dead_letter_reason,
        message.delivery_count or 0,
        at.isoformat() if at is not None else None,
    )
