"""The targets that a configuration describes: their settings with every reference resolved, and the targets themselves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from goldwire.clock import Clock
from goldwire.config.model import TargetConfig
from goldwire.config.reader import Loaded
from goldwire.errors import NotFoundError, did_you_mean
from goldwire.targets import registry
from goldwire.targets.base import Target
from goldwire.targets.settings import Settings, paths_of

_SQLITE = "sqlite:///"


class TargetMaker:
    """Makes the targets of one configuration.

    Args:
        loaded: the configuration.
        clock: the time, for targets that need it.
    """

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        self._loaded = loaded
        self._clock = clock

    @property
    def loaded(self) -> Loaded:
        """The configuration."""
        return self._loaded

    @property
    def names(self) -> list[str]:
        """The configured targets, in the order of the file."""
        return list(self._loaded.config.targets)

    def config(self, name: str) -> TargetConfig:
        """Return a target's part of the configuration.

        Raises:
            NotFoundError: there is none of this name.
        """
        targets = self._loaded.config.targets
        if name not in targets:
            raise NotFoundError(f"{self._loaded.file} has no target {name}{did_you_mean(name, targets)}")
        return targets[name]

    def settings(self, name: str) -> Settings:
        """Return a target's settings with every reference resolved.

        A setting that its kind declares as a path, and the file of a `sqlite:///` address, starts at the folder of the
        configuration, wherever the command is run.

        Raises:
            NotFoundError: there is no target of this name.
            ConfigError: a variable or a file is missing, or what it holds does not fit.
        """
        config = self.config(name)
        where = self._loaded.where("targets", name, "settings")
        plain = self._loaded.references.resolve(config.settings, where)
        return registry.parse_settings(config.kind, name, self._located(plain, paths_of(registry.settings_type(config.kind))))

    def _located(self, plain: dict[str, Any], paths: Collection[str] = ()) -> dict[str, Any]:
        """Return settings whose files are named as seen from anywhere."""
        found: dict[str, Any] = {}
        for key, value in plain.items():
            if value and key in paths:
                found[key] = str(self._loaded.path(value))
            elif isinstance(value, str) and value.startswith(_SQLITE) and not value.startswith((_SQLITE + "/", _SQLITE + ":")):
                found[key] = _SQLITE + str(self._loaded.path(value.removeprefix(_SQLITE)))
            else:
                found[key] = self._located(value) if isinstance(value, dict) else value
        return found

    def make(self, name: str) -> Target:
        """Return a target, not yet open.

        Raises:
            NotFoundError: there is none of this name.
            ConfigError: a setting is wrong.
        """
        return registry.build(self.config(name).kind, name, self.settings(name), self._clock)
