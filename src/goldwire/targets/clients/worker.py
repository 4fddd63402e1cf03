"""One thread of its own for a target that blocks: its work never overlaps, even after a caller gave up waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

_Calls = SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[object, ...]] | None]


class Worker:
    """Runs blocking calls one after the other. A cancelled wait leaves the call running; the next one queues behind it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: _DaemonThread | None = None

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run a blocking call on the thread and wait for what it returns or raises."""
        if self._thread is None:
            self._thread = _DaemonThread(f"target-{self._name}")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def stop(self) -> None:
        """Let the thread end after what it is doing; a later `run` starts a new one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)


class _DaemonThread(Executor):
    """An executor of one thread for which the end of the process does not wait.

    A call that was given up, such as a handshake with a server that does not answer, must not hold up the end of the process.
    Python waits for the threads of its own executors.
    """

    def __init__(self, name: str) -> None:
        self._calls: _Calls = SimpleQueue()
        Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        assert not named, "calls take their arguments by position"
        future: Future[Any] = Future()
        self._calls.put((future, call, args))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait, cancel_futures
        self._calls.put(None)


def _work(calls: _Calls) -> None:
    while (work := calls.get()) is not None:
        future, call, args = work
        if not future.set_running_or_notify_cancel():
            continue
        try:
            result = call(*args)
        except BaseException as error:  # noqa: BLE001 - the caller that waits gets it, and no other
            future.set_exception(error)
        else:
            future.set_result(result)
        del work, future, call, args
