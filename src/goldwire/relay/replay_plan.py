"""The dry run of a replay: what it would send, without sending or writing anything."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from goldwire.changelog.replays import ReplayFailure, Selection
from goldwire.relay.replay_source import Choice, Gathered, ReplaySource

PAGE = 50
"""How many entities are looked at at once."""

BLOCKED_NAMED_MAX = 100


class Plan(Struct):
    """What a replay would send now. While it runs more may be added: an entity's events go to its newest one."""

    entities: int = 0
    events: int = 0
    bytes: int = 0
    withheld: int = 0
    """Events that the present contract, or an erasure, no longer lets out."""
    newest_only: int = 0
    """Entities of whose past only the newest event can be proven."""
    unconfirmed: int = 0
    """Entities of which nothing can be proven; nothing of them would be sent."""
    waiting: int = 0
    """Entities with a delivery that may have arrived and has to end first; their events are counted only then."""
    blocked: int = 0
    """Entities whose delivery that may have arrived is dead."""
    blocked_entities: list[ReplayFailure] = []
    undecided: int = 0
    """Versions for which the selection's expression had no result; an entity is not chosen by them."""
    rate: float | None = None
    """Events a second, the least of the limits; None where there is none."""
    seconds: float | None = None
    """How long at that rate."""


async def plan_replay(source: ReplaySource, selection: Selection, rate: float | None, progress: Callable[[int], None]) -> Plan:
    """Go through all that a replay would send.

    Args:
        source: the target's past.
        selection: what would be repeated.
        rate: events a second.
        progress: called with the position that was reached.
    """
    plan = Plan(rate=rate)
    choose = Choice.of(selection)
    await source.refresh()
    position = selection.after
    while position < selection.upto:
        page = await source.page(selection, position, PAGE)
        _add(plan, await source.gather(selection, choose, page.entity_ids))
        position = page.upto
        progress(position)
    if rate is not None:
        plan.seconds = plan.events / rate
    return plan


def _add(plan: Plan, gathered: Gathered) -> None:
    for repeat in gathered.repeats:
        plan.entities += 1
        plan.events += len(repeat.sent)
        plan.bytes += sum(len(one.event.body) for one in repeat.sent)
        plan.withheld += repeat.withheld
        plan.newest_only += repeat.newest_only
    plan.withheld += gathered.withheld
    plan.unconfirmed += gathered.unconfirmed
    plan.undecided += gathered.undecided
    plan.waiting += len(gathered.waiting)
    plan.blocked += len(gathered.blocked)
    plan.blocked_entities += gathered.blocked[: BLOCKED_NAMED_MAX - len(plan.blocked_entities)]
