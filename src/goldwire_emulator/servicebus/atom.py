"""What the management API says of queues, topics and subscriptions: Atom entries, as the service writes them.

The members, their order and their namespaces are those of the service's own answers: each is the default one where it begins,
since the JavaScript SDK knows no prefixes. Source:
https://learn.microsoft.com/rest/api/servicebus/entities
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from xml.etree import ElementTree as ET

from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.broker.entities import Limits, QueueSettings, ReceivingSettings, SubscriptionSettings, TopicSettings
from goldwire_emulator.broker.service_bus import MessageCounts

_ATOM = "http://www.w3.org/2005/Atom"
_SERVICE_BUS = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
_COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
"""Of the members of `CountDetails` alone."""
_FOR_EVER = "P10675199DT2H48M5.4775807S"
"""The longest time that .NET knows: how the service says that there is no limit."""
_DEFAULT_WINDOW_MS = 600_000
_SAME_FOR_ALL: tuple[tuple[str, object], ...] = (
    ("EnableBatchedOperations", True),
    ("Status", "Active"),
    ("AutoDeleteOnIdle", _FOR_EVER),
    ("EntityAvailabilityStatus", "Available"),
)
"""What the service says of every entity whose author has set nothing else."""

Entity = QueueSettings | TopicSettings | SubscriptionSettings
_Placed = tuple[str, Entity]
"""An entity with its path."""
_Members = Iterable[tuple[str, object]]


class Directory:
    """Finds descriptions by their path.

    Args:
        config: the entities.
        limits: their quotas.
        counts: returns how many messages a queue or subscription holds, by its path.
    """

    def __init__(self, config: BrokerConfig, limits: Limits, counts: Callable[[str], MessageCounts]) -> None:
        self._counts = counts
        self._limits = limits
        self._queues = {queue.name.lower(): queue for queue in config.queues}
        self._topics = {topic.name.lower(): topic for topic in config.topics}

    def answer(self, path: str, skip: int = 0, top: int = 100) -> bytes:
        """Return the document of a path: an entry, or a feed; an empty feed where there is nothing, as the service does.

        Args:
            path: `QUEUE`, `TOPIC`, `TOPIC/Subscriptions`, `TOPIC/Subscriptions/NAME`, `$Resources/queues` or `/topics`.
            skip: leave out so many of a list.
            top: the most of a list.
        """
        found = self._find(path.strip("/").lower())
        if isinstance(found, list):
            feed = ET.Element("feed", xmlns=_ATOM)
            ET.SubElement(feed, "title", type="text").text = path
            feed.extend(self._entry(*one) for one in found[skip : skip + top])
            return _document(feed)
        entry = self._entry(*found)
        entry.set("xmlns", _ATOM)
        return _document(entry)

    def _find(self, path: str) -> _Placed | list[_Placed]:
        """Return an entity with its path, or a list of them."""
        if path == "$resources/queues":
            return [(queue.name, queue) for queue in self._queues.values()]
        if path == "$resources/topics":
            return [(topic.name, topic) for topic in self._topics.values()]
        name, is_list, subscription = path.partition("/subscriptions")
        topic = self._topics.get(name)
        if is_list:
            found: list[_Placed] = (
                [(f"{topic.name}/Subscriptions/{one.name}", one) for one in topic.subscriptions] if topic is not None else []
            )
            wanted = subscription.strip("/")
            return next((one for one in found if one[1].name.lower() == wanted), []) if wanted else found
        entity = self._queues.get(name) or topic
        return [] if entity is None else (entity.name, entity)

    def _entry(self, path: str, entity: Entity) -> ET.Element:
        entry = ET.Element("entry")
        # The JavaScript SDK takes the name of an entity from here.
        ET.SubElement(entry, "id").text = f"https://localhost/{path}"
        ET.SubElement(entry, "title", type="text").text = entity.name
        content = ET.SubElement(entry, "content", type="application/xml")
        kind, members = self._described(entity)
        description = ET.SubElement(content, kind, xmlns=_SERVICE_BUS)
        for name, value in members:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            ET.SubElement(description, name).text = text
        if not isinstance(entity, TopicSettings):
            self._count(description, path)
        return entry

    def _count(self, description: ET.Element, path: str) -> None:
        """Add how many messages it holds, as the service does to each answer."""
        found = self._counts(path)
        ET.SubElement(description, "MessageCount").text = str(sum(found))
        details = ET.SubElement(description, "CountDetails")
        for name, number in (
            ("ActiveMessageCount", found.active),
            ("DeadLetterMessageCount", found.dead),
            ("ScheduledMessageCount", found.scheduled),
            ("TransferMessageCount", 0),
            ("TransferDeadLetterMessageCount", 0),
        ):
            ET.SubElement(details, name, xmlns=_COUNTS).text = str(number)

    def _described(self, entity: Entity) -> tuple[str, _Members]:
        if isinstance(entity, TopicSettings):
            return "TopicDescription", [
                ("DefaultMessageTimeToLive", _duration(entity.default_time_to_live_ms)),
                *self._entrance(entity.duplicate_window_ms),
            ]
        if isinstance(entity, QueueSettings):
            return "QueueDescription", [*_receiving(entity), *self._entrance(entity.duplicate_window_ms)]
        return "SubscriptionDescription", [
            *_receiving(entity),
            ("DeadLetteringOnFilterEvaluationExceptions", False),
            *_SAME_FOR_ALL,
        ]

    def _entrance(self, duplicate_window_ms: int | None) -> _Members:
        """Return what is said of an entity that takes messages."""
        return [
            ("MaxSizeInMegabytes", self._limits.max_entity_bytes // 1024**2),
            ("RequiresDuplicateDetection", duplicate_window_ms is not None),
            ("DuplicateDetectionHistoryTimeWindow", _duration(duplicate_window_ms or _DEFAULT_WINDOW_MS)),
            *_SAME_FOR_ALL,
            ("SupportOrdering", True),
            ("EnablePartitioning", False),
            ("EnableExpress", False),
            ("MaxMessageSizeInKilobytes", self._limits.max_message_bytes // 1024),
        ]


def _document(root: ET.Element) -> bytes:
    found: bytes = ET.tostring(root, "utf-8")
    return found


def _receiving(entity: ReceivingSettings) -> _Members:
    """Return what is said of an entity from which messages are received."""
    found: list[tuple[str, object]] = [
        ("LockDuration", _duration(entity.lock_ms)),
        ("RequiresSession", entity.requires_session),
        ("DefaultMessageTimeToLive", _duration(entity.default_time_to_live_ms)),
        ("DeadLetteringOnMessageExpiration", entity.dead_letter_expired),
        ("MaxDeliveryCount", entity.max_delivery_count),
    ]
    if entity.forward_to:
        found.append(("ForwardTo", entity.forward_to))
    if entity.forward_dead_letters_to:
        found.append(("ForwardDeadLetteredMessagesTo", entity.forward_dead_letters_to))
    return found


def _duration(milliseconds: int | None) -> str:
    """Return a time as ISO 8601 writes it."""
    return _FOR_EVER if milliseconds is None else f"PT{milliseconds / 1000:g}S"
