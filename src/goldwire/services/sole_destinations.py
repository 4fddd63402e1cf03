"""Finds targets that write to one table or one file, of which each would take the other's records for its own."""

from __future__ import annotations

from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.services.targets import TargetMaker
from goldwire.targets.settings import sole_destinations


def sole_destination_conflicts(loaded: Loaded, targets: TargetMaker) -> list[ConfigError]:
    """Return an error for each configured target whose destination an earlier one in the file has.

    Args:
        loaded: the configuration.
        targets: its targets; one with a wrong setting is passed over, since its own error says more.
    """
    first: dict[tuple[str, str], str] = {}
    found = []
    for name in targets.names:
        try:
            destinations = sole_destinations(targets.settings(name))
        except ConfigError:
            continue
        kind = targets.config(name).kind
        others = [first.setdefault((kind, destination), name) for destination in destinations]
        other = next((one for one in others if one != name), None)
        if other is not None:
            where = loaded.where("targets", name, "settings")
            found.append(
                ConfigError(
                    f"{where}: target '{name}' writes where target '{other}' writes, and each would take the other's records "
                    "for its own; give it a table or a file of its own, or remove one of the two"
                )
            )
    return found
