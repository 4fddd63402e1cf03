"""The target port: what a target kind declares, and what it answers for each item it gets.

A target never retries, sleeps, or logs outcomes: it reports what happened to each item, and the relay decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct

from goldwire.event.sealed import SealedEvent
from goldwire.redaction import shows

MOVES = "an entity's events would go to another partition than those before, and lose their order"
"""Why what decides an entity's partition must not change: a clause that follows "because"."""

UNKNOWN_VALUE = ""
"""Stands in a placement for a value that is not known."""


class Item(Struct, gc=False, frozen=True):
    """One event to be sent. Within one `send` there is at most one item of an entity."""

    event: SealedEvent
    remote_id: str | None = None
    """The target's own id of the record, as it answered last time."""
    attempt: int = 1
    replay_id: str | None = None
    """Names the deliberate replay this belongs to: part of the message id, or a broker would swallow it as a duplicate."""


class Delivered(Struct, frozen=True):
    """The target holds it, durably."""

    remote_id: str | None = None


@shows("entity_id", "version")
class TakenEvent(Struct, frozen=True, gc=False):
    """The event that a target took last of one entity."""

    entity_id: str
    version: int
    hash: bytes
    """32 bytes."""


class Duplicate(Struct, frozen=True):
    """The target already held this version or a newer one; it changed nothing."""

    remote_id: str | None = None
    held: TakenEvent | None = None
    """What it holds of the entity, where it knows the hash: another one under the same version is no duplicate, and the relay
    finds that out."""


class Throttled(Struct, frozen=True):
    """Not written: the target asks to wait."""

    wait_seconds: float | None = None


class Unavailable(Struct, frozen=True):
    """Certainly not written: the target cannot be reached or refuses everything for now."""

    reason: str
    counted: bool = False
    """The target answered with a code that neither an outage nor a refusal of all has: it counts as an attempt of the item,
    whatever else the target takes."""


class Rejected(Struct, frozen=True):
    """Not written, and never will be as it is: a dead letter. The reason never holds a value of the record."""

    reason: str


class Unknown(Struct, frozen=True):
    """It may have been written or not: a time-out, a broken connection, a 5xx."""

    reason: str
    counted: bool = False
    """As of `Unavailable`."""
    lost: bool = False
    """The target has lost what it had acknowledged: `goldwire status` shows the reason until what it lost is sent again."""


Outcome = Delivered | Duplicate | Throttled | Unavailable | Rejected | Unknown

DELIVERED = Delivered()
"""For targets without ids of their own: one object, so that a whole batch costs nothing."""


class Target(Protocol):
    """An open connection to one target."""

    batch_limit: ClassVar[int]
    """The most items that one `send` takes."""

    async def open(self) -> None:
        """Connect and make ready.

        Raises:
            ConfigError: a setting is wrong; the text names it.
            OSError: not reachable now; the relay logs its text, which holds no secret, and tries again.
        """
        ...

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Send and answer for each item, in order. Any exception but these two counts as Unknown for all of them.

        Raises:
            ConfigError: a setting is wrong; the relay ends.
            TargetRefusedError: the target wants nothing more, for good; it is stopped, and `goldwire resume` lifts that.
        """
        ...

    async def close(self) -> None:
        """Flush and disconnect; safe to call twice, and after a failed `open`."""
        ...


@runtime_checkable
class LooksUp(Protocol):
    """A target that can say which version of an entity it holds: it resolves ambiguous outcomes without a resend."""

    async def held_versions(self, items: Sequence[Item]) -> Sequence[int | None]:
        """For each item the version the target holds of that entity now (a tombstone's too), or None."""
        ...


@runtime_checkable
class ShowsNewest(Protocol):
    """A target that can say what it took last, so that an older store is noticed when it is opened."""

    async def newest(self, limit: int) -> Sequence[TakenEvent]:
        """The last event of each of the entities that were written last, at most `limit` of them."""
        ...


@runtime_checkable
class Claims(Protocol):
    """A target that keeps beside its records which store writes them, and refuses to open where another one does."""

    def claim_for(self, store_id: str) -> None:
        """Say, before it opens, which store it works for.

        Args:
            store_id: the same for ever, and another one for every other store.
        """
        ...


class Finding(Struct, frozen=True):
    """One thing that a check of a target found out."""

    subject: str
    """What was looked at, in a word or two, e.g. `partitions`."""
    state: Literal["ok", "note", "fix"]
    """`fix`: as it is, it will not work or is not safe; `note`: worth knowing, or not visible to the check."""
    text: str
    """The finding, and with `fix` what to do. Holds no secret and no value of a record."""


@runtime_checkable
class Checks(Protocol):
    """A target that can say more about its own set-up than that it opens. Nothing is written."""

    async def check(self) -> Sequence[Finding]:
        """Look at rights and settings of what is behind the open target.

        Raises:
            OSError: not reachable now.
        """
        ...


class SubscriberLag(Struct, frozen=True):
    """How far one subscriber is behind what the target's broker holds, in one partition where there are any."""

    subscriber: str
    """A consumer group; of Service Bus the queue itself, or a subscription of the topic."""
    partition: str | None
    """None where the broker has none, or counts all of them together."""
    read_to: int | None
    """The position up to which it has read; None where it has kept none so far, or where the broker knows no positions."""
    newest: int | None
    """The position of the newest event, counted as `read_to` is."""
    waiting: int
    """How many it has yet to read; all that are there, where it has not begun or its position is of another stream."""
    dead_letters: int | None
    """How many it gave up, which the broker keeps apart; None where the broker has no dead letters."""


@runtime_checkable
class ShowsSubscribers(Protocol):
    """A target whose broker can say how far subscribers are. It need not be open."""

    async def subscribers(self) -> Sequence[SubscriberLag]:
        """Ask the broker about those that the settings name.

        Raises:
            ConfigError: the settings name none, or one that is not there, or the credential must not ask.
            OSError: not reachable now.
        """
        ...


class Placement(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a target delivers, and the settings that count there."""

    kind: str
    destination: dict[str, Any]
    """By setting, the hash of its value: what a reference leads to by mistake may be a secret. Of a list, of each."""
    fixed: dict[str, Any]
    """By setting, the value that must not change at a destination, e.g. the key that decides an entity's partition."""
    distinct: dict[str, Any]
    """By setting, the hash of the value that must differ between targets that send the same entities to one destination."""

    def __repr__(self) -> str:
        return f"Placement(kind={self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind)]


@shows("fixed", "distinct")
class PlacementTerms(Struct, frozen=True):
    """What a kind declares of placements."""

    fixed: dict[str, str]
    """By fixed setting, why it must not change: a clause that follows "because"."""
    distinct: dict[str, str]
    """By distinct setting, why it must differ: a clause of that kind."""
    defaults: dict[str, Any]
    """By fixed setting, the value that it had before it was declared."""
