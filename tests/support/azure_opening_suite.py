"""What opening a target of Azure has to do with what is missing, forbidden or malformed, whichever the service."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from goldwire.clock import SystemClock
from goldwire.errors import ConfigError
from goldwire.targets.base import Target
from goldwire.targets.settings import Settings
from goldwire.testing.target_suite import SECRET
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.emulator import Emulator
from support.emulator_stage import LISTEN_ONLY, SEND_ONLY, run_on_emulator
from support.target_use import failure_to_open

NAMED = f"SharedAccessKeyName=n;SharedAccessKey={SECRET}"


class AzureOpeningSuite:
    """Tests of one target kind; a subclass says which."""

    config: ClassVar[BrokerConfig]
    """What the emulator has."""
    entity: ClassVar[str]
    """The setting that names where events go, which is also the word for it: `hub`."""
    settings_type: ClassVar[type[Settings]]
    target_type: ClassVar[Any]

    def target(self, emulator: Emulator, policy: Policy = SEND_ONLY, **settings: Any) -> Target:
        """Return a target of the emulator, not yet open."""
        raise NotImplementedError

    def refuses(self, settings: dict[str, Any], says: str) -> None:
        """See that such settings are refused in these words, and that no secret is among them."""
        with pytest.raises(ValueError, match=says) as caught:
            self.settings_type(**settings)
        assert SECRET not in str(caught.value)

    def test_a_missing_entity_a_wrong_key_and_a_missing_right_end_the_opening_with_their_fix(self) -> None:
        async def check(emulator: Emulator) -> None:
            missing = await failure_to_open(self.target(emulator, **{self.entity: "nowhere"}))
            assert isinstance(missing, ConfigError)
            assert f"{self.entity} nowhere" in str(missing)
            assert "create it" in str(missing)
            wrong = await failure_to_open(self.target(emulator, Policy("send", "d3Jvbmc=")))
            assert isinstance(wrong, ConfigError)
            assert "credential" in str(wrong)
            assert "d3Jvbmc=" not in str(wrong)
            listening = await failure_to_open(self.target(emulator, LISTEN_ONLY))
            assert isinstance(listening, ConfigError)
            assert "Send" in str(listening)

        run_on_emulator(self.config, check)

    def test_a_service_that_is_away_can_be_waited_for(self) -> None:
        async def check() -> None:
            emulator = Emulator(self.config)
            await emulator.start()
            text = emulator.connection_string()
            await emulator.stop()
            found = await failure_to_open(self.target(emulator, connection_string=text))
            assert isinstance(found, OSError)
            assert "not reachable" in str(found)

        asyncio.run(check())

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (SECRET, "not of the form"),
            (f"Endpoint=sb://a.example;{NAMED};EntityPath=other", "EntityPath"),
            (f"Endpoint=sb://a.example;{NAMED}", "is for a.example"),
        ],
    )
    def test_a_connection_string_that_does_not_fit_is_reported_without_being_shown(self, text: str, says: str) -> None:
        settings = self.settings_type(**{self.entity: "q", "connection_string": text, "namespace": "mdm"})
        with pytest.raises(ConfigError, match=says) as caught:
            self.target_type("target", settings, SystemClock())
        assert SECRET not in str(caught.value)
