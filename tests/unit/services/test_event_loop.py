"""Plain code runs relays on a loop in another thread: beside a running loop, and ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal

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
