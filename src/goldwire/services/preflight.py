"""What must hold before a target is delivered to, by whichever command: its contract, its keys, its placement."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire.errors import ConfigError
from goldwire.relay.placement.check import check_placement, refuse
from goldwire.services.application import Application
from goldwire.services.contract_documents import contract_differs
from goldwire.services.placement import placements_of


def check_deliverable(application: Application, names: Sequence[str]) -> list[str]:
    """Refuse, before any begins, targets that must not be delivered to as they are.

    Returns:
        the targets whose configured contract is not applied: the applied one goes on to count.

    Raises:
        ConfigError: a contract was never applied, or with other keys, or the settings would move entities to other partitions.
    """
    fresh = [name for name in names if not application.store.revisions(name)]
    if fresh:
        raise ConfigError(f"no contract was applied yet for {', '.join(fresh)}; run `goldwire apply`")
    refuse(check_placement(placements_of(application), names))
    for name in names:
        application.check_keys(name)
    return [name for name in names if contract_differs(application.loaded, application.store, name)]
