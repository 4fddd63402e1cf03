"""What becomes of a delivery after an attempt: ended, to be tried again, or dead."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, cast

from goldwire.changelog.rows import Control, LogRow, OpenDelivery
from goldwire.clock import Clock, timestamp
from goldwire.event.sealed import SealedEvent
from goldwire.relay.pace import DeadLetterCap, backoff_seconds
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Delivered, Duplicate, Outcome, Rejected, Throttled, Unavailable, Unknown

_control = cast("Callable[[tuple[Any, ...]], Control]", partial(tuple.__new__, Control))  # half the time of the constructor

ASKED_TO_WAIT = "the target asked to wait"
"""The reason of a delivery that was throttled: the only one that may be due later than the longest backoff."""


def first_attempt(row: LogRow) -> OpenDelivery:
    """Return the open delivery that this row becomes when it was not delivered at once: never attempted so far."""
    return OpenDelivery(
        seq=row.seq,
        entity_id=row.entity_id,
        entity_type=row.entity_type,
        version=row.version,
        state="retrying",
        attempts=0,
        strikes=0,
        ambiguous=False,
        first_attempt_at=None,
        last_attempt_at=None,
        due_at=0.0,
        reason="",
        revision=0,
    )


def settled(
    row: LogRow,
    event: SealedEvent,
    outcome: Delivered | Duplicate,
    revision: int,
    held: Control | None,
    settled_at: str,
) -> Control:
    """Return the control row that says the target took this event."""
    # Where a resync let another content pass, the chain goes on from what is there; a deletion has not removed that yet.
    content = outcome.held.hash if isinstance(outcome, Duplicate) and outcome.held is not None else event.hash
    removed = event.deleted and content == event.hash
    remote_id = outcome.remote_id
    if remote_id is None and held is not None and not event.deleted:
        remote_id = held.remote_id
    return _control(
        (
            row.entity_id,
            row.version,
            row.seq,
            "gone" if removed else "in",
            content,
            event.previous_hash,
            event.base_version,
            revision,
            remote_id,
            settled_at,
            "delivered" if type(outcome) is Delivered else "duplicate",
        )
    )


class Liveness:
    """When a target took something last: one for all that is judged of it, deliveries and replays."""

    def __init__(self) -> None:
        self.seen_at = ""


class RetryPolicy:
    """Decides what an outcome other than a delivery means for its delivery."""

    def __init__(
        self, settings: DeliverySettings, cap: DeadLetterCap, clock: Clock, random: Random, liveness: Liveness | None = None
    ) -> None:
        self._settings = settings
        self._cap = cap
        self._clock = clock
        self._random = random
        self.liveness = liveness or Liveness()
        self.stop: str | None = None
        """Why the target must stop, once it must."""

    def note_answer(self) -> None:
        """Note that the target answered for some item: failures from now on are the items', not the target's."""
        self.liveness.seen_at = timestamp(self._clock.now())

    def delivered(self, count: int) -> None:
        """Note deliveries that the target took."""
        self._cap.delivered(count)

    def decide(self, delivery: OpenDelivery, outcome: Outcome | None, sent_at: str) -> OpenDelivery:
        """Return the delivery as it stands after this outcome.

        Args:
            delivery: as it was before.
            outcome: None when it was not attempted; it is due at once then.
            sent_at: when the sends began of which this is one.
        """
        now = self._clock.now()
        if outcome is None:
            return delivery._replace(due_at=now)
        at = timestamp(now)
        attempted = delivery._replace(
            attempts=delivery.attempts + 1,
            first_attempt_at=delivery.first_attempt_at or at,
            last_attempt_at=at,
            ambiguous=delivery.ambiguous or type(outcome) is Unknown,
            reason=outcome.reason if isinstance(outcome, Rejected | Unavailable | Unknown) else ASKED_TO_WAIT,
        )
        if type(outcome) is Rejected:
            return self._dead(attempted)
        # A failure counts against the event only if the target took other work since; an outage kills nothing.
        # An answer that no outage gives counts by itself, or an event that is alone would be tried for ever.
        counted = isinstance(outcome, Unavailable | Unknown) and outcome.counted
        alive = self.liveness.seen_at >= (delivery.last_attempt_at or sent_at)
        struck = counted or (alive and type(outcome) is not Throttled)
        strikes = attempted.strikes + struck
        if strikes >= self._settings.max_attempts:
            reason = f"gave up after {attempted.attempts} attempts: {attempted.reason}"
            return self._dead(attempted._replace(strikes=strikes, reason=reason))
        wait = backoff_seconds(self._settings, attempted.attempts, self._random)
        if type(outcome) is Throttled and outcome.wait_seconds is not None:
            wait = outcome.wait_seconds
        return attempted._replace(state="retrying", strikes=strikes, due_at=now + wait)

    def keep_back(self, delivery: OpenDelivery, reason: str, *, stop: bool = True) -> OpenDelivery:
        """Return the delivery as it stands when it must not be sent before a person has said yes.

        Args:
            delivery: as it was before.
            reason: why.
            stop: the target must stop; otherwise it is looked at again once the log may have brought something newer.
        """
        if stop:
            self.stop = self.stop or reason
        return delivery._replace(state="retrying", due_at=self._clock.now() + (0.0 if stop else self._settings.backoff_seconds))

    def hold_back(self, delivery: OpenDelivery, reason: str) -> OpenDelivery:
        """Return the delivery as it stands when no event could be made of it: nothing was sent."""
        return self._dead(delivery._replace(reason=reason))

    def _dead(self, delivery: OpenDelivery) -> OpenDelivery:
        if self.stop is None and self._cap.admits_dead():
            return delivery._replace(state="dead")
        if self.stop is None:
            self.stop = (
                f"too many deliveries die ({self._settings.dead_letter_ratio:.0%} of the last ones and at least "
                f"{self._settings.dead_letter_minimum}); the last one because: {delivery.reason}"
            )
        # What the cap keeps from dying is tried again once a person has let the target run.
        return delivery._replace(state="retrying", due_at=self._clock.now())
