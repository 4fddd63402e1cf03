"""The model that a configuration describes, checked."""

from __future__ import annotations

from collections.abc import Iterable

from goldwire.capture.source_spec import SourceSpec
from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.mastering.model import Model
from goldwire.mastering.model_check import check_model


def checked_model(loaded: Loaded) -> Model:
    """Return the configured model.

    Raises:
        ConfigError: it contradicts itself.
    """
    model = Model(loaded.config.types, loaded.config.tags, placeholders_of(loaded.config.sources.values()))
    try:
        check_model(model)
    except ConfigError as error:
        raise ConfigError(f"{loaded.file}: {error}") from error
    return model


def placeholders_of(sources: Iterable[SourceSpec]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return by entity type and system the values that say nothing there, sorted."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for source in sources:
        if source.placeholders:
            systems = found.setdefault(source.type, {})
            systems[source.system] = tuple(sorted({*systems.get(source.system, ()), *source.placeholders}))
    return found
