"""Builds the relays that a configuration describes, and checks what must hold before one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import Cursor, Start
from goldwire.clock import Clock
from goldwire.config.model import KeysConfig
from goldwire.config.reader import Loaded
from goldwire.relay.connection import StoreCall
from goldwire.relay.metrics import Recorder
from goldwire.relay.relay import Relay
from goldwire.relay.settings import DeliverySettings
from goldwire.services.application import Application
from goldwire.services.placement import keep_settings, placement_guard
from goldwire.services.preflight import check_deliverable
from goldwire.targets.settings import Settings


class RelayTerms(Struct, frozen=True):
    """The part of a configuration that a relay was built with; without its contract, since a relay follows that itself."""

    kind: str
    settings: Settings
    """References resolved: a secret that was renewed is another setting."""
    start: Start
    delivery: DeliverySettings
    keys: KeysConfig


class ConfiguredRelays:
    """Builds the relays of one configuration.

    Args:
        application: what the configuration describes.
        recorder: where metrics go.
    """

    def __init__(self, application: Application, recorder: Recorder | None = None) -> None:
        self._application = application
        self._recorder = recorder or Recorder()

    @property
    def names(self) -> list[str]:
        """The configured targets, sorted."""
        return sorted(self._application.loaded.config.targets)

    @property
    def application(self) -> Application:
        """What the configuration describes."""
        return self._application

    @property
    def store(self) -> Store:
        """The store that relays read and settle in."""
        return self._application.store

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._application.clock

    def with_configuration(self, loaded: Loaded) -> ConfiguredRelays:
        """Return the relays of another configuration of the same store.

        Raises:
            ConfigError: it names another store.
        """
        return ConfiguredRelays(self._application.with_configuration(loaded), self._recorder)

    def terms(self, name: str) -> RelayTerms:
        """Return what a relay of this target is built with now.

        Raises:
            NotFoundError: there is no such target.
            ConfigError: a setting is wrong.
        """
        config = self._application.target_config(name)
        keys = self._application.loaded.config.keys
        return RelayTerms(config.kind, self._application.settings(name), config.start, config.delivery, keys)

    def check(self, names: Sequence[str]) -> list[str]:
        """Refuse targets that must not receive anything as configured, and keep the settings of the others. Uses the store.

        Returns:
            the targets whose configured contract is not applied: the applied one goes on to count.

        Raises:
            NotFoundError, ConfigError: see `check_deliverable`; no settings were kept.
        """
        for name in names:
            self._application.target_config(name)
        unapplied = check_deliverable(self._application, names)
        self.keep_settings(names)
        return unapplied

    def keep_settings(self, names: Sequence[str]) -> None:
        """Keep the settings of targets as they are written, before anything is delivered with them. Uses the store."""
        for name in names:
            keep_settings(self._application, name)

    def build(self, name: str, call: StoreCall, progress: Callable[[Cursor], None]) -> Relay:
        """Return the relay of a target, not yet running.

        Args:
            name: the target.
            call: how it reaches the store.
            progress: called with the cursor after each settlement.

        Raises:
            NotFoundError: there is no such target.
            ConfigError: a setting is wrong.
        """
        placement = placement_guard(self._application, name)
        return self._application.relay(name, self._recorder, call, placement, progress)
