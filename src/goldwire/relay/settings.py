"""How a target is delivered to: pace, patience, limits, and what waits for a yes. The same for every target kind."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

from msgspec import Meta, Struct


class DeliverySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The `delivery:` block of a target."""

    mode: Annotated[
        Literal["latest", "every"],
        Meta(description="`latest`: a newer version supersedes those not yet sent; `every`: each version is sent."),
    ] = "latest"
    batch_size: Annotated[int, Meta(ge=1, le=10_000, description="Events in one send, if the target takes as many.")] = 100
    concurrency: Annotated[int, Meta(ge=1, le=1_000, description="Sends in flight at once; never two of one entity.")] = 1
    chunk_size: Annotated[int, Meta(ge=1, le=100_000, description="Positions read, sent and settled together.")] = 1_000
    rate_limit_per_second: Annotated[float, Meta(gt=0, description="Events a second; without it no limit.")] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, description="A send that takes longer counts as unknown.")] = 30.0
    max_attempts: Annotated[
        int,
        Meta(
            ge=1,
            description="Failures after which an event is dead; those during an outage of the target do not count.",
        ),
    ] = 8
    backoff_seconds: Annotated[
        float, Meta(gt=0, description="Wait after the first failure; doubles with each further one.")
    ] = 1.0
    backoff_limit_seconds: Annotated[float, Meta(gt=0, description="The longest wait between two attempts.")] = 300.0
    wait_limit_seconds: Annotated[
        float,
        Meta(gt=0, description="The longest wait that the target may ask for (`Retry-After`); then it is tried again."),
    ] = 86_400.0
    outage_limit_seconds: Annotated[
        float,
        Meta(
            gt=0,
            description="How long a target may take nothing before it is stopped, without a dead letter; each run counts anew.",
        ),
    ] = 1_209_600.0
    breaker_failures: Annotated[
        int, Meta(ge=1, description="Failed sends in a row after which the target is given a rest.")
    ] = 5
    dead_letter_ratio: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of dead letters among the last 1,000 ended deliveries that stops the target.",
        ),
    ] = 0.2
    dead_letter_minimum: Annotated[int, Meta(ge=1, description="The ratio is not looked at before this many dead letters.")] = (
        20
    )
    poll_seconds: Annotated[float, Meta(gt=0, description="How often an idle relay looks for new changes.")] = 0.5


class GuardSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The `guards:` block of a target: how much may leave it or change before a person says yes."""

    removal_ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the records that the target holds which may be deleted or deselected within the span; "
            "0 switches the guard off.",
        ),
    ] = 0.05
    removal_minimum: Annotated[int, Meta(ge=0, description="As many may leave in any case.")] = 100
    change_ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the records that the target holds which may change within the span, counting only those "
            "that it has held unchanged for longer than that; 0 switches the guard off.",
        ),
    ] = 0.5
    change_minimum: Annotated[int, Meta(ge=0, description="As many may change in any case.")] = 1_000
    span_seconds: Annotated[float, Meta(gt=0, description="Over how long it is counted.")] = 3_600.0

    def removals_allowed(self, held: int) -> float:
        """Return how many of so many records may leave within the span without a yes."""
        return _allowed(self.removal_ratio, self.removal_minimum, held)

    def changes_allowed(self, held: int) -> float:
        """Return how many of so many records may change within the span without a yes."""
        return _allowed(self.change_ratio, self.change_minimum, held)


def _allowed(ratio: float, minimum: int, held: int) -> float:
    return max(minimum, int(ratio * held)) if ratio else inf
