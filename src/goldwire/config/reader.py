"""Reads `goldwire.yaml` and reports everything that is wrong with it at once, each with line and column."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from yaml.nodes import ScalarNode

from goldwire.config.cross_checks import CrossCheck
from goldwire.config.model import Config, TargetConfig
from goldwire.config.problems import Location, Problems
from goldwire.config.references import References
from goldwire.config.typed_reader import WRONG, TypedReader
from goldwire.config.yaml_nodes import Entry, compose, location_of
from goldwire.errors import ConfigError, ConfigMissingError
from goldwire.setting_names import SettingPath, dotted
from goldwire.targets import registry

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
"""The reader refuses a larger file: it is no configuration."""


class Loaded(Struct, frozen=True):
    """A sound configuration, with its folder and locations."""

    file: Path
    config: Config
    locations: dict[SettingPath, Location]
    references: References

    @property
    def folder(self) -> Path:
        """The folder of the file: relative paths start here."""
        return self.file.absolute().parent

    def where(self, *path: str) -> str:
        """Say where something stands, e.g. `goldwire.yaml:17:5: targets.crm`."""
        here = path
        while here not in self.locations:
            here = here[:-1]
        return f"{self.file}:{self.locations[here].line}:{self.locations[here].column}: {dotted(path)}"

    def path(self, text: str) -> Path:
        """Return a path of the configuration as seen from here."""
        return self.folder / Path(text).expanduser()


def load(file: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read a configuration.

    Args:
        file: usually `goldwire.yaml`.
        environment: the variables that `${env:NAME}` refers to; `os.environ` unless given.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong; the text has a line for each problem.
    """
    return _read(_text(file), file, environment)


def load_document(document: Mapping[str, Any], folder: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read a configuration that a program holds.

    Args:
        document: what a `goldwire.yaml` would hold.
        folder: where relative paths start.
        environment: as for `load`.

    Raises:
        ConfigError: something in it is wrong; the text has a line for each problem, and names lines of the document as JSON,
            two blanks to a level.
    """
    try:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the configuration holds what JSON cannot: {error}") from error
    return _read(text, folder / "<dict>", environment)


def _read(text: str, file: Path, environment: Mapping[str, str] | None) -> Loaded:
    problems = Problems(str(file))
    reader = TypedReader(problems, lambda wanted, found, path: _settings_of_kind(wanted, found, path, problems))
    root = compose(text, problems)
    problems.raise_if_any()
    plain = reader.read(root, Config) if root is not None else WRONG
    problems.raise_if_any()
    config = msgspec.convert(plain, Config)
    settings_types = {name: registry.settings_type(name) for name in {target.kind for target in config.targets.values()}}
    CrossCheck(config, reader.locations, problems, settings_types, file.absolute().parent).run()
    problems.raise_if_any()
    references = References(os.environ if environment is None else environment, file.absolute().parent)
    return Loaded(file, config, reader.locations, references)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > SIZE_LIMIT_BYTES:
            raise ConfigError(f"{file}: larger than {SIZE_LIMIT_BYTES:,} bytes; this is no configuration")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigMissingError(file) from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error


def _settings_of_kind(wanted: type, entries: list[Entry], path: SettingPath, problems: Problems) -> dict[str, Any]:
    """Return the type of a target's `settings`, which its `kind` decides."""
    if wanted is not TargetConfig:
        return {}
    for name, value, _ in entries:
        if name == "kind" and isinstance(value, ScalarNode):
            try:
                return {"settings": registry.settings_type(str(value.value))}
            except ConfigError as error:
                problems.add(location_of(value), (*path, "kind"), str(error))
    return {}
