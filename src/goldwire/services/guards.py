"""What a target's guards keep back: said before a resync begins, and let go by a person's yes."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from goldwire.changelog.consents import Consent
from goldwire.changelog.ports.consents import Consents
from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.resyncs import EffectCounts
from goldwire.clock import Clock, timestamp
from goldwire.relay.settings import GuardSettings
from goldwire.services.account import account
from goldwire.services.lookup import cursor_of


class GuardStore(Log, Deliveries, Resyncs, Consents, Protocol):
    """What was let pass, and what waits for that."""


class Resumed(Struct, frozen=True):
    """What letting a target run again came to."""

    target: str
    was_stopped: str | None
    """Why it had been stopped; None where it was not."""
    consent: Consent | None
    """What was let pass its guards; None where no yes was given."""
    resync: str | None
    """The resync that goes on with this yes; None where none waited for one."""


def resume(store: GuardStore, target: str, clock: Clock, *, yes: bool = False, why: str = "") -> Resumed:
    """Let a target run again.

    Args:
        store: where it stands.
        target: its name.
        clock: the time.
        yes: what was committed so far may go, and a resync that waits, however much leaves the target or changes there.
        why: kept with the yes.

    Raises:
        NotFoundError: it has not begun.
    """
    reason = cursor_of(store, target).stopped
    given, waiting = None, None
    if yes:
        waiting = held_resync(store, target)
        given = Consent(store.position(), account(), timestamp(clock.now()), why)
        store.keep_consent(target, given)
    if reason is not None:
        store.stop(target, None)
    return Resumed(target, reason, given, waiting)


def held_resync(store: Resyncs, target: str) -> str | None:
    """Return the id of the resync that waits for a yes, or None."""
    newest = store.newest_resync(target)
    return newest.id if newest is not None and newest.state == "held" else None


def goes_beyond(store: Consents, target: str, guards: GuardSettings, effects: EffectCounts) -> bool:
    """Say whether more would leave a target than its guards let go without a yes. Reads all its control rows.

    What changes is not held against them: it is what the author of a contract asks for, and `apply` has shown the count.
    """
    if effects.leaves <= guards.removal_minimum:
        return False
    return effects.leaves > guards.removals_allowed(store.holdings(target, "", 0).held)
