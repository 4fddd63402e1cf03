"""Chooses the event loop that relays run on, and runs a coroutine on it from plain code in any thread."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTIBLE_SECONDS = 0.2
"""How often a waiting thread looks for signals."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest event loop there is here, None for Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def run_in_thread(main: Callable[[], Coroutine[Any, Any, T]], *, end: Callable[[], None], cancel: Callable[[], None]) -> T:
    """Run a coroutine to its end on an event loop in a thread of its own.

    So it works beside a running loop, as in a notebook, in any thread, and without a handler for signals. The thread ends with
    the run: the HTTP library, which crashes once the thread that loaded it has ended, is loaded by `targets.clients.http` in a
    thread that never does.

    Args:
        main: makes the coroutine.
        end: asks it to end gracefully; called in its thread after the first Ctrl-C,
        cancel: and this one, to end it at once, after the next.

    Returns:
        what the coroutine returned.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the coroutine has ended.
    """
    loop_made: Future[asyncio.AbstractEventLoop] = Future()
    outcome: Future[T] = Future()

    def run() -> T:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            loop_made.set_result(runner.get_loop())
            return runner.run(main())

    def work() -> None:
        try:
            found = run()
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            outcome.set_exception(error)
        else:
            outcome.set_result(found)

    steps = (end, cancel)
    asked = 0
    with _counted_interrupts() as interrupts:
        threading.Thread(target=work, name="goldwire-loop", daemon=False).start()
        while not outcome.done():
            wait([outcome], INTERRUPTIBLE_SECONDS)
            while loop_made.done() and asked < min(len(interrupts), len(steps)):
                with suppress(RuntimeError):  # the loop ended meanwhile
                    loop_made.result().call_soon_threadsafe(steps[asked])
                asked += 1
    found = outcome.result()
    if interrupts:
        raise KeyboardInterrupt
    return found


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Count the signals that would raise KeyboardInterrupt, instead of raising it wherever this thread is just then.

    Only the main thread receives signals; in another one nothing has to be counted.

    Yields:
        the numbers of the signals that came.
    """
    came: list[int] = []
    before: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        before = [
            number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is signal.default_int_handler
        ]
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number in before:
            signal.signal(number, signal.default_int_handler)
