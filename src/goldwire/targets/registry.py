"""Finds target kinds in this folder and among installed packages, and makes targets of them.

A kind of your own package is announced in its `pyproject.toml`, and named in the configuration like any other:

    [project.entry-points."goldwire.targets"]
    fax = "my_package.fax"
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from goldwire import targets as folder
from goldwire.clock import Clock
from goldwire.errors import ConfigError, did_you_mean
from goldwire.targets.base import Target
from goldwire.targets.channel import Channel, ChannelMaker
from goldwire.targets.placement import has_destination
from goldwire.targets.settings import Settings, public_settings

ENTRY_POINT_GROUP = "goldwire.targets"

Kind = TypeVar("Kind", bound=Callable[..., Target])


class _Entry(Struct, frozen=True):
    make: Callable[..., Target]
    settings: type[Settings]
    channel: ChannelMaker | None = None


_entries: dict[str, _Entry] = {}


def target_kind(kind: str, *, settings: type[Settings], channel: ChannelMaker | None = None) -> Callable[[Kind], Kind]:
    """Register the class below as a target kind.

    Args:
        kind: its name in the configuration.
        settings: the type of its settings. The class is called with `(name, settings, clock)`.
        channel: says where others receive the events, for an AsyncAPI document; None where no others do.

    Raises:
        ConfigError: two classes claim the same name, or the settings contradict themselves.
    """
    has_destination(settings)

    def register(make: Kind) -> Kind:
        known = _entries.get(kind)
        if known is not None and _path(known.make) != _path(make):
            raise ConfigError(f"target kind '{kind}' is claimed by {_path(known.make)} and by {_path(make)}; rename one")
        _entries[kind] = _Entry(make, settings, channel)
        return make

    return register


def kinds() -> list[str]:
    """Return the names of all kinds, sorted: Goldwire's own and those of installed packages."""
    _load_folder()
    return sorted(_entries.keys() | {point.name for point in _points()})


def settings_type(kind: str) -> type[Settings]:
    """Return the type of a kind's settings.

    Raises:
        ConfigError: there is no such kind; the text names the nearest. Or its package cannot be imported.
    """
    return _entry(kind).settings


def parse_settings(kind: str, name: str, settings: Mapping[str, Any]) -> Settings:
    """Turn a target's settings, as the configuration holds them, into the kind's own type.

    Args:
        kind: as in `kinds()`.
        name: the target's, for the error.
        settings: plain values, references to secrets already resolved.

    Raises:
        ConfigError: a setting is unknown, missing or of a wrong type; the text names target and setting, never the value.
    """
    wanted = _entry(kind).settings
    for given in settings:
        if given not in wanted.__struct_encode_fields__:
            hint = did_you_mean(str(given), wanted.__struct_encode_fields__)
            raise ConfigError(f"target '{name}': kind '{kind}' has no setting '{given}'{hint}")
    try:
        return msgspec.convert(dict(settings), wanted)
    except msgspec.ValidationError as error:
        raise ConfigError(f"target '{name}': {str(error).replace('`$.', '`')}") from None


def channel_of(kind: str, name: str, settings: Mapping[str, Any]) -> Channel | None:
    """Return where others receive a target's events; None where its kind says nothing of that.

    Args:
        kind: as in `kinds()`.
        name: the target's.
        settings: as a checked configuration holds them, with `{name}` where a reference stands.

    Raises:
        ConfigError: there is no such kind.
    """
    entry = _entry(kind)
    return None if entry.channel is None else entry.channel(name, public_settings(entry.settings, settings))


def build(kind: str, name: str, settings: Settings | Mapping[str, Any], clock: Clock) -> Target:
    """Return a target that is not yet open.

    Args:
        kind: as in `kinds()`.
        name: the target's own, unique in the configuration.
        settings: of the kind's type, or plain values for it.
        clock: what the target reads the time from.

    Raises:
        ConfigError: an unknown kind, a wrong setting, or a package that is not installed.
    """
    entry = _entry(kind)
    if not isinstance(settings, Settings):
        settings = parse_settings(kind, name, settings)
    if not isinstance(settings, entry.settings):
        raise ConfigError(f"target '{name}': kind '{kind}' takes {entry.settings.__name__}, not {type(settings).__name__}")
    return entry.make(name, settings, clock)


def _entry(kind: str) -> _Entry:
    if kind not in _entries and kind.isidentifier():
        _load_module(kind)
    if kind not in _entries:
        _load_folder()
    if kind not in _entries:
        for point in _points():
            if point.name == kind:
                _load_point(point)
    if kind not in _entries:
        raise ConfigError(f"there is no target kind '{kind}'{did_you_mean(kind, kinds())}")
    return _entries[kind]


def _load_module(kind: str) -> None:
    """Import the package that bears the kind's name, if there is one, so that the other kinds need not be imported."""
    for module in _target_modules():
        if module.split(".")[-2] == kind:
            importlib.import_module(module)


def _load_folder() -> None:
    for module in _target_modules():
        importlib.import_module(module)


@cache
def _target_modules() -> tuple[str, ...]:
    """Return the modules named `target` below this folder, each of which registers the kind that its package is named after."""
    root = Path(folder.__path__[0])
    files = sorted(root.glob("*/**/target.py"))
    return tuple(".".join((folder.__name__, *file.relative_to(root).with_suffix("").parts)) for file in files)


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def _load_point(point: EntryPoint) -> None:
    package = point.dist.name if point.dist else point.module
    try:
        point.load()
    except Exception as error:  # a third party's module runs here, and it may be made for another version
        raise ConfigError(
            f"target kind '{point.name}' of the package {package} cannot be imported: {type(error).__name__}: {error}; "
            "reinstall that package, or take the version that goes with this one"
        ) from error
    if point.name not in _entries:
        raise ConfigError(f"the package {package} announces target kind '{point.name}' but does not register it")


def _path(make: Callable[..., Target]) -> str:
    return f"{make.__module__}.{getattr(make, '__qualname__', '?')}"
