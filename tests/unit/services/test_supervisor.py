"""The supervisor starts, stops and resumes each target by itself, and follows the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldwire.changelog.replays import Replay
from goldwire.config.reader import Loaded, load_document
from goldwire.errors import ConfigError, NotFoundError, StoreBusyError
from goldwire.relay.connection import StoreCall
from goldwire.services.application import Application
from goldwire.services.delivery import carry_out
from goldwire.services.replay import ReplayRequest
from goldwire.services.run import Reloaded, Supervisor

DELIVERY = {"poll_seconds": 0.01}
Reload = Callable[..., Loaded]


def document(**paths: str) -> dict[str, Any]:
    """A configuration with a target of kind `file` for each path."""
    return {
        "types": {"Customer": {"attributes": {"name": {}}}},
        "contracts": {"whole": {"golden": False}},
        "targets": {
            name: {"kind": "file", "contract": "whole", "settings": {"path": path}, "delivery": DELIVERY}
            for name, path in paths.items()
        },
    }


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    with Application(load_document(document(one="one.jsonl", two="two.jsonl"), tmp_path)) as made:
        made.apply_service().run(check=False)
        yield made


@pytest.fixture
def applied(tmp_path: Path) -> Reload:
    """Apply another configuration of the same store, as `goldwire apply` does in a process of its own."""

    def apply(**paths: str) -> Loaded:
        loaded = load_document(document(**paths), tmp_path)
        with Application(loaded) as other:
            other.apply_service().run(check=False)
        return loaded

    return apply


class Stage:
    """A supervisor with its store and its files."""

    def __init__(self, application: Application, supervisor: Supervisor, folder: Path) -> None:
        self._application = application
        self._folder = folder
        self.supervisor = supervisor

    async def change(self, name: str) -> None:
        """Commit a new record."""
        row = {"system": "crm", "externalId": name, "entityType": "Customer", "attributes": {"name": name}}
        await self.supervisor.call(lambda: self._application.ingest_service().rows([row]))

    def has(self, file: str, name: str) -> bool:
        """Whether a target has received a record of this name."""
        path = self._folder / file
        return path.exists() and f'"value":"{name}"' in path.read_text(encoding="utf-8")

    async def until(self, file: str, name: str) -> None:
        """Wait for it; the test's own time limit ends what never comes."""
        await self.until_true(lambda: self.has(file, name))

    async def until_true(self, seen: Callable[[], bool]) -> None:
        while not seen():  # noqa: ASYNC110 - a file and a store set no event
            await asyncio.sleep(0.005)

    def states(self) -> dict[str, str | None]:
        return {one.target: one.state for one in self.supervisor.status()}


def play(application: Application, folder: Path, story: Callable[[Stage], Awaitable[None]], **options: Any) -> Supervisor:
    relays = application.relays()
    relays.check(relays.names)
    supervisor = Supervisor(relays, **options)

    async def played() -> None:
        async with supervisor:
            await story(Stage(application, supervisor, folder))

    asyncio.run(played())
    return supervisor


def test_a_target_that_was_stopped_gets_nothing_while_another_goes_on_and_everything_once_it_is_resumed(
    application: Application, tmp_path: Path
) -> None:
    async def story(stage: Stage) -> None:
        assert stage.states() == {"one": None, "two": None}
        stage.supervisor.start("one", "two")
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        await stage.until("two.jsonl", "Ada")
        await stage.supervisor.stop("one", "moving house")
        assert stage.states() == {"one": "stopped", "two": "running"}
        assert stage.supervisor.status()[0].error == "moving house"
        await stage.change("Grace")
        await stage.until("two.jsonl", "Grace")
        assert not stage.has("one.jsonl", "Grace")
        stage.supervisor.start("one")  # the store still says that it is stopped
        await stage.until_true(lambda: stage.states()["one"] != "running")
        assert stage.states()["one"] == "stopped"
        await stage.supervisor.resume("one")
        await stage.until("one.jsonl", "Grace")
        assert stage.states() == {"one": "running", "two": "running"}

    supervisor = play(application, tmp_path, story)
    assert [one.state for one in supervisor.status()] == ["ended", "ended"]
    assert application.store.counts("one").pending == application.store.counts("two").pending == 0


def test_a_target_that_fails_does_not_hold_up_the_others(application: Application, tmp_path: Path) -> None:
    failures: list[str] = []

    async def story(stage: Stage) -> None:
        await stage.change("Ada")
        (tmp_path / "one.jsonl").mkdir()  # no file to append to: a setting is wrong
        stage.supervisor.start("one", "two")
        ends = {end.target: end.error for end in await stage.supervisor.wait()}
        assert isinstance(ends["one"], ConfigError)
        assert ends["two"] is None
        assert stage.states() == {"one": "failed", "two": "ended"}

    play(application, tmp_path, story, until_caught_up=True, failed=lambda name, _: failures.append(name))
    assert failures == ["one"]


def test_a_reload_takes_a_new_target_in_a_removed_one_out_and_begins_anew_where_settings_changed(
    application: Application, tmp_path: Path, applied: Reload
) -> None:
    async def story(stage: Stage) -> None:
        stage.supervisor.start("one", "two")
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        await stage.until("two.jsonl", "Ada")
        loaded = applied(one="elsewhere.jsonl", three="three.jsonl")
        assert await stage.supervisor.reload(loaded) == Reloaded(["three"], ["two"], ["one"])
        assert stage.states() == {"one": "running", "three": "running"}
        await stage.change("Grace")
        await stage.until("elsewhere.jsonl", "Grace")
        await stage.until("three.jsonl", "Ada")
        await stage.until("three.jsonl", "Grace")
        assert not stage.has("one.jsonl", "Grace")
        assert not stage.has("two.jsonl", "Grace")
        assert await stage.supervisor.reload(loaded) == Reloaded([], [], [])

    play(application, tmp_path, story)


def test_who_waits_goes_on_waiting_while_a_reload_begins_every_relay_anew(
    application: Application, tmp_path: Path, applied: Reload
) -> None:
    async def story(stage: Stage) -> None:
        stage.supervisor.start("one")
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        waiting = asyncio.create_task(stage.supervisor.wait())
        await asyncio.sleep(0)
        assert await stage.supervisor.reload(applied(one="elsewhere.jsonl")) == Reloaded([], [], ["one"])
        await stage.change("Grace")
        await stage.until("elsewhere.jsonl", "Grace")
        assert not waiting.done()
        stage.supervisor.end()
        assert [one.error for one in await waiting] == [None]

    play(application, tmp_path, story)


def test_a_reload_does_not_start_what_was_stopped_nor_what_was_never_started(
    application: Application, tmp_path: Path, applied: Reload
) -> None:
    async def story(stage: Stage) -> None:
        stage.supervisor.start("one")
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        await stage.supervisor.stop("one")
        assert await stage.supervisor.reload(applied(one="elsewhere.jsonl", two="too.jsonl")) == Reloaded([], [], [])
        assert stage.states() == {"one": "stopped", "two": None}
        await stage.supervisor.resume("one")
        await stage.change("Grace")
        await stage.until("elsewhere.jsonl", "Grace")

    play(application, tmp_path, story)


class Between(StoreCall):
    """Lets something happen as soon as targets were first checked."""

    def __init__(self, call: StoreCall, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(call._executor)
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        found = await super().__call__(function, *args)
        if getattr(function, "__name__", "") == "check" and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return found


async def resumed_elsewhere(stage: Stage, application: Application) -> Supervisor:
    """Let two targets run, and one of them be stopped here and resumed by another process, unnoticed so far."""
    stage.supervisor.start("one", "two")
    await stage.change("Ada")
    await stage.until("one.jsonl", "Ada")
    await stage.supervisor.stop("one")
    application.store.stop("one", None)
    return stage.supervisor


@pytest.mark.parametrize("names", [("one", "two"), ("two",)])
def test_what_is_resumed_during_a_reload_begins_only_after_it_and_as_it_is_configured_then(
    application: Application, tmp_path: Path, applied: Reload, names: tuple[str, ...]
) -> None:
    async def story(stage: Stage) -> None:
        supervisor = await resumed_elsewhere(stage, application)
        loaded = applied(**{name: f"new-{name}.jsonl" for name in names})
        supervisor.call = Between(supervisor.call, lambda: supervisor.follow({"one": None}))
        assert (await supervisor.reload(loaded)).restarted == ["two"]
        if "one" not in names:
            assert stage.states() == {"two": "running"}
            with application.store.lock_target("one"):
                return  # no relay holds it any more
        assert stage.states() == {"one": "stopped", "two": "running"}
        await supervisor.follow({"one": None})
        await stage.change("Grace")
        await stage.until("new-one.jsonl", "Grace")
        assert not stage.has("one.jsonl", "Grace")

    play(application, tmp_path, story)


def test_a_reload_waits_for_the_target_that_is_just_resumed(application: Application, tmp_path: Path, applied: Reload) -> None:
    reloads: list[asyncio.Task[Reloaded]] = []

    async def story(stage: Stage) -> None:
        supervisor = await resumed_elsewhere(stage, application)
        loaded = applied(two="two.jsonl")

        async def reload() -> None:
            reloads.append(asyncio.create_task(supervisor.reload(loaded)))
            await asyncio.wait(reloads, timeout=0.2)

        supervisor.call = Between(supervisor.call, reload)
        await supervisor.follow({"one": None})
        assert await reloads[0] == Reloaded([], ["one"], [])
        assert stage.states() == {"two": "running"}
        with application.store.lock_target("one"):
            """No relay holds it any more."""

    play(application, tmp_path, story)


def test_a_configuration_that_is_refused_changes_nothing(application: Application, tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.supervisor.start("one", "two")
        fresh = load_document(document(one="elsewhere.jsonl", three="three.jsonl"), tmp_path)
        with pytest.raises(ConfigError, match="no contract was applied yet for three"):
            await stage.supervisor.reload(fresh)
        other = load_document({**document(one="one.jsonl"), "store": {"path": "other.db"}}, tmp_path)
        with pytest.raises(ConfigError, match=r"store\.path"):
            await stage.supervisor.reload(other)
        assert stage.states() == {"one": "running", "two": "running"}
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        await stage.until("two.jsonl", "Ada")

    play(application, tmp_path, story)


def test_what_is_not_there_is_refused_and_nothing_begins(application: Application, tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(NotFoundError, match="did you mean 'one'"):
            stage.supervisor.start("two", "oone")
        assert stage.states() == {"one": None, "two": None}
        with pytest.raises(NotFoundError, match="knows no target one"):
            await stage.supervisor.stop("one")

    play(application, tmp_path, story)


def test_to_cancel_the_task_that_waits_ends_the_relays_gracefully(application: Application) -> None:
    supervisor = Supervisor(application.relays())

    async def run() -> None:
        async with supervisor:
            supervisor.start("one", "two")
            await supervisor.wait()

    async def story() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert [one.state for one in supervisor.status()] == ["ended", "ended"]
    assert not supervisor.cancelled


def test_to_end_at_once_leaves_no_relay_running(application: Application, tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stage.supervisor.start("one", "two")
        await stage.change("Ada")
        await stage.until("one.jsonl", "Ada")
        stage.supervisor.cancel()
        assert await stage.supervisor.wait() == []

    assert play(application, tmp_path, story).cancelled


@pytest.mark.parametrize("error", [StoreBusyError("the store is held"), ValueError("a door that cannot show it")])
def test_a_replay_whose_watcher_fails_raises_that_and_leaves_the_replay_to_the_next_relay(
    application: Application, tmp_path: Path, error: Exception
) -> None:
    async def deliver(stage: Stage) -> None:
        await stage.change("Ada")
        stage.supervisor.start("one")
        await stage.until_true(lambda: stage.states()["one"] == "ended")

    play(application, tmp_path, deliver, until_caught_up=True)
    service = application.replay_service("one")
    record = service.ask(service.select(ReplayRequest()), rate=None, why="")
    relays = application.relays()
    supervisor = Supervisor(relays)
    seen: list[str] = []

    def reported(replay: Replay) -> None:
        seen.append(replay.id)
        raise error

    with pytest.raises(type(error)) as raised:
        asyncio.run(carry_out(supervisor, relays, record, application.store.replays, reported))
    assert raised.value is error
    assert seen == [record.id]
    assert [one.state for one in supervisor.status() if one.target == "one"] != ["running"]
    with application.store.lock_target("one"):
        """No relay holds it any more."""

    again = Supervisor(relays)
    asyncio.run(carry_out(again, relays, record, application.store.replays))
    [kept] = application.store.replays("one")
    assert (kept.id, kept.state, kept.tally.events) == (record.id, "done", 1)
