"""What must hold before a target is delivered to, by whichever command: its contract, its keys, its place."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire.app.applying import differs
from goldwire.app.output import note
from goldwire.app.pinned import refuse_moves
from goldwire.app.wiring import House
from goldwire.errors import ConfigError


def refuse_unfit(house: House, names: Sequence[str]) -> None:
    """Refuse, before any begins, targets that must not be delivered to as they are; warn of a contract that is not applied.

    Raises:
        ConfigError: a contract was never applied, or with other keys, or the settings would move entities to other partitions.
    """
    fresh = [name for name in names if not house.store.revisions(name)]
    if fresh:
        raise ConfigError(f"no contract was applied yet for {', '.join(fresh)}; run `goldwire apply`")
    refuse_moves(house, names)
    for name in names:
        house.check_keys(name)
        if differs(house, name):
            note(f"goldwire: {name}: the contract in {house.loaded.file} is not applied; `goldwire apply` does it")
