"""Refuses a change of settings that would move a live target's entities to other partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from goldwire.app.wiring import House
from goldwire.errors import ConfigError
from goldwire.target import registry
from goldwire.target.settings import pinned_changes


def refuse_moves(house: House, names: Sequence[str]) -> None:
    """Compare the settings of targets that have delivered with those that were applied last.

    Raises:
        ConfigError: a pinned setting differs; the text has a line for each, with the reason and the ways out.
    """
    live = {cursor.target for cursor in house.store.cursors() if cursor.bound > cursor.start}
    found = [line for name in names if name in live for line in _moves(house, name)]
    if found:
        raise ConfigError("\n".join(found))


def settings_name(target: str) -> str:
    """Return the name under which a target's settings are kept in the store."""
    return f"target {target}"


def _moves(house: House, name: str) -> list[str]:
    config, kept = house.target_config(name), house.store.documents(settings_name(name))
    if not kept:
        return []
    before: dict[str, Any] = msgspec.json.decode(kept[-1][2])
    if before["kind"] != config.kind:
        return []
    changes = pinned_changes(registry.settings_type(config.kind), before["settings"], config.settings)
    where = house.loaded.where("targets", name, "settings")
    return [
        f"{where}: target '{name}': {setting} cannot change once it has delivered, because {reason}. Change it back, or "
        "deliver to a new place under a new target name"
        for setting, reason in changes.items()
    ]
