"""What can be found out of a Service Bus queue or topic without writing: by its management API, or else by trying to read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from goldwire.targets.azure.namespace import is_forbidden, kind_of
from goldwire.targets.base import Finding

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusClient

_ADMINISTRATION_SECONDS = 15.0
_READING_SECONDS = 10.0
_WINDOW = timedelta(minutes=10)
"""Long enough for the relay's repetitions after a usual outage."""

_LEAST = "Send alone suffices: use a policy or role with only that"


class Expected(Protocol):
    """What the settings say of the entity."""

    @property
    def queue(self) -> str | None:
        """Its name, if it is a queue."""

    @property
    def topic(self) -> str | None:
        """Its name, if it is a topic."""

    @property
    def sessions(self) -> bool:
        """Whether it has sessions."""

    @property
    def partitioned(self) -> bool:
        """Whether it is partitioned."""


async def look_at(new_client: Callable[[], ServiceBusClient], administration: Any, expected: Expected) -> Sequence[Finding]:
    """Return what can be found out about an entity.

    Args:
        new_client: makes a client of the SDK.
        administration: a client of its management API, or None.
        expected: what the settings say.
    """
    if administration is not None:
        properties = await _properties(administration, expected)
        if properties is not None:
            subscriptions = properties[1]
            return [
                *findings_of(properties[0], subscriptions, expected),
                Finding("rights", "note", f"the credential may manage the entity; {_LEAST}"),
            ]
    return await _by_reading(new_client, expected)


def findings_of(properties: Any, subscriptions: Sequence[Any], expected: Expected) -> list[Finding]:
    """Compare what the management API says with the settings.

    Args:
        properties: the SDK's QueueProperties or TopicProperties.
        subscriptions: of a topic, its SubscriptionProperties.
        expected: what the settings say.
    """
    found = [_duplicates(properties)]
    if expected.queue is not None:
        found.append(sessions_finding("the queue", expected, has=bool(properties.requires_session)))
    found += [sessions_finding(f"subscription {one.name}", expected, has=bool(one.requires_session)) for one in subscriptions]
    if expected.topic is not None and not subscriptions:
        found.append(Finding("subscriptions", "fix", "the topic has none: what is sent now is lost; create one"))
    if bool(properties.enable_partitioning) != expected.partitioned:
        found.append(
            Finding(
                "partitioned",
                "fix",
                f"the entity is {'' if properties.enable_partitioning else 'not '}partitioned; mend partitioned",
            )
        )
    if properties.max_message_size_in_kilobytes:
        found.append(Finding("entity size limit", "ok", f"a message may have {properties.max_message_size_in_kilobytes:,} KB"))
    if str(getattr(properties.status, "value", properties.status)) != "Active":
        found.append(Finding("status", "fix", "the entity is not active; enable it"))
    return found


def sessions_finding(what: str, expected: Expected, *, has: bool) -> Finding:
    """Say whether sessions are as the settings want them."""
    if has == expected.sessions:
        return Finding("sessions", "ok", f"{what} has {'' if has else 'no '}sessions, as set")
    if has:
        return Finding("sessions", "fix", f"{what} has sessions and would refuse every message; set sessions: true")
    return Finding(
        "sessions",
        "fix",
        f"{what} has no sessions: consumers that compete may overtake each other; create it with sessions, or set "
        "sessions: false and let one consumer read",
    )


def _duplicates(properties: Any) -> Finding:
    window = properties.duplicate_detection_history_time_window
    if not properties.requires_duplicate_detection:
        return Finding("duplicate detection", "note", "off: a repetition reaches consumers, who must ignore versions they have")
    if isinstance(window, timedelta) and window < _WINDOW:
        return Finding("duplicate detection", "note", f"on, but for {window} only; repetitions after an outage come later")
    return Finding("duplicate detection", "ok", f"on, for {window}")


def _unseen() -> Finding:
    return Finding("duplicate detection", "note", "cannot be seen with this credential; it is best on, for 10 minutes or more")


async def _properties(administration: Any, expected: Expected) -> tuple[Any, list[Any]] | None:
    """Return what the management API says; None where the credential may not ask or it is not there."""
    try:
        async with asyncio.timeout(_ADMINISTRATION_SECONDS):
            if expected.queue is not None:
                return await administration.get_queue(expected.queue), []
            topic = await administration.get_topic(expected.topic)
            return topic, [one async for one in administration.list_subscriptions(expected.topic)]
    except Exception:  # noqa: BLE001 - for any reason: it cannot be asked, and the check reports less
        return None
    finally:
        await administration.close()


async def _by_reading(new_client: Callable[[], ServiceBusClient], expected: Expected) -> list[Finding]:
    """Try to look into it as into a queue: allowed, with a session or without, refused as a topic is, or refused altogether."""
    name = expected.queue or expected.topic
    assert name is not None, "either is set"
    kind, forbidden = await _peek(new_client, name)
    has_sessions = kind == _NOT_ALLOWED
    if has_sessions:
        kind, forbidden = await _peek(new_client, name, _OWN_SESSION)
    may_read = Finding("rights", "note", f"the credential may read too; {_LEAST}")
    if expected.queue is None:
        if kind == "":
            return [Finding("topic", "fix", f"{name} is a queue, no topic; set queue: {name}"), _unseen(), may_read]
        return _of_a_topic()
    if kind == "":
        return [sessions_finding("the queue", expected, has=has_sessions), _unseen(), may_read]
    if kind == _NOT_ALLOWED:
        text = f"{name} cannot be read as a queue; it may be a topic, which loses all without subscriptions; set topic: {name}"
        return [Finding("queue", "fix", text), *_of_a_topic()]
    return [
        Finding("sessions", "note", "cannot be seen with this credential"),
        _unseen(),
        Finding("rights", "ok", "the credential may send, and did not get to read: least privilege")
        if forbidden
        else Finding("rights", "note", f"the credential may send; whether it may do more could not be seen ({kind})"),
    ]


def _of_a_topic() -> list[Finding]:
    return [
        Finding("sessions", "note", "cannot be seen with this credential: each subscription has them or not"),
        _unseen(),
        # A credential that must not manage may still read a subscription, and we know the name of none.
        Finding("rights", "note", f"the credential may send; whether it may do more cannot be seen of a topic. {_LEAST}"),
    ]


async def _peek(new_client: Callable[[], ServiceBusClient], name: str, session_id: str | None = None) -> tuple[str, bool]:
    """Look at the first message; return the kind of error that came of it, empty for none, and whether a right is missing."""
    client = new_client()
    receiver = client.get_queue_receiver(name, session_id=session_id)
    try:
        async with asyncio.timeout(_READING_SECONDS):
            await receiver.peek_messages(max_message_count=1)
    except Exception as error:  # noqa: BLE001 - the SDK raises of its own and of the system's kinds
        return kind_of(error), is_forbidden(error)
    finally:
        await receiver.close()
        await client.close()
    return "", False


_NOT_ALLOWED = "amqp:not-allowed"
"""How the service refuses a receiver without a session on an entity with sessions, and any on a topic itself."""

_OWN_SESSION = "goldwire target check"
"""A session that no entity has, so that no consumer waits for it meanwhile."""
