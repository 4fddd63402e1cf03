"""Runs the relays of several targets side by side: starts, stops and resumes each, and follows the configuration.

It knows no terminal and no signals. What a signal does is up to its caller: `goldwire.cli.signals` for the command line,
`goldwire.services.event_loop` for the Python API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from goldwire.changelog.rows import Cursor
from goldwire.config.reader import Loaded
from goldwire.errors import GoldwireError, TargetStoppedError
from goldwire.relay.connection import StoreCall
from goldwire.relay.relay import Relay, stopped_error
from goldwire.services.backlog import FIRST_LOOK_SECONDS, FIRST_WORD_SECONDS, RAREST_WORD_SECONDS, Behind, behind
from goldwire.services.lookup import cursor_of
from goldwire.services.relays import ConfiguredRelays, RelayTerms
from goldwire.services.targets import TargetMaker

Progress = Callable[[str, Cursor], None]
RelayState = Literal["running", "ended", "stopped", "failed"]


class RelayEnd(Struct, frozen=True):
    """How the relay of one target ended."""

    target: str
    error: GoldwireError | None


class RelayStatus(Struct, frozen=True):
    """What the supervisor does for one target."""

    target: str
    state: RelayState | None
    """`ended`: it was caught up, or asked to end; None: it was never started."""
    error: str | None
    """Why it is stopped or has failed."""


class Reloaded(Struct, frozen=True):
    """What a new configuration changed, by the names of targets."""

    started: list[str]
    ended: list[str]
    """They are no longer configured."""
    restarted: list[str]
    """Their settings are others now, or they had failed."""


class _Run:
    """One relay, and the task that runs it."""

    def __init__(self, relay: Relay, terms: RelayTerms, task: asyncio.Task[RelayEnd]) -> None:
        self.relay = relay
        self.terms = terms
        self.task = task
        self.halted: str | None = None
        """Why a person stopped the target, once the supervisor has seen that before the relay did."""

    @property
    def running(self) -> bool:
        return not self.task.done()

    @property
    def end(self) -> RelayEnd | None:
        """How it ended; None while it runs, and where it was cancelled."""
        return None if self.running or self.task.cancelled() else self.task.result()


class Supervisor:
    """Runs relays on the running event loop, each at its own pace; one that fails does not hold up the others.

    A context manager: when it ends, it ends the relays gracefully. Cancelling the task that waits for that ends them at once;
    the next run then sends again, identically, what was sent and not settled.

    Args:
        relays: builds them.
        until_caught_up: a relay ends when nothing is pending; otherwise it goes on until it is asked to end.
        progress: called with target and cursor after each settlement.
        failed: called at once when a relay ends with an error.
        waiting: called now and then, with `until_caught_up`, about a target that makes no progress.
        awaits_resume: `wait` goes on while a target is stopped, since `follow` begins with it again once it is resumed.
    """

    def __init__(
        self,
        relays: ConfiguredRelays,
        *,
        until_caught_up: bool = False,
        awaits_resume: bool = False,
        progress: Progress | None = None,
        failed: Callable[[str, GoldwireError], None] | None = None,
        waiting: Callable[[str, Behind], None] | None = None,
    ) -> None:
        self._relays = relays
        self._until_caught_up = until_caught_up
        self._progress = progress
        self._failed = failed
        self._waiting = waiting
        self._awaits_resume = awaits_resume
        self._changed = asyncio.Event()
        """Set when a relay began, or all were asked to end: who waits for the end must look again."""
        self.asked_to_end = False
        """Whether relays that ran were asked to end, before they had to."""
        self._runs: dict[str, _Run] = {}
        self._steady = asyncio.Event()
        """Clear while `reload` ends relays and begins others."""
        self._steady.set()
        self._changing = asyncio.Lock()
        """Held by what begins or ends relays and awaits in between, so that the relays are meanwhile what it took them for."""
        self._stopped: dict[str, str] = {}
        # One thread, because the store is used from one thread at a time; the loop stays free to send meanwhile.
        self._executor = ThreadPoolExecutor(1, "goldwire-store")
        self.call = StoreCall(self._executor)
        """How the store is reached while relays run."""
        self.cancelled = False
        """Whether the relays were ended at once."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, asyncio.CancelledError):
            self.end()
        else:
            self.cancel()
        try:
            await self._until_ended(list(self._runs.values()))
        except asyncio.CancelledError:
            self.cancel()
            await self._until_ended(list(self._runs.values()))
            raise
        finally:
            self._executor.shutdown()

    def start(self, *names: str) -> None:
        """Begin to deliver to these targets; a relay that runs already goes on. All are built before any begins.

        The caller has called `ConfiguredRelays.check` before.

        Raises:
            NotFoundError: a target is not configured; none has begun.
            ConfigError: a setting is wrong; none has begun.
        """
        self._begin([self._built(self._relays, name) for name in names if not self._runs_now(name)])

    async def stop(self, name: str, reason: str = "by hand") -> None:
        """Stop a target: its relay ends gracefully, and none sends it anything before it is resumed; the store keeps that.

        Args:
            name: the target.
            reason: for people.

        Raises:
            NotFoundError: the store has never seen the target.
        """
        await self.call(cursor_of, self._relays.store, name)
        async with self._changing:
            await self._end([name])
            await self.call(self._relays.store.stop, name, reason)
            self._stopped[name] = reason

    async def resume(self, name: str) -> None:
        """Let a stopped target run again, and begin to deliver to it.

        Raises:
            NotFoundError: the store has never seen the target, or it is not configured.
            ConfigError: it must not be delivered to as it is configured.
        """
        await self.call(cursor_of, self._relays.store, name)
        async with self._changing:
            await self.call(self._relays.check, [name])
            await self.call(self._relays.store.stop, name, None)
            self._stopped.pop(name, None)
            self.start(name)

    def ours(self) -> tuple[TargetMaker, frozenset[str]]:
        """Return the targets as they are configured now, and which of them this process delivers to."""
        targets = self._relays.targets
        return targets, frozenset(name for name in targets.names if name in self._runs)

    def status(self) -> list[RelayStatus]:
        """Return what the supervisor does for each target, by name, including those that are not configured any more."""
        return [self._status(name) for name in sorted({*self._relays.names, *self._runs})]

    async def follow(self, stopped: Mapping[str, str | None]) -> None:
        """Follow what people say of targets in the store: end the relay of a stopped one, begin that of a resumed one.

        A relay sees a stop by itself, but not while it waits for a target that does not open or has a rest.

        Args:
            stopped: by target, the reason why it is stopped; None: it may run.
        """
        for name, run in list(self._runs.items()):
            if run.running and stopped.get(name) is not None:
                run.halted = stopped[name]
                run.relay.stop()
            elif name in stopped and stopped[name] is None and self._status(name).state == "stopped":
                if self._changing.locked():
                    return  # a reload may take long, and the next look finds what it has made of the target
                async with self._changing:
                    await self._begin_again(name)

    async def _begin_again(self, name: str) -> None:
        """Begin with a target that was resumed; what keeps it from that is its end."""
        try:
            cursor = await self.call(self._relays.store.cursor, name)
            if cursor is None or cursor.stopped is not None or self.asked_to_end:
                return  # it was stopped since the caller looked
            await self.call(self._relays.check, [name])
            self._stopped.pop(name, None)
            self.start(name)
        except GoldwireError as error:
            self._runs[name].task = asyncio.create_task(self._refused(name, error))
            self._changed.set()

    async def _refused(self, name: str, error: GoldwireError) -> RelayEnd:
        if self._failed is not None:
            self._failed(name, error)
        return RelayEnd(name, error)

    async def reload(self, loaded: Loaded, *, start_new: bool = True) -> Reloaded:
        """Follow a new configuration: start new targets, end removed ones, restart those that changed or had failed.

        It does not look at contracts: relays follow the applied ones. A target that was stopped stays so, and one that was
        configured before and never started is not started now.

        Args:
            loaded: the configuration; its contracts are applied.
            start_new: whether targets that were not configured before are started.

        Raises:
            ConfigError: it names another store, or a target must not be delivered to; everything goes on as before.
        """
        async with self._changing:
            return await self._reload(loaded, start_new=start_new)

    async def _reload(self, loaded: Loaded, *, start_new: bool) -> Reloaded:
        before, fresh = set(self._relays.names), self._relays.with_configuration(loaded)
        gone = sorted(name for name in self._runs if name not in fresh.names)
        new = [name for name in fresh.names if name not in before and start_new]
        changed = [
            name for name in fresh.names
            if self._follows(name) and (self._has_failed(name) or fresh.terms(name) != self._runs[name].terms)
        ]  # fmt: skip
        await self.call(fresh.check, [*new, *changed])
        built = [self._built(fresh, name) for name in (*new, *changed)]
        ended = [name for name in gone if self._runs_now(name)]
        self._steady.clear()
        try:
            await self._end([*gone, *changed])
            for name in gone:
                del self._runs[name]
            self._relays = fresh
            self._begin(built)
        finally:
            self._steady.set()
        return Reloaded(new, ended, changed)

    def end(self) -> None:
        """Ask all relays to end gracefully: what is in flight is settled."""
        self.asked_to_end = self.asked_to_end or any(run.running for run in self._runs.values())
        self._awaits_resume = False
        self._changed.set()
        for run in self._runs.values():
            run.relay.stop()

    def cancel(self) -> None:
        """End all relays at once; the next run sends again, identically, what was sent and not settled."""
        self.cancelled = True
        self._awaits_resume = False
        self._changed.set()
        for run in self._runs.values():
            run.task.cancel()

    async def wait(self) -> list[RelayEnd]:
        """Return how the relays ended, in the order in which they were started, once none runs."""
        while await self._steady.wait() and (self._running_tasks() or self._any_awaits_resume()):
            self._changed.clear()
            running, changed = self._running_tasks(), asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([*running, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for task in running:
                if task.done() and not task.cancelled():
                    task.result()  # what no relay foresees ends everything
        return [run.end for run in self._runs.values() if run.end is not None]

    def _running_tasks(self) -> list[asyncio.Task[RelayEnd]]:
        return [run.task for run in self._runs.values() if run.running]

    def _any_awaits_resume(self) -> bool:
        return self._awaits_resume and any(self._status(name).state == "stopped" for name in self._runs)

    def _has_failed(self, name: str) -> bool:
        return self._status(name).state == "failed"

    def _built(self, relays: ConfiguredRelays, name: str) -> tuple[str, Relay, RelayTerms]:
        return name, relays.build(name, self.call, partial(self._moved, name)), relays.terms(name)

    def _begin(self, built: Sequence[tuple[str, Relay, RelayTerms]]) -> None:
        for name, relay, terms in built:
            self._runs[name] = _Run(relay, terms, asyncio.create_task(self._one(name, relay), name=name))
        self._changed.set()

    async def _end(self, names: Sequence[str]) -> None:
        runs = [self._runs[name] for name in names if name in self._runs]
        for run in runs:
            run.relay.stop()
        await self._until_ended(runs)

    @staticmethod
    async def _until_ended(runs: Sequence[_Run]) -> None:
        if running := [run.task for run in runs if run.running]:
            await asyncio.wait(running)

    def _runs_now(self, name: str) -> bool:
        return name in self._runs and self._runs[name].running

    def _follows(self, name: str) -> bool:
        """Whether a reload restarts a target's relay: it does not where a person stopped it."""
        return name in self._runs and self._status(name).state != "stopped"

    def _status(self, name: str) -> RelayStatus:
        if name in self._runs and self._runs[name].running:
            return RelayStatus(name, "running", None)
        if name in self._stopped:
            return RelayStatus(name, "stopped", self._stopped[name])
        if name not in self._runs:
            return RelayStatus(name, None, None)
        ended = self._runs[name].end
        error = ended.error if ended is not None else None
        state: RelayState = "ended" if error is None else "stopped" if isinstance(error, TargetStoppedError) else "failed"
        return RelayStatus(name, state, str(error) if error is not None else None)

    def _moved(self, name: str, cursor: Cursor) -> None:
        if self._progress is not None:
            self._progress(name, cursor)

    async def _one(self, name: str, relay: Relay) -> RelayEnd:
        watching = asyncio.create_task(self._watch(name)) if self._waiting is not None and self._until_caught_up else None
        try:
            await relay.run(until_caught_up=self._until_caught_up)
            if (halted := self._runs[name].halted) is not None:
                raise stopped_error(name, halted)
        except GoldwireError as error:
            if self._failed is not None:
                self._failed(name, error)
            return RelayEnd(name, error)
        finally:
            if watching is not None:
                watching.cancel()
        return RelayEnd(name, None)

    async def _watch(self, name: str) -> None:
        """Report a target that makes no progress, so that a person who waits for the end knows the reason."""
        assert self._waiting is not None, "it was given"
        silence_seconds, before = FIRST_LOOK_SECONDS, -1
        while True:
            await self._relays.clock.sleep(silence_seconds)
            try:
                found = await self.call(behind, self._relays.store, name)
            except GoldwireError:
                continue  # the relay meets it too, and has more to say of it
            pending = found.pending if found is not None else 0
            if found is not None and pending == before:
                self._waiting(name, found)
                silence_seconds = min(silence_seconds * 2, RAREST_WORD_SECONDS)
            else:
                before, silence_seconds = pending, FIRST_WORD_SECONDS
