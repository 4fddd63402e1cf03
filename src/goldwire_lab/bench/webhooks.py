"""The webhook's throughput: one POST for each event at concurrency 64, and arrays of 100."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from goldwire.errors import VerificationError
from goldwire.services.event_loop import loop_factory
from goldwire_lab.bench import floor, sample
from goldwire_lab.bench.figures import Throughput, Wanted, throughput
from goldwire_lab.bench.measurement import in_turns
from goldwire_lab.bench.receiver import receiver
from goldwire_lab.bench.relay import BARE, BareRelay, Relays
from goldwire_lab.bench.setting import Setting

CONNECTIONS = 64
ARRAY_SIZE = 100

Pack = Callable[[Sequence[bytes]], list[bytes]]
"""Turns the events of a chunk into request bodies."""


def single(setting: Setting) -> Throughput:
    """Measure one POST for each event."""
    return _webhook(setting, "webhook, single", {"batch": "single"}, list, Wanted())


def arrays(setting: Setting) -> Throughput:
    """Measure arrays of 100 events."""
    settings = {"batch": "array", "array_size": ARRAY_SIZE}
    return _webhook(setting, "webhook, arrays", settings, _arrays, Wanted(per_second=20_000))


def _webhook(setting: Setting, name: str, settings: Mapping[str, object], pack: Pack, aims: Wanted) -> Throughput:
    bare = BareRelay(setting)
    with receiver(setting.folder) as (url, server):

        def posted(_: int) -> None:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(_post_all(bare, url, pack))

        target = {
            "kind": "webhook",
            "settings": {"url": url, "connections": CONNECTIONS, **settings},
            "delivery": {"batch_size": sample.BATCH},
        }
        with Relays(setting, target) as relays:
            rounds = in_turns(setting.rounds, posted, relays.work)
    size = f"arrays of {ARRAY_SIZE}" if settings["batch"] == "array" else "one event a POST"
    what = f"{size}, {CONNECTIONS} at once, to {server}"
    return throughput(name, what, f"{BARE}, bare POST with the same client", setting.events, rounds, aims)


def _arrays(bodies: Sequence[bytes]) -> list[bytes]:
    return [b"[%b]" % b",".join(bodies[begin : begin + ARRAY_SIZE]) for begin in range(0, len(bodies), ARRAY_SIZE)]


async def _post_all(bare: BareRelay, url: str, pack: Pack) -> None:
    """POST all events with as many workers as there are connections, and nothing around it."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - other figures need not load it

    async with ClientBuilder().no_proxy().build() as client:
        for bodies in bare.chunks(floor.encoded):
            waiting = iter(pack(bodies))

            async def work(waiting: Iterator[bytes]) -> None:
                for body in waiting:
                    reply = await client.post(url).header("content-type", "application/json").body_bytes(body).build().send()
                    if reply.status not in (200, 204):
                        raise VerificationError(f"the receiver answered {reply.status}")

            async with asyncio.TaskGroup() as group:
                for _ in range(CONNECTIONS):
                    group.create_task(work(waiting))
