"""What signals do to relays: SIGTERM and SIGINT end them, gracefully and then at once; SIGHUP has them reread settings."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from goldwire.services.event_loop import loop_factory
from goldwire.services.garbage_collection import rare_collection
from goldwire.services.run import Supervisor

T = TypeVar("T")
ENDING = (signal.SIGTERM, signal.SIGINT)

Reread = Callable[[], Coroutine[Any, Any, None]]
"""Reads the configuration again and follows it; raises nothing that a person should know."""


def run_until_signalled(supervisor: Supervisor, work: Callable[[], Awaitable[T]], reread: Reread | None = None) -> T:
    """Run relays on an event loop of their own until their work is done, or a signal ends them.

    Args:
        supervisor: runs them.
        work: waits for them, and returns what came of it.
        reread: what SIGHUP does; None: what it does to any process.

    Raises:
        KeyboardInterrupt: a second signal came.
    """

    async def supervised() -> T:
        with _ended_by_signals(supervisor), _rereading_on_hangup(supervisor, reread):
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


@contextmanager
def _rereading_on_hangup(supervisor: Supervisor, reread: Reread | None) -> Iterator[None]:
    """Reread on SIGHUP, one after another; but end where it says that the terminal was closed."""
    if reread is None:
        yield
        return
    loop, had_terminal = asyncio.get_running_loop(), _has_terminal()
    asked = asyncio.Event()

    async def follow() -> None:
        while True:
            await asked.wait()
            asked.clear()
            await reread()

    def hung_up() -> None:
        if had_terminal and not _has_terminal():
            supervisor.end()
        else:
            asked.set()

    following = loop.create_task(follow())
    loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        following.cancel()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
