"""Checks what no single field of `goldwire.yaml` shows: that the names in one section exist in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import fields

from goldwire.capture.source_spec import SourceSpec, check_source
from goldwire.config.model import Config, TargetConfig
from goldwire.config.problems import Location, Problems
from goldwire.config.references import References
from goldwire.contract.names import clearance_names, contract_names
from goldwire.errors import ConfigError
from goldwire.mastering.model import EntityType, Model
from goldwire.mastering.model_check import model_names
from goldwire.setting_names import NameUse, SettingPath, undeclared
from goldwire.targets.settings import attribute_maps_of, parts_of


class CrossCheck:
    """Checks the names that refer from one section to another.

    Args:
        config: well-formed already.
        locations: where each value stands.
        problems: where what is wrong is noted.
        settings_types: target kinds with the structs of their settings.
        folder: where relative paths start.
    """

    def __init__(
        self,
        config: Config,
        locations: Mapping[SettingPath, Location],
        problems: Problems,
        settings_types: Mapping[str, type[msgspec.Struct]],
        folder: Path,
    ) -> None:
        self._config = config
        self._locations = locations
        self._problems = problems
        self._settings_types = settings_types
        self._folder = folder

    def run(self) -> None:
        """Note everything that refers to nothing."""
        for use in undeclared(self._names()):
            self._note(use.path, use.text)
        for name, source in self._config.sources.items():
            self._source(name, source)
        for name, target in self._config.targets.items():
            self._settings(("targets", name), target.kind)
            if target.heads is not None and self._config.keys.heads is None:
                self._note(("targets", name, "heads"), "`keys.heads` is missing, which signs the list")
            self._left_out(name, target)
        self._shared_lists()

    def _shared_lists(self) -> None:
        """Note the lists of heads that go where another target's goes already."""
        first: dict[Path, str] = {}
        for name, target in self._config.targets.items():
            if target.heads is None:
                continue
            other = first.setdefault((self._folder / Path(target.heads.path).expanduser()).resolve(), name)
            if other != name:
                text = (
                    f"target {other} has its list of heads in that file, and each would replace the other's; name another file"
                )
                self._note(("targets", name, "heads", "path"), text)

    def _names(self) -> Iterator[NameUse]:
        """Yield every name that one section uses and another has to declare."""
        config = self._config
        model = Model(config.types, config.tags)
        yield from model_names(model)
        for name, source in config.sources.items():
            yield from self._source_names(("sources", name), source)
        for name, contract in config.contracts.items():
            yield from contract_names(contract, model, ("contracts", name))
        for name, target in config.targets.items():
            yield NameUse(("targets", name, "contract"), target.contract, "contract", config.contracts)
            yield from clearance_names(target.clearance, config.tags, ("targets", name))
            yield from self._attribute_names(name, target)

    def _attribute_names(self, name: str, target: TargetConfig) -> Iterator[NameUse]:
        """Yield the attributes that a target's settings name; the contract's entity types declare them."""
        contract, settings_type = self._config.contracts.get(target.contract), self._settings_types.get(target.kind)
        if contract is None or settings_type is None:
            return
        known = self._config.types
        names = list(known) if contract.types == "all" else [one for one in contract.types if one in known]
        types = {one: known[one] for one in names}
        path: SettingPath = ("targets", name, "settings")
        yield from _mapped_attributes(path, target.settings, settings_type, list(types.values()))
        for setting, part in parts_of(settings_type).items():
            given = target.settings.get(setting)
            if not isinstance(given, Mapping) or not given:
                continue
            declared = types if part.each == "entity type" else {one for each in types.values() for one in each.relations}
            for key, entry in given.items():
                here = (*path, setting, str(key))
                yield NameUse(here, str(key), part.each, declared)
                if isinstance(entry, Mapping):
                    within = [types[key]] if part.each == "entity type" and key in types else list(types.values())
                    yield from _mapped_attributes(here, entry, part.settings, within)

    def _left_out(self, name: str, target: TargetConfig) -> None:
        """Note the entity types of a contract for which settings that have to be there for each are missing."""
        contract, settings_type = self._config.contracts.get(target.contract), self._settings_types.get(target.kind)
        if contract is None or settings_type is None:
            return
        for setting, part in parts_of(settings_type).items():
            given = target.settings.get(setting)
            if part.each != "entity type" or not isinstance(given, Mapping) or not given:
                continue
            names = list(self._config.types) if contract.types == "all" else contract.types
            missing = [one for one in names if one in self._config.types and one not in given]
            if missing:
                text = f"contract {target.contract} has entity type {missing[0]}, for which nothing stands here"
                mend = "add it, or take it out of the contract's `types`"
                self._note(("targets", name, "settings", setting), f"{text}; {mend}")

    def _source_names(self, path: SettingPath, source: SourceSpec) -> Iterator[NameUse]:
        yield NameUse((*path, "type"), source.type, "entity type", self._config.types)
        entity_type = self._config.types.get(source.type)
        if entity_type is not None:
            for name in source.attributes:
                yield NameUse((*path, "attributes", name), name, "attribute", entity_type.attributes)
            for index, edge in enumerate(source.edges):
                yield NameUse((*path, "edges", f"[{index}]", "rel"), edge.rel, "relation", entity_type.relations)

    def _source(self, name: str, source: SourceSpec) -> None:
        try:
            check_source(name, source)
        except ConfigError as error:
            where, _, text = str(error).partition(": ")
            self._note(tuple(where.split(".")), text)

    def _settings(self, path: SettingPath, kind: str) -> None:
        """Required settings of a target that has no `settings` at all; where there are some, the reader has looked."""
        if (*path, "settings") in self._locations or kind not in self._settings_types:
            return
        missing = [info.encode_name for info in fields(self._settings_types[kind]) if info.required]
        if missing:
            self._note(path, f"`settings` is missing; the kind {kind} needs {', '.join(missing)}")

    def _note(self, path: SettingPath, text: str) -> None:
        here = path
        while here not in self._locations:
            here = here[:-1]
        self._problems.add(self._locations[here], path, text)


def _mapped_attributes(
    path: SettingPath, settings: Mapping[str, Any], settings_type: type[msgspec.Struct], types: Sequence[EntityType]
) -> Iterator[NameUse]:
    """Yield the attributes that the mappings of a Struct of settings name."""
    declared = {attribute for entity_type in types for attribute in entity_type.attributes}
    for setting in attribute_maps_of(settings_type):
        given = settings.get(setting)
        for key, attribute in given.items() if isinstance(given, Mapping) else ():
            if isinstance(attribute, str) and not References.has_any(attribute):
                yield NameUse((*path, setting, str(key)), attribute, "attribute", declared)
