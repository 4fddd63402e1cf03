"""Checks a model for what its types alone cannot check: names that point nowhere, rules without what they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from goldwire.canonical import NotPlainError, text
from goldwire.capture.source_spec import check_placeholders
from goldwire.errors import ConfigError
from goldwire.mastering.model import Attribute, EntityType, Model, Relation
from goldwire.setting_names import NameUse, dotted, undeclared, uses_in_list


def check_model(model: Model) -> None:
    """Check a model.

    Raises:
        ConfigError: it contradicts itself; the text names the location in goldwire.yaml and the fix.
    """
    for use in undeclared(model_names(model)):
        raise ConfigError(f"{dotted(use.path)}: {use.text}")
    for name, entity_type in model.types.items():
        location = f"types.{name}"
        _check_name(location, name)
        _check_type(location, entity_type)
        for kind, entries in (("attributes", entity_type.attributes), ("relations", entity_type.relations)):
            for entry in entries:
                _check_name(f"{location}.{kind}.{entry}", entry)


def model_names(model: Model) -> Iterator[NameUse]:
    """Yield the names that a model uses and itself declares: tags of attributes and relations, attributes of rules."""
    for type_name, entity_type in model.types.items():
        path, known = ("types", type_name), entity_type.attributes
        tagged: tuple[tuple[str, Mapping[str, Attribute | Relation]], ...] = (
            ("attributes", known),
            ("relations", entity_type.relations),
        )
        for kind, entries in tagged:
            for name, entry in entries.items():
                yield from uses_in_list((*path, kind, name, "tags"), entry.tags, "tag", model.tags)
        for index, rule in enumerate(entity_type.match):
            here = (*path, "match", f"[{index}]")
            yield from uses_in_list((*here, "equal"), rule.equal, "attribute", known)
            for option, names in (("normalise", rule.normalise), ("prefix", rule.prefix)):
                for name in names:
                    yield NameUse((*here, option, name), name, "attribute of `equal`", rule.equal)
        yield from uses_in_list((*path, "golden", "required"), entity_type.golden.required, "attribute", known)


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
    names = [rule.name for rule in entity_type.match]
    for index, rule in enumerate(entity_type.match):
        if names.count(rule.name) > 1:
            raise ConfigError(f"{location}.match[{index}].name: two rules are named `{rule.name}`; rename one")
        if not rule.equal:
            raise ConfigError(f"{location}.match[{index}].equal: name the attributes that must be equal")
        check_placeholders(f"{location}.match[{index}].placeholders", rule.placeholders)


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
