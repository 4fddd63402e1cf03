"""What can go wrong for a subscriber, sorted by what happens next.

`PoisonError`: the same message will fail again, so it becomes a dead letter and the stream goes on.
`TryAgainError`: nothing is wrong with the message; it is not acknowledged, and comes again.
`StoppedError`: a person has to look before the stream may go on.

No text holds a value of a record.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

PoisonKind = Literal["unreadable", "altered", "mislabelled", "rejected"]


class SubscriberError(Exception):
    """Everything that this package raises on purpose."""


class PoisonError(SubscriberError):
    """A message that will fail again however often it comes: it becomes a dead letter.

    Attributes:
        entity_id: whose event the message says it is, so that an erasure finds its dead letter; None where it does not say.
        version: the version that it states.
    """

    kind: ClassVar[PoisonKind]

    def __init__(self, text: str, entity_id: str | None = None, version: int | None = None) -> None:
        super().__init__(text)
        self.entity_id = entity_id
        self.version = version


class UnreadableError(PoisonError):
    """A message is no event: no JSON, a member missing or of the wrong type, a member twice."""

    kind = "unreadable"


class AlteredError(PoisonError):
    """An event's content does not have the hash that it states."""

    kind = "altered"


class MislabelledError(PoisonError):
    """What travels beside an event says something else than the event."""

    kind = "mislabelled"


class RejectedError(PoisonError):
    """The subscriber's own handler cannot take this event; raised by the handler, with a text that holds no value."""

    kind = "rejected"


class TryAgainError(SubscriberError):
    """The message is good, but what it needs is not there now; a handler may raise it too."""


class StoppedError(SubscriberError):
    """The stream must not go on by itself; the message is not acknowledged."""


class TooManyDeadLettersError(StoppedError):
    """More messages in a row were poison than the subscriber allows: probably a fault of the subscriber."""


class StreamMadeAgainError(StoppedError):
    """What is read was deleted and made again under its name, so what was kept of how far it was read is of another stream."""


class Link(NamedTuple):
    """One end of a break in a chain."""

    version: int
    hash: str


class GapDetected(StoppedError):  # noqa: N818 - it is news as much as an error
    """An event of this entity was lost or altered: the next one does not follow the last one.

    Attributes:
        entity_id: whose.
        last: version and hash of what was applied last; None where nothing was.
        next: version and hash of the event that does not follow.
        previous_hash: the predecessor that it names.
    """

    def __init__(self, entity_id: str, last: Link | None, next_: Link, previous_hash: str | None) -> None:
        self.entity_id = entity_id
        self.last = last
        self.next = next_
        self.previous_hash = previous_hash
        before = "nothing was applied before" if last is None else f"version {last.version} was applied last"
        super().__init__(
            f"entity {entity_id}: {before}, and version {next_.version} does not follow it: an event between was lost or "
            "altered. Ask for a replay of this entity; a full event of it heals the gap"
        )
