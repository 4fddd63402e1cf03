"""Target kind `service_bus`: sends each event to an Azure Service Bus queue or topic, an entity's events in one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec.structs import replace

from goldwire.clock import Clock
from goldwire.errors import ConfigError
from goldwire.targets.azure.channel import service_bus_channel
from goldwire.targets.azure.namespace import OF_THE_CONTENT, AzureSettings, client_options, sas_findings
from goldwire.targets.azure.sender import AzureSender, Work
from goldwire.targets.azure.service_bus.check import look_at
from goldwire.targets.azure.service_bus.subscribers import BusSubscribers, message_counts
from goldwire.targets.base import Finding, Item, Outcome, Rejected, SubscriberLag
from goldwire.targets.clients.backplane import Message, application_properties_of, too_large
from goldwire.targets.clients.extras import require
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import about, no_subscribers

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender


def _entity_of(settings: Mapping[str, Any]) -> Any:
    """Return the entity's name: queues and topics of a namespace share their names, and a sender reaches either."""
    return settings["queue"] or settings["topic"]


class ServiceBusSettings(AzureSettings, frozen=True, kw_only=True):
    """Which queue or topic a `service_bus` target sends to, and how it gets there."""

    queue: Annotated[
        str | None, about("The queue's name; it must exist.", examples=["golden-customers"], destination=_entity_of)
    ] = None
    topic: Annotated[str | None, about("The topic's name; it must exist.", examples=["golden"])] = None
    sessions: Annotated[
        bool,
        about(
            "The queue, or each subscription, has sessions: the session id is the key, and one consumer at a time gets an "
            "entity's events in order. Without sessions consumers that compete may overtake each other."
        ),
    ] = True
    partitioned: Annotated[
        bool, about("The entity is partitioned: a batch then holds messages of one key only, which is slower.")
    ] = False
    message_id_suffix: (
        Annotated[
            str,
            about(
                "What message ids end in, after `~t-`. Set it where another target, also a retired one, has sent the same "
                "entities to this queue or topic: duplicate detection would remove the ids that the other has used.",
                examples=["bus2"],
                pattern="^[A-Za-z0-9._-]{1,40}$",
                distinct="duplicate detection would silently remove each event whose message id the other has sent",
            ),
        ]
        | None
    ) = None
    message_bytes_max: (
        Annotated[
            int,
            about(
                "Send messages that fit into no batch one by one, up to this size: premium namespaces can take up to 100 MB.",
                ge=1_000,
                advanced=True,
            ),
        ]
        | None
    ) = None

    subscribers: Annotated[
        BusSubscribers | None,
        about("`goldwire subscribers` and the metrics show how many messages wait, and how many are dead letters there."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.queue is None) == (self.topic is None):
            raise ValueError("set either queue or topic")

    @property
    def entity(self) -> str:
        """The name of the queue or topic."""
        return self.queue or self.topic or ""


@target_kind("service_bus", settings=ServiceBusSettings, channel=service_bus_channel)
class ServiceBusTarget:
    """A message id that is the same on each repetition, so that duplicate detection removes it."""

    batch_limit: ClassVar[int] = 10_000

    def __init__(self, name: str, settings: ServiceBusSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._entity = BusEntity(name, settings, clock)

    async def open(self) -> None:
        """Connect and open a link that may send.

        Raises:
            ConfigError: the entity, the credential, a right or a setting is wrong.
            OSError: not reachable now.
        """
        await self._entity.open()

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Send the events; each is accepted by the service or not."""
        return await self._entity.send(items) if items else []

    async def close(self) -> None:
        """Disconnect; what is still under way is dropped."""
        await self._entity.close()

    async def check(self) -> Sequence[Finding]:
        """Report sizes, sessions, duplicate detection and rights, as far as the credential lets us see."""
        return await self._entity.check()

    async def subscribers(self) -> Sequence[SubscriberLag]:
        """Ask how many messages the queue, or each subscription of the topic, holds, and how many dead letters."""
        asked = self.settings.subscribers
        if asked is None:
            raise no_subscribers(self.name)
        settings = self.settings
        if asked.connection_string is not None:
            settings = replace(settings, connection_string=asked.connection_string, sas_token=None)
        entity = BusEntity(self.name, settings, self._clock)
        try:
            return await entity.counts()
        finally:
            await entity.close()


class BusEntity(AzureSender):
    """One queue or topic, with one link.

    Args:
        name: the target's.
        settings: where and how.
        clock: measures how long nothing was sent.

    Raises:
        ConfigError: the connection string is none, or names another entity.
    """

    def __init__(self, name: str, settings: ServiceBusSettings, clock: Clock) -> None:
        entity = f"{'queue' if settings.queue else 'topic'} {settings.entity}"
        super().__init__(name, settings, entity, clock, id_suffix=settings.message_id_suffix)
        self._sdk: Any = require("azure.servicebus", extra="azure", used_by=f"target '{name}'")
        self._aio: Any = require("azure.servicebus.aio", extra="azure", used_by=f"target '{name}'")
        self._bus = settings
        self._client: ServiceBusClient | None = None
        self._sender: ServiceBusSender | None = None
        self._check_connection_string()

    async def connect(self) -> None:
        """Open a link that may send, and learn what fits into a batch."""
        client = self._client = self.new_client()
        bus = self._bus
        sender = client.get_queue_sender(bus.queue) if bus.queue else client.get_topic_sender(bus.entity)
        self._sender = sender
        self.limit_bytes = (await sender.create_message_batch()).max_size_in_bytes

    async def disconnect(self) -> None:
        """Close the link and the connection."""
        client, sender, self._client, self._sender = self._client, self._sender, None, None
        if sender is not None:  # the client itself holds it weakly
            await sender.close()
        if client is not None:
            await client.close()

    def group_of(self, message: Message) -> str:
        """Return what shares a batch: anything, but of a partitioned entity only what has the same key."""
        return message.key if self._bus.partitioned else ""

    async def new_batch(self, group: str) -> ServiceBusMessageBatch:  # noqa: ARG002 - one link serves all groups
        """Return an empty batch."""
        return await self._open_sender().create_message_batch()

    def add(self, batch: ServiceBusMessageBatch, message: Message) -> None:
        """Put a message into a batch; the SDK's error for a full one is a ValueError."""
        batch.add_message(self._message(message))

    async def deliver(self, batch: ServiceBusMessageBatch | ServiceBusMessage) -> None:
        """Send a batch or a message."""
        await self._open_sender().send_messages(batch, timeout=self.settings.timeout_seconds)

    def link_of(self, group: str) -> str:  # noqa: ARG002 - there is one
        """Return the only link."""
        return ""

    async def deliver_large(self, message: Message, work: Work) -> Outcome:
        """Send a message that fits into no batch by itself, where the settings say that the entity takes it."""
        limit = self._bus.message_bytes_max or 0
        if len(message.body) > limit:
            return Rejected(
                too_large(len(message.body), max(limit, self.limit_bytes), "select fewer attributes, or see message_bytes_max")
            )
        outcome, condition = await self.attempt(self._message(message), self.group_of(message), work)
        return self.refused(message, condition) if condition in OF_THE_CONTENT else outcome

    async def check(self) -> Sequence[Finding]:
        """Look at the entity as far as the credential lets us see."""
        return [
            Finding("entity", "ok", f"an entity of this name exists ({self._entity}), and the credential may send"),
            Finding("message size", "ok", f"up to {self.limit_bytes:,} bytes in a batch; larger ones become dead letters"),
            *await look_at(self.new_client, self._new_administration(), self._bus),
            *sas_findings(self.settings),
        ]

    async def counts(self) -> list[SubscriberLag]:
        """Return how many messages wait for subscribers; errors as of `message_counts`."""
        what = f"target '{self.name}': {self._entity}: subscribers"
        administration = self._new_administration()
        if administration is None:
            raise ConfigError(f"{what}: the management API takes neither a SAS token nor an emulator's connection string")
        return await message_counts(what, administration, self._bus, self.settings.connect_timeout_seconds)

    def _open_sender(self) -> ServiceBusSender:
        assert self._sender is not None, "send before open"
        return self._sender

    def _message(self, message: Message) -> ServiceBusMessage:
        sessions = self._bus.sessions
        made: ServiceBusMessage = self._sdk.ServiceBusMessage(
            message.body,
            message_id=message.id,
            correlation_id=message.shared.correlation_id,
            content_type=message.content_type,
            subject=message.shared.subject,
            session_id=message.key if sessions else None,
            # Where both are set they must be equal; a session id alone also decides the partition.
            partition_key=None if sessions else message.key,
            application_properties=application_properties_of(message),
        )
        return made

    def new_client(self) -> ServiceBusClient:
        """Return a client of the SDK, not yet connected."""
        settings = self.settings
        options = client_options(settings, self._sdk.TransportType)
        kind: Any = self._aio.ServiceBusClient
        if settings.connection_string is not None:
            made: ServiceBusClient = kind.from_connection_string(settings.connection_string, **options)
        else:
            made = kind(settings.host, credential=self.credential(), **options)
        return made

    def _new_administration(self) -> Any:
        """Return a client of the management API; None where there cannot be one."""
        settings = self.settings
        kind: Any = require("azure.servicebus.aio.management", extra="azure", used_by=f"target '{self.name}'")
        kind = kind.ServiceBusAdministrationClient
        options: dict[str, Any] = {"retry_total": 0}
        if settings.ca_file is not None:
            options["connection_verify"] = settings.ca_file
        if settings.sas_token is not None:  # the SDK would show it as a bearer token, which it is not
            return None
        if settings.connection_string is None:
            return kind(settings.host, credential=self.credential(), **options)
        if "UseDevelopmentEmulator=true" in settings.connection_string:
            return None
        return kind.from_connection_string(settings.connection_string, **options)

    def _check_connection_string(self) -> None:
        text, bus = self.settings.connection_string, self._bus
        if text is None:
            return
        try:
            found = self._sdk.parse_connection_string(text)
        except ValueError:
            raise ConfigError(f"target '{self.name}': connection_string is not of the form Endpoint=sb://…;…") from None
        if found.entity_path is not None and found.entity_path != bus.entity:
            raise ConfigError(
                f"target '{self.name}': it is for {self._entity}, but the EntityPath of connection_string is "
                f"{found.entity_path}; mend one"
            )
        if bus.host and bus.host != found.fully_qualified_namespace:
            raise ConfigError(
                f"target '{self.name}': namespace is {bus.host}, but connection_string is for "
                f"{found.fully_qualified_namespace}; mend one"
            )
