"""The relay's throughput to `memory` and to `file`: what `goldwire run` runs, from the configuration on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from typing import Any, Self

from goldwire.errors import GoldwireError, VerificationError
from goldwire.relay.ledger import ledger
from goldwire.services.application import Application
from goldwire.services.delivery import run_targets
from goldwire_lab.bench import floor, sample
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import Work, in_turns
from goldwire_lab.bench.setting import Setting

BARE = "read, decode, encode, SHA-256, batched upsert"


def memory(setting: Setting) -> Throughput:
    """Measure the relay to `memory`."""
    bare = BareRelay(setting)
    with Relays(setting, {"kind": "memory", "delivery": {"batch_size": sample.BATCH}}) as relays:
        rounds = in_turns(setting.rounds, bare.work(floor.encoded), relays.work, bare.work(floor.plain))
    aims = Wanted(ratio=2, per_core_second=25_000)
    return throughput("relay to memory", f"sends of {sample.BATCH:,} into this process", BARE, setting.events, rounds, aims)


def file(setting: Setting) -> Throughput:
    """Measure the relay to `file`."""
    bare = BareRelay(setting)

    def bare_file(_: int) -> None:
        with (setting.folder / "floor.jsonl").open("wb") as written:
            for bodies in bare.chunks(floor.encoded):
                written.write(b"\n".join([*bodies, b""]))
                written.flush()
                os.fsync(written.fileno())

    target = {"kind": "file", "settings": {"path": "NAME.jsonl"}, "delivery": {"batch_size": sample.BATCH}}
    with Relays(setting, target) as relays:
        rounds = in_turns(setting.rounds, bare_file, relays.work)
    what = f"JSON lines, a sync for each {sample.BATCH:,}"
    return throughput("relay to file", what, f"{BARE}, write and sync", setting.events, rounds, Wanted())


class Relays:
    """Relays of one kind of target, one for each round, that all have the whole log before them.

    Args:
        setting: where.
        target: its configuration; `NAME` in a path becomes the target's name.
    """

    def __init__(self, setting: Setting, target: Mapping[str, Any]) -> None:
        self._setting = setting
        names = [f"{target['kind']}-{setting.folder.name}-{number}" for number in range(setting.rounds)]
        self._application = sample.application(setting.folder, setting.store, {name: _named(target, name) for name in names})
        self._names = names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                for name in self._names:
                    prove(self._application, name, self._setting.events)
        finally:
            self._application.store.close()

    def work(self, number: int) -> None:
        """Deliver everything to the target of one round."""
        before = 0

        def moved(_: str, cursor: Any) -> None:
            nonlocal before
            self._setting.tick(cursor.position - before)
            before = cursor.position

        names = [self._names[number]]
        run_targets(self._application.relays(), names, until_caught_up=True, progress=moved, failed=_end)


class BareRelay:
    """The floor of every relay, on a control table that is new each time."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._numbers = count()

    def chunks(self, seal: floor.Seal) -> Any:
        """Go through the log once; yields the events of each chunk."""
        for bodies in floor.relayed(self._setting.store, self._setting.folder / f"floor-{next(self._numbers)}.db", seal):
            yield bodies
            self._setting.tick(len(bodies))

    def work(self, seal: floor.Seal) -> Work:
        """Return the work of going through the log once."""

        def once(_: int) -> None:
            for _bodies in self.chunks(seal):
                pass

        return once


def prove(application: Application, target: str, events: int) -> None:
    """Check that each event was delivered, and accounted for.

    Raises:
        VerificationError: an event was not; a figure would say nothing.
    """
    found = ledger(application.store, target, recount=True)
    if not found.balanced or found.counts.delivered != events:
        raise VerificationError(f"target {target}: {events} events were to be delivered, the ledger says {found}")


def _named(target: Mapping[str, Any], name: str) -> dict[str, Any]:
    settings = {
        key: value.replace("NAME", name) if isinstance(value, str) else value
        for key, value in target.get("settings", {}).items()
    }
    return {"start": "beginning", **target, "settings": settings}


def _end(_: str, error: GoldwireError) -> None:
    raise error
