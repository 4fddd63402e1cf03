"""Refuses a change of settings that would move a live target's entities to other partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from goldwire.app.wiring import House
from goldwire.canonical import canonical
from goldwire.errors import ConfigError
from goldwire.target import registry
from goldwire.target.backplane import MOVES
from goldwire.target.settings import has_pinned, pinned_changes, same_place


def refuse_moves(house: House, names: Sequence[str]) -> None:
    """Compare the settings of targets that may have delivered with those that were applied, or ran, at the same place last.

    Raises:
        ConfigError: a pinned setting differs; the text has a line for each, with the reason and the ways out.
    """
    live = {cursor.target for cursor in house.store.cursors() if cursor.reach > cursor.start}
    found = [line for name in names if name in live for line in _moves(house, name)]
    if found:
        raise ConfigError("\n".join(found))


def at_the_same_place(house: House, name: str) -> list[str]:
    """Return the other targets that have the place of this one, or had it last, as far as their settings tell."""
    config = house.target_config(name)
    settings_type = registry.settings_type(config.kind)
    if not has_pinned(settings_type):
        return []
    last: dict[str, tuple[str, Any]] = {}
    for cursor in house.store.cursors():
        for _, _, document in house.store.documents(settings_name(cursor.target))[-1:]:
            kept = msgspec.json.decode(document)
            last[cursor.target] = kept["kind"], kept["settings"]
    last |= {other: (one.kind, one.settings) for other, one in house.loaded.config.targets.items()}
    return sorted(
        other
        for other, (kind, settings) in last.items()
        if other != name and kind == config.kind and same_place(settings_type, settings, config.settings)
    )


def keep_settings(house: House, name: str) -> None:
    """Remember a target's settings: from now on it may deliver with them. What is known is not written again."""
    document, kept = settings_document(house, name), house.store.documents(settings_name(name))
    if not kept or kept[-1][2] != document:
        house.store.save_document(settings_name(name), document, house.clock.now())


def settings_document(house: House, name: str) -> bytes:
    """Return a target's settings in the form in which the store keeps them, references to secrets unresolved."""
    plain = msgspec.to_builtins(house.target_config(name))
    return canonical({field: plain[field] for field in ("kind", "settings", "start", "delivery")})


def settings_name(target: str) -> str:
    """Return the name under which a target's settings are kept in the store."""
    return f"target {target}"


def _moves(house: House, name: str) -> list[str]:
    """Compare with the newest settings that meant the same place: a target may have been elsewhere since, and come back.

    Settings that may have meant it are compared as well, and do not end the search: the place may be an older one.
    """
    config, kept = house.target_config(name), house.store.documents(settings_name(name))
    settings_type = registry.settings_type(config.kind)
    if not kept or not has_pinned(settings_type):
        return []
    where = house.loaded.where("targets", name, "settings")
    earlier: list[dict[str, Any]] = [msgspec.json.decode(document) for _, _, document in reversed(kept)]
    last_broker = next((one["kind"] for one in earlier if has_pinned(registry.settings_type(one["kind"]))), config.kind)
    if last_broker != config.kind:
        # Two kinds may map keys differently, and their settings do not tell whether they mean the same place.
        return [_refusal(where, name, f"kind (it was {last_broker})", MOVES)]
    for before in earlier:
        if before["kind"] != config.kind:
            continue
        changes = pinned_changes(settings_type, before["settings"], config.settings)
        if changes or same_place(settings_type, before["settings"], config.settings):
            return [_refusal(where, name, setting, reason) for setting, reason in changes.items()]
    return []


def _refusal(where: str, name: str, setting: str, reason: str) -> str:
    return (
        f"{where}: target '{name}': {setting} cannot change once it has delivered, because {reason}. Change it back, or "
        "deliver to a new place under a new target name"
    )
