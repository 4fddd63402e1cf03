"""Reserves a target's placement: what a relay does before it declares or sends anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from goldwire.clock import Clock
from goldwire.errors import StoreBusyError
from goldwire.relay.placement.check import conflicts_of, refuse
from goldwire.relay.placement.placements import Placements
from goldwire.relay.placement.record import reservations, save_reservation
from goldwire.targets.base import Placement

_LOCK = "all destinations"
"""The name of a lock that belongs to no target, since no target has a blank in its name."""


class PlacementGuard(Protocol):
    """What a relay asks whether its target may deliver."""

    def reserve(self) -> None:
        """Reserve the target's placement as its contract is now. The relay calls it as it calls the store.

        Raises:
            ConfigError: the target may not deliver there; nothing is reserved then.
            StoreBusyError: another relay reserves at this moment; try again soon.
        """
        ...


class AnyPlacement:
    """Lets a target deliver anywhere: for a kind that has no destination to keep, and for tests."""

    def reserve(self) -> None:
        """Reserve nothing."""


class ReservedPlacement:
    """Lets a target deliver once its placement is reserved in the store.

    Args:
        name: the target.
        placement: what its settings meant as the relay began.
        read: reads anew where targets deliver and may have delivered.
        clock: for the time of the reservation.
    """

    def __init__(self, name: str, placement: Placement, read: Callable[[], Placements], clock: Clock) -> None:
        self._name = name
        self._placement = placement
        self._read = read
        self._clock = clock

    def reserve(self) -> None:
        """See `PlacementGuard`."""
        reserve_placement(self._read(), self._name, self._placement, self._clock.now())


def reserve_placement(placements: Placements, name: str, mine: Placement, now: float) -> None:
    """Record that a target may deliver with its placement from now on.

    One relay reserves at a time, so of two that want one destination at the same moment the second sees the first.

    Args:
        placements: where targets deliver and may have delivered; nothing was read from it yet.
        name: the target.
        mine: its placement.
        now: seconds since the epoch.

    Raises:
        ConfigError: there is a conflict; nothing is kept then.
        StoreBusyError: another relay reserves at this moment, which is quick.
    """
    with ExitStack() as held:
        try:
            held.enter_context(placements.store.lock_target(_LOCK))
        except StoreBusyError as error:
            raise StoreBusyError(_HELD.format(store=placements.configured.store())) from error
        refuse(conflicts_of(placements, name, {name: mine}))
        if not reservations(placements.store, name):
            # In a store from before reservations, the first written one ends the use of the settings in their place.
            for one in reversed(placements.reserved(name)):
                save_reservation(placements.store, name, one.placement, one.types, now)
        save_reservation(placements.store, name, mine, placements.types(name), now)


_HELD = (
    "{store}: another process holds the lock under which a target reserves its placement, which is a matter of a moment: end "
    "that process, mostly a `goldwire run` that is suspended, then repeat the command"
)
