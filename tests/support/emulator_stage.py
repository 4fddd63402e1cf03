"""An emulator for one test of an Azure target, with policies that may only send, or only listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy
from goldwire_emulator.broker.config import BrokerConfig
from goldwire_emulator.emulator import ROOT, Emulator

SEND_ONLY = Policy("send", "c2VuZA==", frozenset({Right.SEND}))
LISTEN_ONLY = Policy("listen", "bGlzdGVu", frozenset({Right.LISTEN}))
POLICIES = (ROOT, SEND_ONLY, LISTEN_ONLY)


def run_on_emulator(config: BrokerConfig, check: Callable[[Emulator], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    """Run a check on an emulator of its own.

    Args:
        config: its entities.
        check: what is done.
        settings: more for the emulator.
    """

    async def run() -> Any:
        async with Emulator(config, policies=POLICIES, **settings) as emulator:
            return await check(emulator)

    return asyncio.run(run())
