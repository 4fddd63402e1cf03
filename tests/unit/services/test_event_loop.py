"""Plain code runs relays on a loop in another thread: beside a running loop, and ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from goldwire.services.event_loop import run_in_thread


class Work:
    """A coroutine that Ctrl-C interrupts from inside, so often."""

    def __init__(self, interrupts: int, *, stubborn: bool) -> None:
        self._interrupts = interrupts
        self._stubborn = stubborn
        self._over: asyncio.Event
        self.said: list[str] = []

    async def all(self) -> str:
        self._over = asyncio.Event()
        self._interrupt()
        await self._over.wait()
        self.said.append("settled")
        return "done"

    def end(self) -> None:
        self.said.append("end")
        if not self._stubborn:
            self._over.set()
        self._interrupt()

    def cancel(self) -> None:
        self.said.append("cancel")
        self._over.set()

    def _interrupt(self) -> None:
        if self._interrupts:
            self._interrupts -= 1
            os.kill(os.getpid(), signal.SIGINT)


def test_it_returns_what_the_coroutine_returns_also_beside_a_running_loop() -> None:
    async def inner() -> int:
        await asyncio.sleep(0)
        return 7

    async def outer() -> int:
        return run_in_thread(inner, end=lambda: None, cancel=lambda: None)

    assert asyncio.run(outer()) == 7


def test_it_raises_what_the_coroutine_raises() -> None:
    async def fails() -> None:
        raise LookupError("of its own")

    with pytest.raises(LookupError, match="of its own"):
        run_in_thread(fails, end=lambda: None, cancel=lambda: None)


@pytest.mark.parametrize(
    ("interrupts", "stubborn", "said"),
    [(1, False, ["end", "settled"]), (2, True, ["end", "cancel", "settled"])],
)
def test_ctrl_c_ends_gracefully_and_a_second_one_at_once(interrupts: int, stubborn: bool, said: list[str]) -> None:
    work = Work(interrupts, stubborn=stubborn)
    with pytest.raises(KeyboardInterrupt):
        run_in_thread(work.all, end=work.end, cancel=work.cancel)
    assert work.said == said


def test_any_number_of_runs_go_on_at_once() -> None:
    runs = 40
    all_run = threading.Barrier(runs, timeout=60)

    async def meet() -> int:
        return await asyncio.to_thread(all_run.wait)

    with ThreadPoolExecutor(runs) as callers:
        found = [callers.submit(run_in_thread, meet, end=lambda: None, cancel=lambda: None) for _ in range(runs)]
        assert sorted(one.result() for one in found) == list(range(runs))


ONE_AFTER_ANOTHER = """
import threading
from goldwire.services.event_loop import run_in_thread
from goldwire.targets.clients.http import HttpClient, NotSentError

async def use():
    client = HttpClient(timeout_seconds=2, connect_timeout_seconds=1, answer_limit_bytes=1000, proxied=False)
    try:
        await client.request("POST", "http://127.0.0.1:0/", {}, b"")
    except NotSentError:
        return threading.current_thread()
    finally:
        await client.close()

first, second = (run_in_thread(use, end=lambda: None, cancel=lambda: None) for _ in range(2))
first.join()
third = run_in_thread(use, end=lambda: None, cancel=lambda: None)
print(len({first, second, third}), "threads")
"""


def test_runs_one_after_another_may_send_http_each_in_a_thread_of_its_own() -> None:
    child = subprocess.run([sys.executable, "-c", ONE_AFTER_ANOTHER], capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, child.stdout) == (0, "3 threads\n"), child.stderr


NO_LOOP = """
import os, resource
from goldwire.services.event_loop import loop_factory, run_in_thread

loop_factory()().close()  # all that it loads is loaded
lowest_free = os.dup(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, lowest_free))

async def never():
    print("it ran")

run_in_thread(never, end=lambda: None, cancel=lambda: None)
"""


def test_a_loop_that_cannot_be_made_is_reported_and_not_waited_for() -> None:
    child = subprocess.run([sys.executable, "-c", NO_LOOP], capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, child.stdout) == (1, "")
    assert "Too many open files" in child.stderr
