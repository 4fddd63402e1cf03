"""Runs the relays of several targets in this process until they are caught up, stopped, or told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from msgspec import Struct

from goldwire.changelog.replays import Replay
from goldwire.changelog.rows import Cursor
from goldwire.errors import GoldwireError
from goldwire.relay.connection import StoreCall
from goldwire.relay.metrics import Recorder
from goldwire.relay.relay import Relay
from goldwire.services.application import Application
from goldwire.services.backlog import FIRST_LOOK_SECONDS, FIRST_WORD_SECONDS, RAREST_WORD_SECONDS, Behind, behind
from goldwire.services.garbage_collection import rare_collection
from goldwire.services.placement import placement_guard

Progress = Callable[[str, Cursor], None]

REPLAY_LOOK_SECONDS = 0.1
"""How often who waits for a replay looks how far it is."""


class Ended(Struct, frozen=True):
    """How the relay of one target ended."""

    target: str
    error: GoldwireError | None


def run_targets(
    application: Application,
    names: Sequence[str],
    *,
    until_caught_up: bool,
    recorder: Recorder,
    progress: Progress,
    failed: Callable[[str, GoldwireError], None],
    waiting: Callable[[str, Behind], None] | None = None,
) -> list[Ended]:
    """Deliver to these targets, each at its own pace; one that fails does not hold up the others.

    SIGTERM or SIGINT ends gracefully: what is in flight is settled. A second one ends at once; what was sent and not
    settled is sent again next time, identically.

    Args:
        application: what one configuration describes.
        names: the targets.
        until_caught_up: end when nothing is pending; otherwise go on until a signal.
        recorder: where metrics go.
        progress: called after each settlement.
        failed: called at once when a target ends with an error.
        waiting: called now and then, with `until_caught_up`, of a target that gets no further.

    Raises:
        KeyboardInterrupt: a second signal came.
    """
    work = _Run(application, names, until_caught_up, recorder, progress, failed, waiting)
    with rare_collection(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work.all())


def run_replay(application: Application, replay: Replay, told: Callable[[Replay], None]) -> None:
    """Run one target's relay until a replay of it has ended, and those asked for meanwhile; what is pending goes along.

    SIGTERM or SIGINT ends gracefully; the replay stays open, and the next relay of the target goes on with it.

    Args:
        application: what one configuration describes.
        replay: its record.
        told: called with the record now and then, and when it has ended.

    Raises:
        GoldwireError: the relay ended with an error.
        KeyboardInterrupt: a second signal came.
    """
    names, until_caught_up = [replay.target], False
    work = _Run(application, names, until_caught_up, Recorder(), _unheard, _unheard, None)
    work.awaited = replay, told
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for ended in runner.run(work.all()):
            if ended.error is not None:
                raise ended.error


def _unheard(*_: object) -> None:
    """Tell nobody."""


class _Run:
    awaited: tuple[Replay, Callable[[Replay], None]] | None = None
    """End when this replay has ended."""

    def __init__(
        self,
        application: Application,
        names: Sequence[str],
        until_caught_up: bool,
        recorder: Recorder,
        progress: Progress,
        failed: Callable[[str, GoldwireError], None],
        waiting: Callable[[str, Behind], None] | None,
    ) -> None:
        self._application = application
        self._names = names
        self._until_caught_up = until_caught_up
        self._recorder = recorder
        self._progress = progress
        self._failed = failed
        self._waiting = waiting
        self._signals = 0
        self._relays: list[Relay] = []
        self._tasks: list[asyncio.Task[Ended]] = []

    async def all(self) -> list[Ended]:
        # One thread, because the store is used from one thread at a time; the loop stays free to send meanwhile.
        with ThreadPoolExecutor(1, "goldwire-store") as executor:
            call = StoreCall(executor)
            self._relays = [self._relay(name, call) for name in self._names]
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._signalled)
            try:
                pairs = zip(self._names, self._relays, strict=True)
                self._tasks = [asyncio.create_task(self._one(name, relay, call), name=name) for name, relay in pairs]
                with suppress(asyncio.CancelledError):
                    return await asyncio.gather(*self._tasks)
            finally:
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.remove_signal_handler(number)
        raise KeyboardInterrupt

    def _relay(self, name: str, call: StoreCall) -> Relay:
        placement = placement_guard(self._application, name)
        return self._application.relay(name, self._recorder, call, placement, partial(self._progress, name))

    async def _one(self, name: str, relay: Relay, call: StoreCall) -> Ended:
        watched = self._waiting is not None and self._until_caught_up
        watching = asyncio.create_task(self._watch(name, call)) if watched else None
        if self.awaited is not None:
            watching = asyncio.create_task(self._await_replay(relay, call, *self.awaited))
        try:
            await relay.run(until_caught_up=self._until_caught_up)
        except GoldwireError as error:
            self._failed(name, error)
            return Ended(name, error)
        finally:
            if watching is not None:
                watching.cancel()
        return Ended(name, None)

    async def _watch(self, name: str, call: StoreCall) -> None:
        """Speak of a target that gets no further: who waits for the end of a command wants to know what for."""
        assert self._waiting is not None, "nobody listens"
        silence_seconds, before = FIRST_LOOK_SECONDS, -1
        while True:
            await self._application.clock.sleep(silence_seconds)
            try:
                found = await call(behind, self._application.store, name)
            except GoldwireError:
                continue  # the relay meets it too, and has more to say of it
            pending = found.pending if found is not None else 0
            if found is not None and pending == before:
                self._waiting(name, found)
                silence_seconds = min(silence_seconds * 2, RAREST_WORD_SECONDS)
            else:
                before, silence_seconds = pending, FIRST_WORD_SECONDS

    async def _await_replay(self, relay: Relay, call: StoreCall, replay: Replay, told: Callable[[Replay], None]) -> None:
        """Go on until no replay of the target is open: who asked for another one meanwhile was told that this relay does it."""
        any_open = True
        while any_open:
            await self._application.clock.sleep(REPLAY_LOOK_SECONDS)
            records = await call(self._application.store.replays, replay.target)
            told(next(record for record in records if record.id == replay.id))
            any_open = any(record.state == "open" for record in records)
        relay.stop()

    def _signalled(self) -> None:
        self._signals += 1
        for relay in self._relays:
            relay.stop()
        if self._signals > 1:
            for task in self._tasks:
                task.cancel()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest event loop there is here, None for Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
