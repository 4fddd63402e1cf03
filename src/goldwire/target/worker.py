"""One thread of its own for a target that blocks: its work never overlaps, not even after a caller gave up waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

_Calls = SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[object, ...]] | None]


class Worker:
    """Runs blocking calls one after the other. A cancelled wait leaves the call running; the next one queues behind it.

    The thread is a daemon: a call that was given up, such as a handshake with a server that does not answer, must not hold up
    the end of the process. An executor's thread would be waited for.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: _Calls | None = None

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run a blocking call on the thread and wait for what it returns or raises."""
        if self._calls is None:
            self._calls = SimpleQueue()
            Thread(target=_work, args=(self._calls,), name=f"target-{self._name}", daemon=True).start()
        future: Future[Result] = Future()
        self._calls.put((future, call, args))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Let the thread end after what it is doing; a later `run` starts a new one."""
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.put(None)


def _work(calls: _Calls) -> None:
    while (work := calls.get()) is not None:
        future, call, args = work
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = call(*args)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the call gets it, and nobody else
            future.set_exception(error)
        else:
            future.set_result(result)
        del work, future, call, args
