"""Checks what no single field of `goldwire.yaml` shows: that the names in one section exist in another."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec.structs import fields

from goldwire.capture.source_spec import SourceSpec, check_source
from goldwire.config.model import Config
from goldwire.config.problems import Location, Problems, SettingPath
from goldwire.contract.spec import ContractSpec
from goldwire.errors import ConfigError, did_you_mean
from goldwire.mastering.model import EntityType


class CrossCheck:
    """Checks the names that refer from one section to another.

    Args:
        config: well-formed already.
        locations: where each value stands.
        problems: where what is wrong is noted.
        settings_types: target kinds with the structs of their settings.
    """

    def __init__(
        self,
        config: Config,
        locations: Mapping[SettingPath, Location],
        problems: Problems,
        settings_types: Mapping[str, type[msgspec.Struct]],
    ) -> None:
        self._config = config
        self._locations = locations
        self._problems = problems
        self._settings_types = settings_types

    def run(self) -> None:
        """Note everything that refers to nothing."""
        for name, entity_type in self._config.types.items():
            self._entity_type(("types", name), entity_type)
        for name, source in self._config.sources.items():
            self._source(name, source)
        for name, contract in self._config.contracts.items():
            self._contract(("contracts", name), contract)
        for name, target in self._config.targets.items():
            path = ("targets", name)
            self._known((*path, "contract"), target.contract, self._config.contracts, "contract")
            self._all_known((*path, "clearance"), target.clearance, self._config.tags, "tag")
            self._settings(path, target.kind)

    def _entity_type(self, path: SettingPath, entity_type: EntityType) -> None:
        known = entity_type.attributes
        for name, attribute in known.items():
            self._all_known((*path, "attributes", name, "tags"), attribute.tags, self._config.tags, "tag")
        for name, relation in entity_type.relations.items():
            self._all_known((*path, "relations", name, "tags"), relation.tags, self._config.tags, "tag")
        for index, rule in enumerate(entity_type.match):
            here = (*path, "match", f"[{index}]")
            self._all_known((*here, "equal"), rule.equal, known, "attribute")
            for field in ("normalise", "prefix"):
                for name in getattr(rule, field):
                    self._known((*here, field, name), name, rule.equal, "attribute of `equal`")
        self._all_known((*path, "golden", "required"), entity_type.golden.required, known, "attribute")

    def _source(self, name: str, source: SourceSpec) -> None:
        path = ("sources", name)
        self._known((*path, "type"), source.type, self._config.types, "entity type")
        entity_type = self._config.types.get(source.type)
        if entity_type is not None:
            for attribute in source.attributes:
                self._known((*path, "attributes", attribute), attribute, entity_type.attributes, "attribute")
            for index, edge in enumerate(source.edges):
                self._known((*path, "edges", f"[{index}]", "rel"), edge.rel, entity_type.relations, "relation")
        try:
            check_source(name, source)
        except ConfigError as error:
            where, _, text = str(error).partition(": ")
            self._note(tuple(where.split(".")), text)

    def _contract(self, path: SettingPath, contract: ContractSpec) -> None:
        if contract.types == "all":
            types = dict(self._config.types)
        else:
            self._all_known((*path, "types"), contract.types, self._config.types, "entity type")
            types = {name: self._config.types[name] for name in contract.types if name in self._config.types}
        attributes = {name for entity_type in types.values() for name in entity_type.attributes}
        for field in ("attributes", "reveals"):
            wanted = getattr(contract, field)
            if wanted != "all":
                self._all_known((*path, field), wanted, attributes, "attribute")
        for name in contract.masks:
            self._known((*path, "masks", name), name, attributes | set(self._config.tags), "attribute or tag")
        if not isinstance(contract.edges, str):
            relations = {name for entity_type in types.values() for name in entity_type.relations}
            self._all_known((*path, "edges"), contract.edges, relations, "relation")

    def _settings(self, path: SettingPath, kind: str) -> None:
        """Required settings of a target that has no `settings` at all; where there are some, the reader has looked."""
        if (*path, "settings") in self._locations or kind not in self._settings_types:
            return
        missing = [info.encode_name for info in fields(self._settings_types[kind]) if info.required]
        if missing:
            self._note(path, f"`settings` is missing; the kind {kind} needs {', '.join(missing)}")

    def _all_known(self, path: SettingPath, names: Collection[str], known: Collection[str], what: str) -> None:
        for index, name in enumerate(names):
            self._known((*path, f"[{index}]"), name, known, what)

    def _known(self, path: SettingPath, name: str, known: Collection[str], what: str) -> None:
        if name not in known:
            self._note(path, f"{name} is no known {what}{did_you_mean(name, known)}")

    def _note(self, path: SettingPath, text: str) -> None:
        here = path
        while here not in self._locations:
            here = here[:-1]
        self._problems.add(self._locations[here], path, text)
