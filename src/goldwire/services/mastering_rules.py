"""Under which match rules and survivorship the store was mastered, so that a change of them is noticed.

What is new in the model (a type, an attribute) is no change: nothing was mastered without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from goldwire.canonical import canonical
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.revisions import Revisions
from goldwire.mastering.model import EntityType, Model
from goldwire.mastering.placeholders import WORDS

Described = dict[str, dict[str, Any]]
"""Entity type to what decides which records are one, and which values win."""


class MasteringStore(Log, Revisions, Protocol):
    """What was mastered, and the rules under which it was."""


def changed_types(store: Revisions, model: Model) -> list[str]:
    """Return the entity types whose records were mastered under other rules than those of the configuration, sorted.

    Args:
        store: where the rules are kept.
        model: the configured one.
    """
    known, present = _known(store), _described(model)
    return sorted(name for name in known.keys() & present.keys() if _differs(known[name], present[name]))


def note_mastered(store: MasteringStore, model: Model, now: float, remastered: Collection[str] = ()) -> None:
    """Note under which rules the store is mastered.

    Args:
        store: where the rules are kept.
        model: the configured one.
        now: POSIX seconds.
        remastered: whose records were all mastered again just now. For all others what was noted before stays, and what is new
            in the model is added; in an empty store everything is new.
    """
    known, present = _known(store), _described(model)
    before = known
    if store.position() == 0:
        known = {}
    wanted = {**present, **{name: _joined(rules, present.get(name)) for name, rules in known.items() if name not in remastered}}
    if wanted != before:
        store.keep_mastering_rules(canonical(wanted), now)


def _known(store: Revisions) -> Described:
    kept = store.mastering_rules()
    found: Described = msgspec.json.decode(kept[-1].document) if kept else {}
    return found


def _differs(known: dict[str, Any], present: dict[str, Any]) -> bool:
    attributes = present["attributes"]
    return {**known, "attributes": {}} != {**present, "attributes": {}} or any(
        attributes.get(name) != rules for name, rules in known["attributes"].items()
    )


def _joined(known: dict[str, Any], present: dict[str, Any] | None) -> dict[str, Any]:
    """Add the attributes that are new in the model."""
    return known if present is None else {**known, "attributes": {**present["attributes"], **known["attributes"]}}


def _described(model: Model) -> Described:
    return {name: _rules(entity_type, model.placeholders.get(name, {})) for name, entity_type in model.types.items()}


def _rules(entity_type: EntityType, of_systems: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    match = [{**msgspec.to_builtins(rule), "name": ""} for rule in entity_type.match]
    for rule in match:
        rule["equal"] = sorted(set(rule["equal"]))
        # Those that everybody writes are written out: where the list grows in a newer Goldwire, the rule has changed.
        defaults = WORDS if rule.pop("default_placeholders") else ()
        rule["placeholders"] = sorted({*defaults, *rule["placeholders"]})
        rule["placeholders_of_systems"] = of_systems
    attributes = {}
    for name, attribute in entity_type.attributes.items():
        choices = attribute.survivorship if attribute.survivorship is not None else entity_type.survivorship
        systems = attribute.systems if attribute.systems is not None else entity_type.systems
        attributes[name] = {"survivorship": list(choices), "systems": list(systems) if "source_priority" in choices else []}
    golden = msgspec.to_builtins(entity_type.golden)
    # Through JSON, so that it compares with what was kept: a tuple is a list there.
    plain = {"match": match, "attributes": attributes, "golden": golden, "approval": entity_type.approval}
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plain))
    return found
