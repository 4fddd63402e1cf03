"""Target kind `event_hubs`: publishes each event to an Azure Event Hub, over AMQP or over its Kafka endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from msgspec.structs import replace

from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.targets.azure.channel import event_hubs_channel
from goldwire.targets.azure.event_hubs.amqp import AmqpHub
from goldwire.targets.azure.event_hubs.checkpoints import checkpoints_at
from goldwire.targets.azure.event_hubs.subscribers import HubSubscribers
from goldwire.targets.azure.namespace import AzureSettings, new_blob_credential, new_credential, sas_findings
from goldwire.targets.base import MOVES, Finding, Item, Outcome, SubscriberLag
from goldwire.targets.clients.backplane import Partitions
from goldwire.targets.clients.extras import require
from goldwire.targets.kafka.settings import KafkaSettings
from goldwire.targets.kafka.target import KafkaTarget
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import about, no_subscribers

KAFKA_PORT = 9093


class EventHubsSettings(AzureSettings, frozen=True, kw_only=True):
    """Which Event Hub an `event_hubs` target publishes to, and how it gets there."""

    hub: Annotated[
        str, about("The Event Hub's name; it must exist.", examples=["golden-customers"], min_length=1, destination=True)
    ]
    endpoint: Annotated[
        Literal["amqp", "kafka"],
        about(
            "`amqp`: as every Azure client publishes; keys are mapped as the service does it. `kafka`: several times as fast; "
            "keys are mapped as Java's Kafka clients do it.",
            fixed="the two endpoints map a key to different partitions: " + MOVES,
        ),
    ] = "amqp"
    partitions: Partitions = None
    event_bytes_max: Annotated[
        int, about("With the endpoint `kafka`: a larger event is refused. AMQP learns the limit from the service.", ge=1_000)
    ] = 1_000_000

    subscribers: Annotated[
        HubSubscribers | None, about("Consumer groups whose lag `goldwire subscribers` and the metrics show.")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.endpoint == "amqp" and self.subscribers is not None and self.subscribers.checkpoints is None:
            raise ValueError("subscribers: set checkpoints: with endpoint: amqp the service does not know how far groups are")
        if self.endpoint == "kafka" and self.sas_token is not None:
            raise ValueError("endpoint: kafka takes connection_string or an identity, not sas_token")
        if self.endpoint == "kafka" and self.transport == "websocket":
            raise ValueError("transport: websocket goes with endpoint: amqp only")
        if self.endpoint == "kafka" and self.connection_string is not None and self.managed_identity_client_id is not None:
            raise ValueError("set connection_string or managed_identity_client_id, not both")


@target_kind("event_hubs", settings=EventHubsSettings, channel=event_hubs_channel)
class EventHubsTarget:
    """Every event has a key, and goes to the partition of that key."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: EventHubsSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._endpoint: AmqpHub | KafkaTarget
        _check_connection_string(name, settings)
        if settings.endpoint == "kafka":
            token = None if settings.connection_string is not None else entra_token(name, settings)
            self._endpoint = KafkaTarget(
                name, kafka_settings(name, settings), clock, token=token, size_setting="event_bytes_max"
            )
        else:
            self._endpoint = AmqpHub(name, settings, settings.hub, clock, partitions=settings.partitions)

    async def open(self) -> None:
        """Connect and look for the hub.

        Raises:
            ConfigError: the hub, the credential, a right or a setting is wrong.
            OSError: not reachable now.
        """
        await self._endpoint.open()

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Publish the events; each is accepted by the service or not."""
        return await self._endpoint.send(items) if items else []

    async def close(self) -> None:
        """Disconnect; what is still under way is dropped."""
        await self._endpoint.close()

    async def check(self) -> Sequence[Finding]:
        """Report partitions, sizes and rights, as far as a publisher can see them."""
        found = await self._endpoint.check()
        return found if isinstance(self._endpoint, AmqpHub) else [*found, *sas_findings(self.settings)]

    async def subscribers(self) -> Sequence[SubscriberLag]:
        """Compare the checkpoints of consumer groups, or the offsets that they commit over Kafka, with each partition's end."""
        asked, settings = self.settings.subscribers, self.settings
        if asked is None:
            raise no_subscribers(self.name)
        if asked.connection_string is not None:
            settings = replace(
                settings, connection_string=asked.connection_string, sas_token=None, managed_identity_client_id=None
            )  # fmt: skip
            _check_connection_string(self.name, settings)
        if asked.checkpoints is None:
            token = None if settings.connection_string is not None else entra_token(self.name, settings)
            kafka = KafkaTarget(self.name, kafka_settings(self.name, settings), self._clock, token=token)
            return await kafka.group_lags(asked.consumer_groups)
        found = checkpoints_at(self.name, asked.checkpoints, partial(new_blob_credential, settings, self.name))
        namespace = settings.host or parsed(self.name, settings.connection_string or "")[0]
        return await AmqpHub(self.name, settings, settings.hub, self._clock).lags(namespace, found, asked.consumer_groups)


def kafka_settings(name: str, settings: EventHubsSettings) -> KafkaSettings:
    """Return how the hub is reached through its Kafka endpoint.

    With a connection string the user is the literal `$ConnectionString` and the string is the password; else tokens of Entra
    go as OAUTHBEARER (learn.microsoft.com/azure/event-hubs/azure-event-hubs-apache-kafka-overview).
    """
    host = settings.host or parsed(name, settings.connection_string or "")[0]
    address = (settings.endpoint_address or host).removeprefix("sb://").strip("/")
    by_key = settings.connection_string is not None
    return KafkaSettings(
        bootstrap_servers=(address if ":" in address else f"{address}:{KAFKA_PORT}",),
        topic=settings.hub,
        key=settings.key,
        partitions=settings.partitions,
        envelope=settings.envelope,
        cloudevents_source=settings.cloudevents_source,
        cloudevents_dataschema=settings.cloudevents_dataschema,
        sasl="plain" if by_key else "oauthbearer",
        username="$ConnectionString" if by_key else None,
        password=settings.connection_string,
        ca_file=settings.ca_file,
        message_bytes_max=settings.event_bytes_max,
        timeout_seconds=settings.timeout_seconds,
        connect_timeout_seconds=settings.connect_timeout_seconds,
    )


def entra_token(name: str, settings: EventHubsSettings) -> Callable[[str | None], tuple[str, float]]:
    """Return what gets a token of Entra for the namespace; it is called on the Kafka client's own thread."""
    scope = f"https://{settings.host}/.default"

    async def fetch() -> tuple[str, float]:
        asked: Any = new_credential(settings, name)
        async with asked:
            found = await asked.get_token(scope)
        return found.token, float(found.expires_on)

    def token(_config: str | None) -> tuple[str, float]:
        return asyncio.run(fetch())

    return token


def parsed(name: str, connection_string: str) -> tuple[str, str | None]:
    """Return namespace and hub of a connection string.

    Raises:
        ConfigError: it is none; the text does not hold it.
    """
    sdk: Any = require("azure.eventhub", extra="azure", used_by=f"target '{name}'")
    try:
        found = sdk.parse_connection_string(connection_string)
    except ValueError:
        raise ConfigError(f"target '{name}': connection_string is not of the form Endpoint=sb://…;…") from None
    return found.fully_qualified_namespace, found.eventhub_name


def _check_connection_string(name: str, settings: EventHubsSettings) -> None:
    if settings.connection_string is None:
        return
    host, hub = parsed(name, settings.connection_string)
    if hub is not None and hub != settings.hub:
        raise ConfigError(f"target '{name}': hub is {settings.hub}, but the EntityPath of connection_string is {hub}; mend one")
    if settings.host and settings.host != host:
        raise ConfigError(f"target '{name}': namespace is {settings.host}, but connection_string is for {host}; mend one")
