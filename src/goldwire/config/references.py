"""References to what the configuration does not hold: `${env:NAME}` and `${file:PATH}`, resolved late."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goldwire.errors import ConfigError

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")


class References:
    """Resolves references inside strings. `$${` stands for a literal `${`.

    Args:
        environment: the variables, usually `os.environ`.
        folder: what a relative path of `${file:...}` starts from: the folder of the configuration.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder

    def resolve(self, value: Any, where: str) -> Any:
        """Return a plain value with every reference in it replaced.

        Args:
            value: text, or lists and mappings that hold text.
            where: for messages, e.g. `goldwire.yaml:17:5: targets.crm.settings`.

        Raises:
            ConfigError: a variable is not set, a file cannot be read, or a reference is of an unknown form.
                The text names the variable or the file, never what it holds.
        """
        if isinstance(value, str):
            return _REFERENCE.sub(lambda match: self._one(match, where), value)
        if isinstance(value, list):
            return [self.resolve(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{where}.{key}") for key, item in value.items()}
        return value

    @staticmethod
    def named(value: Any, name: Callable[[str], str]) -> Any:
        """Return a plain value in which each reference is replaced by a name, so that nothing that it leads to is read.

        Args:
            value: as of `resolve`.
            name: returns the text for what stands between the braces, e.g. for `env:NAME`.
        """
        if isinstance(value, str):
            return _REFERENCE.sub(lambda match: "${" if match.group() == "$${" else name(match.group(1)), value)
        if isinstance(value, list):
            return [References.named(item, name) for item in value]
        if isinstance(value, dict):
            return {key: References.named(item, name) for key, item in value.items()}
        return value

    @staticmethod
    def has_any(value: Any) -> bool:
        """Say whether a plain value holds a reference."""
        if isinstance(value, str):
            return any(match.group() != "$${" for match in _REFERENCE.finditer(value))
        return isinstance(value, list) and any(map(References.has_any, value))

    def _one(self, match: re.Match[str], where: str) -> str:
        if match.group() == "$${":
            return "${"
        kind, _, name = match.group(1).partition(":")
        if kind == "env" and name:
            if name not in self._environment:
                raise ConfigError(f"{where}: the environment variable {name} is not set; export it, then repeat the command")
            return self._environment[name]
        if kind == "file" and name:
            return self._file(name, where)
        raise ConfigError(f"{where}: a reference is written ${{env:NAME}} or ${{file:PATH}}; for a literal ${{ write $${{")

    def _file(self, name: str, where: str) -> str:
        path = self._folder / Path(name).expanduser()
        try:
            # One line break at the end comes from the editor that wrote the file, not from the secret.
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ConfigError(f"{where}: cannot read the file {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: the file {path} is not UTF-8 text") from error
