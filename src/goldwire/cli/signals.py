"""What SIGTERM and SIGINT do to relays: the first one ends them gracefully, the next one at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from goldwire.services.event_loop import loop_factory
from goldwire.services.garbage_collection import rare_collection
from goldwire.services.run import Supervisor

T = TypeVar("T")
ENDING = (signal.SIGTERM, signal.SIGINT)


def run_until_signalled(supervisor: Supervisor, work: Callable[[], Awaitable[T]]) -> T:
    """Run relays on an event loop of their own until their work is done, or a signal ends them.

    Args:
        supervisor: runs them.
        work: waits for them, and returns what came of it.

    Raises:
        KeyboardInterrupt: a second signal came.
    """

    async def supervised() -> T:
        with _ended_by_signals(supervisor):
            return await work()

    with rare_collection(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        found = runner.run(supervised())
    if supervisor.cancelled:
        raise KeyboardInterrupt
    return found


@contextmanager
def _ended_by_signals(supervisor: Supervisor) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    came = False

    def signalled() -> None:
        nonlocal came
        if came:
            supervisor.cancel()
        else:
            came = True
            supervisor.end()

    for number in ENDING:
        loop.add_signal_handler(number, signalled)
    try:
        yield
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
