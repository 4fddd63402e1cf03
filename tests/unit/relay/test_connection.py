"""Opening a target ends with a stop; what the target raises is reported as before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from goldwire.errors import ConfigError
from goldwire.observability.metrics import Recorder
from goldwire.observability.reports import RecordingObserver
from goldwire.relay.connection import Connection, Stop
from goldwire.targets.base import DELIVERED, Item, Outcome

HOUR_SECONDS = 3_600.0


class SlowToOpen:
    """Opens when it is let, or fails."""

    batch_limit: ClassVar[int] = 1

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun = asyncio.Event()
        self.let = asyncio.Event()
        self.cancelled = False
        self._error = error

    async def open(self) -> None:
        self.begun.set()
        if self._error is not None:
            raise self._error
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return [DELIVERED] * len(items)

    async def close(self) -> None:
        pass


def connection(target: SlowToOpen, stop: Stop) -> Connection:
    return Connection(target, HOUR_SECONDS, RecordingObserver("t", Recorder()), stop)


def test_a_stop_ends_the_wait_for_a_target_that_does_not_open() -> None:
    async def scene() -> None:
        stop, target = Stop(), SlowToOpen()
        opening = asyncio.ensure_future(connection(target, stop).open())
        await target.begun.wait()
        stop.ask()
        assert await opening is False
        assert target.cancelled

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_target_that_opens_is_open() -> None:
    async def scene() -> None:
        target = SlowToOpen()
        target.let.set()
        assert await connection(target, Stop()).open() is True

    asyncio.run(scene())


def test_why_a_target_does_not_open_is_logged_and_of_a_library_s_error_only_the_type() -> None:
    class OfALibraryError(OSError):
        pass

    async def scene() -> None:
        for error in (ConnectionRefusedError("refused"), TimeoutError(), OfALibraryError("password"), ValueError("password")):
            await connection(SlowToOpen(error), Stop()).open()

    with capture_logs() as lines:
        asyncio.run(scene())
    assert [line["log_level"] for line in lines] == ["warning"] * 4
    assert [line["reason"] for line in lines] == ["refused", "TimeoutError", "OfALibraryError", "ValueError"]


def test_a_target_that_cannot_be_reached_is_tried_again_and_a_wrong_setting_is_not() -> None:
    async def scene() -> None:
        for error in (OSError("refused"), ValueError("of its library"), asyncio.CancelledError()):
            assert await connection(SlowToOpen(error), Stop()).open() is False
        with pytest.raises(ConfigError, match="url"):
            await connection(SlowToOpen(ConfigError("url is wrong")), Stop()).open()

    asyncio.run(scene())
