"""The Azure SDKs as they are, but for how often they look around while they wait."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

_BRIEF_SECONDS = 0.01
_NAPS = (1, 0.05)
"""Seconds for which the SDKs sleep between two looks: at whether a link is ready, or whether it is to be closed."""
_THREADS = ("_pyamqp.client", "_servicebus_receiver", "_servicebus_sender", "_session_browser", "_client_base")
_TASKS = ("aio._servicebus_receiver_async", "aio._servicebus_sender_async", "aio._session_browser_async")
_MORE_TASKS = ("_pyamqp.aio._client_async", "aio._client_base_async")


class _Brief:
    """A module whose naps are brief; whatever else is slept, such as a back-off, takes as long as it takes."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def sleep(self, seconds: float, *arguments: Any, **more: Any) -> Any:
        return self._module.sleep(_BRIEF_SECONDS if seconds in _NAPS else seconds, *arguments, **more)


@pytest.fixture(scope="session", autouse=True)
def brief_naps() -> Iterator[None]:
    """Let the SDKs look more often: `close` waits up to a second for each link's thread to look at whether it is to end."""
    with pytest.MonkeyPatch.context() as patch:
        for package in ("azure.eventhub", "azure.servicebus"):
            for names, module in ((_THREADS, time), ((*_TASKS, *_MORE_TASKS), asyncio)):
                for name in names:
                    found = sys.modules.get(f"{package}.{name}")
                    if found is not None:
                        patch.setattr(found, module.__name__, _Brief(module))
        yield
