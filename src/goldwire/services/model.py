"""The model that a configuration describes, checked."""

from __future__ import annotations

from goldwire.config.reader import Loaded
from goldwire.errors import ConfigError
from goldwire.mastering.model import Model
from goldwire.mastering.model_check import check_model


def checked_model(loaded: Loaded) -> Model:
    """Return the configured model.

    Raises:
        ConfigError: it contradicts itself.
    """
    model = Model(loaded.config.types, loaded.config.tags)
    try:
        check_model(model)
    except ConfigError as error:
        raise ConfigError(f"{loaded.file}: {error}") from error
    return model
