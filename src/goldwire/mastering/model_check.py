"""Checks a model for what its types alone cannot check: names that point nowhere, rules without what they need."""

from __future__ import annotations

from collections.abc import Iterable

from goldwire.canonical import NotPlainError, text
from goldwire.errors import ConfigError
from goldwire.mastering.model import EntityType, MatchRule, Model


def check_model(model: Model) -> None:
    """Check a model.

    Raises:
        ConfigError: it contradicts itself; the text names the location in goldwire.yaml and the fix.
    """
    for name, entity_type in model.types.items():
        location = f"types.{name}"
        _check_name(location, name)
        _check_type(location, entity_type)
        for kind, entries in (("attributes", entity_type.attributes), ("relations", entity_type.relations)):
            for entry, spec in entries.items():
                _check_name(f"{location}.{kind}.{entry}", entry)
                _check_tags(f"{location}.{kind}.{entry}.tags", spec.tags, model)


def _check_type(location: str, entity_type: EntityType) -> None:
    if not entity_type.attributes:
        raise ConfigError(f"{location}.attributes: an entity type needs at least one attribute")
    for name, attribute in entity_type.attributes.items():
        rules = attribute.survivorship if attribute.survivorship is not None else entity_type.survivorship
        systems = attribute.systems if attribute.systems is not None else entity_type.systems
        if "source_priority" in rules and not systems:
            raise ConfigError(
                f"{location}.attributes.{name}: `source_priority` needs `systems`, most trusted first, here or at "
                f"{location}.systems"
            )
        _check_systems(f"{location}.attributes.{name}.systems", attribute.systems or ())
    _check_systems(f"{location}.systems", entity_type.systems)
    _check_known(f"{location}.golden.required", entity_type.golden.required, entity_type)
    names = [rule.name for rule in entity_type.match]
    for index, rule in enumerate(entity_type.match):
        if names.count(rule.name) > 1:
            raise ConfigError(f"{location}.match[{index}].name: two rules are named `{rule.name}`; rename one")
        _check_rule(f"{location}.match[{index}]", rule, entity_type)


def _check_rule(location: str, rule: MatchRule, entity_type: EntityType) -> None:
    if not rule.equal:
        raise ConfigError(f"{location}.equal: name the attributes that must be equal")
    _check_known(f"{location}.equal", rule.equal, entity_type)
    for option, attributes in (("normalise", rule.normalise), ("prefix", rule.prefix)):
        for name in attributes:
            if name not in rule.equal:
                raise ConfigError(
                    f"{location}.{option}: `{name}` is not among the rule's `equal`; add it there or drop it here"
                )


def _check_known(location: str, names: Iterable[str], entity_type: EntityType) -> None:
    for name in names:
        if name not in entity_type.attributes:
            raise ConfigError(f"{location}: there is no attribute `{name}`; the type has {', '.join(entity_type.attributes)}")


def _check_tags(location: str, tags: Iterable[str], model: Model) -> None:
    for tag in tags:
        if tag not in model.tags:
            raise ConfigError(f"{location}: the tag `{tag}` is not declared; add it under `tags` or mend its name")


def _check_systems(location: str, systems: tuple[str, ...]) -> None:
    for system in systems:
        if systems.count(system) > 1:
            raise ConfigError(f"{location}: `{system}` is named twice; keep the first one")


def _check_name(location: str, name: str) -> None:
    """Names are joined by commas in the log, where `@` marks what is no attribute."""
    try:
        text(name)
    except NotPlainError as error:
        raise ConfigError(f"{location}: the name {error}") from error
    if not name.strip() or name.startswith("@") or "," in name or not name.isprintable():
        raise ConfigError(f"{location}: a name is not blank, does not begin with `@` and holds no comma or control character")
