"""What must hold before a target is delivered to, by whichever command: its contract, its keys, its placement."""

from __future__ import annotations

from collections.abc import Sequence

from goldwire.changelog.ports.revisions import Revisions
from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.relay.placement.check import check_placement, refuse
from goldwire.relay.placement.placements import Placements
from goldwire.services.contract_documents import AppliedContracts, contract_differs


def check_deliverable(names: Sequence[str], *, loaded: Loaded, store: Revisions, placements: Placements) -> list[str]:
    """Refuse, before any begins, targets that must not be delivered to as they are.

    Args:
        names: the targets, which begin together.
        loaded: the configuration.
        store: where contracts were applied.
        placements: where targets deliver and may have delivered.

    Returns:
        the targets whose configured contract is not applied: the applied one goes on to count.

    Raises:
        ConfigError: a contract was never applied, or with other keys, or the settings would move entities to other partitions.
    """
    newest = {name: revisions[-1] for name in names if (revisions := store.revisions(name))}
    fresh = [name for name in names if name not in newest]
    if fresh:
        raise ConfigError(f"no contract was applied yet for {', '.join(fresh)}; run `goldwire apply`")
    refuse(check_placement(placements, names))
    for name in names:
        AppliedContracts(loaded, name).check_keys(newest[name])
    return [name for name in names if contract_differs(loaded, store, name)]
