"""What a target kind declares of itself: settings with help, and a repr that never shows a secret.

A kind writes one Struct; the form, the JSON Schema, the documentation and the redaction all come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from goldwire.annotations import described
from goldwire.errors import ConfigError

HIDDEN = "***"
"""What is shown instead of a secret."""


def about(
    description: str,
    *,
    examples: Sequence[Any] = (),
    secret: bool = False,
    url: bool = False,
    advanced: bool = False,
    path: bool = False,
    shapes: bool = False,
    destination: bool | Callable[[Mapping[str, Any]], Any] = False,
    sole: Callable[[Mapping[str, Any]], str | list[str] | None] | None = None,
    attributes: bool = False,
    each: Literal["entity type", "relation"] | None = None,
    fixed: str | None = None,
    distinct: str | None = None,
    **limits: Any,
) -> Meta:
    """Return what a setting's annotation carries.

    Args:
        description: one sentence for a form's help; units named.
        examples: values that are valid.
        secret: never shown; of a mapping the values only.
        url: a secret of which scheme, host and port may be shown.
        advanced: most users never touch it.
        path: a file or folder; a relative one starts at the folder of the configuration.
        shapes: decides what is written of an event: with another value, what was delivered is sent again.
        destination: says where events go; with another value it is another destination, and nothing is fixed yet. A function
            returns what it means, given all settings as plain values; empty where that is not known. Not with `secret`.
        sole: returns, given all settings as plain values, the destinations to which they lead, where one target alone may
            write; the same text for the same destination. None where that is not known.
        attributes: the values of a mapping name attributes that the contract's entity types have to declare.
        each: a mapping from names of entity types, or relations, to a Struct of settings for each. The contract declares the
            names, and every entity type of it has to be there; `shapes` and `attributes` hold within the Struct.
        fixed: why it cannot change any more once the target has delivered to its destination: a clause that follows "because".
        distinct: why it must differ between targets that send the same entities to one destination: a clause of that kind.
        limits: further arguments of `msgspec.Meta`, such as `ge` and `pattern`.
    """
    assert not (destination and (secret or url)), "where events go is stored, and reported"
    schema = {"writeOnly": True} if secret or url else None
    return Meta(
        description=description,
        examples=list(examples) or None,
        extra={
            "secret": secret or url,
            "url": url,
            "advanced": advanced,
            "path": path,
            "shapes": shapes,
            "destination": destination,
            "sole": sole,
            "attributes": attributes,
            "each": each,
            "fixed": fixed,
            "distinct": distinct,
        },
        extra_json_schema=schema,
        **limits,
    )


def require_files(name: str, files: Mapping[str, str | None]) -> None:
    """Check that the files which a target needs are there.

    Args:
        name: the target's.
        files: setting and path; None is no file.

    Raises:
        ConfigError: one is not; the text names setting and path.
    """
    for setting, path in files.items():
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"target '{name}': {setting}: there is no file {path}")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every kind's settings. References such as `${env:NAME}` are resolved before they get here."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in redacted(self).items())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> Any:
        yield from redacted(self).items()


class SubscribersSettings(Settings, frozen=True, kw_only=True):
    """Base of what a kind wants to know to ask its broker about subscribers; the setting is called `subscribers`."""

    every_seconds: Annotated[float, about("How often `goldwire run` asks, for the metrics.", ge=1)] = 60.0


def no_subscribers(name: str) -> ConfigError:
    """Return the error about a target that is asked about subscribers, and whose settings name none."""
    return ConfigError(f"target '{name}': set `subscribers`, which says whose lag is looked at")


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings by name, with each secret replaced: fit for a log or a page."""
    extras = _extras(type(settings))
    shown = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        extra = extras.get(name, {})
        shown[name] = _hide(value, url=bool(extra.get("url"))) if extra.get("secret") else value
    return shown


def public_settings(settings_type: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as plain values with their defaults, fit for a page that others read: secrets are hidden.

    Args:
        settings_type: of the kind.
        values: those that are given.
    """
    plain = {**{name: msgspec.to_builtins(value) for name, value in defaults_of(settings_type).items()}, **values}
    extras = _extras(settings_type)
    return {
        name: _hide(value, url=bool(extras[name].get("url"))) if extras.get(name, {}).get("secret") else value
        for name, value in plain.items()
    }


def secrets_of(settings_type: type[Settings]) -> frozenset[str]:
    """Return the names of the settings that are secret."""
    return frozenset(name for name, extra in _extras(settings_type).items() if extra.get("secret"))


def paths_of(settings_type: type[Settings]) -> frozenset[str]:
    """Return the names of the settings that are paths."""
    return frozenset(name for name, extra in _extras(settings_type).items() if extra.get("path"))


def shaping_of(settings_type: type[Struct], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides, of the settings that are given, what is written of an event.

    Args:
        settings_type: of the kind.
        given: plain values, as they are in the configuration.
    """
    found = {name: given.get(name) for name, extra in _extras(settings_type).items() if extra.get("shapes")}
    for name, part in parts_of(settings_type).items():
        entries = given.get(name)
        if isinstance(entries, Mapping):
            found[name] = {
                key: shaping_of(part.settings, entry) for key, entry in entries.items() if isinstance(entry, Mapping)
            }
    return found


def sole_destinations(settings: Settings) -> list[str]:
    """Return the destinations at which a target of these settings has to be the only one; none where there may be several.

    They may hold what is secret, so they are compared and never shown.
    """
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    for extra in _extras(type(settings)).values():
        if extra.get("sole"):
            found = extra["sole"](plain)
            return [found] if isinstance(found, str) else list(found or ())
    return []


class SettingsPart(NamedTuple):
    """A setting that has a Struct of settings for each entity type, or for each relation."""

    each: Literal["entity type", "relation"]
    settings: type[Struct]


def parts_of(settings_type: type[Struct]) -> dict[str, SettingsPart]:
    """Return the settings that `about` declares with `each`, by name."""
    hints = get_type_hints(settings_type, include_extras=True)
    return {
        name: SettingsPart(extra["each"], get_args(described(hints[name]).bare)[1])
        for name, extra in _extras(settings_type).items()
        if extra.get("each")
    }


def attribute_maps_of(settings_type: type[Struct]) -> list[str]:
    """Return the names of the settings whose values name attributes."""
    return [name for name, extra in _extras(settings_type).items() if extra.get("attributes")]


def extras_of(settings_type: type[Settings]) -> dict[str, dict[str, Any]]:
    """Return what `about` says of each setting beside its help, by name."""
    return _extras(settings_type)


def defaults_of(settings_type: type[Settings]) -> dict[str, Any]:
    """Return what each setting is unless it is given, by name; None for one that must be given."""
    given = {field.name: field for field in msgspec.structs.fields(settings_type)}
    return {name: None if field.required else field_default(field) for name, field in given.items()}


def field_default(field: FieldInfo) -> Any:
    """Return what a field is unless it is given."""
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default


def _hide(value: Any, *, url: bool) -> Any:
    if value is None or value in ("", (), [], {}):
        return value
    if isinstance(value, Mapping):
        return dict.fromkeys(value, HIDDEN)
    return origin_of(value) + HIDDEN if url and isinstance(value, str) else HIDDEN


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL with a slash, e.g. `https://example.com/`; the rest may be secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not parts.scheme:
        return ""
    if "@" in url and "@" not in parts.netloc:
        # A password with a sign that is not percent-encoded ends the host too early: what stands there may be part of it.
        return f"{parts.scheme}://"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}/"


@lru_cache
def _extras(settings_type: type[Struct]) -> dict[str, dict[str, Any]]:
    hints = get_type_hints(settings_type, include_extras=True)
    return {name: described(hint).extra for name, hint in hints.items()}
