"""The demo's story, step by step: ingest, deliver, a second wave, a crash, the proof."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from goldwire.demo.backplane import TARGET, emulator, installed
from goldwire.demo.crash import kill_and_go_on
from goldwire.demo.fates import decided, fates, tombstone
from goldwire.demo.folder import DemoFolder
from goldwire.demo.mirror import compare_mirror
from goldwire.demo.narrator import Teller
from goldwire.demo.partner import arrivals, receiver
from goldwire.demo.promises import promises
from goldwire.demo.proof import all_terms, compare_warehouse, verify_chains
from goldwire.demo.result import DemoDelivery, Intake, Summary
from goldwire.demo.subscriber import kill_subscriber, read_to_the_end
from goldwire.demo.truth import quality
from goldwire.errors import VerificationError
from goldwire.services.application import Application
from goldwire.services.delivery import run_targets

SAMPLE = ("crm", "rec-1070-org")
"""The record whose event is shown as the partner receives it: the first of the file."""


def run_demo(directory: Path, *, as_json: bool = False) -> bool:
    """Run the demo.

    Args:
        directory: where it works; made anew.
        as_json: write a summary for machines instead of the story.

    Returns:
        the exit code: 0 when every promise was kept, else 9.

    Raises:
        InputError: the directory holds something that is not the demo's.
        GoldwireError: a step could not be done.
    """
    started = time.monotonic()
    folder = DemoFolder(directory)
    folder.make()
    teller = Teller(folder, silent=as_json)
    teller.opening()
    with ExitStack() as running:
        running.enter_context(_ended_by_sigterm())
        url = running.enter_context(receiver(folder))
        if installed():
            running.enter_context(emulator(folder))
        else:
            folder.leave_out_backplane()
            teller.without_backplane()
        summary = _story(folder, url, teller)
    summary.seconds = time.monotonic() - started
    teller.ending(summary)
    if as_json:
        plain = {**msgspec.to_builtins(summary), **_rates(summary), "kept": summary.kept}
        print(json.dumps(plain, indent=2))  # noqa: T201 - the result
    return summary.kept


_FIRST_WAVE = (("crm", "a"), ("billing", "b"))
"""By source, the part of the data set that it holds."""


def _story(folder: DemoFolder, url: str, teller: Teller) -> Summary:
    folder.point_partner_at(url)
    with Application.of(folder.config) as application:
        application.apply_service().run(check=False)
        intakes = [_ingest(application, folder, source, f"dataset4{part}.csv") for source, part in _FIRST_WAVE]
        teller.ingested(intakes)
        by_rules = quality(application.store)
        teller.mastered(by_rules, intakes, rules=len(application.loaded.config.types["Customer"].match))
        sent = [_deliver(application, name) for name in application.loaded.config.targets]
        sample, clear = _sample(application, folder)
        teller.delivered(sent)
        teller.shown(sample, clear)
        killed = None
        if TARGET in application.loaded.config.targets:
            killed = kill_subscriber(application, folder, next(one.delivered for one in sent if one.target == TARGET))
            teller.killed(killed)
        decisions = decided(application.store, folder)
        second_wave = [
            _ingest(application, folder, "moves", "second-wave/moves.csv", rejects=folder.rejects),
            _ingest(application, folder, None, "second-wave/decisions.jsonl"),
        ]
        after_steward = quality(application.store)
        teller.second_wave(second_wave, by_rules, after_steward)
    crash = kill_and_go_on(folder, url)
    teller.crashed(crash)
    with Application.of(folder.config) as application:
        mirror = None if killed is None else compare_mirror(application, folder, read_to_the_end(application, folder))
        found = fates(application, folder, decisions)
        summary = Summary(
            intakes=intakes,
            by_rules=by_rules,
            sent=sent,
            sample=sample,
            second_wave=second_wave,
            after_steward=after_steward,
            crash=crash,
            fates=found,
            tombstone=tombstone(folder, found),
            ledgers=all_terms(application),
            chains=verify_chains(application, folder),
            warehouse=compare_warehouse(application, folder),
            killed=killed,
            mirror=mirror,
            promises=[],
            seconds=0.0,
        )
    summary.promises = promises(summary, folder)
    teller.proven(summary)
    return summary


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that the processes it started end too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ingest(application: Application, folder: DemoFolder, source: str | None, file: str, rejects: Path | None = None) -> Intake:
    started = time.perf_counter()
    done = application.ingest_service().files(source, [folder.root / file], rejects_file=rejects)
    seconds = time.perf_counter() - started
    return Intake(
        source=source or "steward",
        file=file,
        rows=done.rows,
        facts=done.facts,
        decisions=done.decisions,
        rejected=done.rejected,
        versions=done.versions,
        merges=done.merges,
        unmerges=done.unmerges,
        rows_per_second=done.rows / seconds,
    )


def _deliver(application: Application, name: str) -> DemoDelivery:
    """Run one target until it is caught up; one after the other, so that each rate is its own."""
    relays = application.relays()
    relays.check([name])
    started = time.perf_counter()
    [end] = run_targets(relays, [name], until_caught_up=True)
    seconds = time.perf_counter() - started
    if end.error is not None:
        raise end.error
    counts, config = application.store.counts(name), application.targets.config(name)
    return DemoDelivery(name, config.kind, config.contract, counts.delivered, counts.filtered, counts.superseded, seconds)


def _sample(application: Application, folder: DemoFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return one event as the partner received it, and the attributes of its golden record."""
    entity_id = application.store.find_entity(*SAMPLE)
    assert entity_id is not None, "the sample's record was ingested"
    bodies: Sequence[bytes] = [one.body for one in arrivals(folder.arrivals) if one.entity_id == entity_id]
    if not bodies:
        raise VerificationError(f"the partner never received {entity_id}, which is golden and approved")
    state = msgspec.json.decode(application.store.history(entity_id)[-1].state)
    return msgspec.json.decode(bodies[-1]), state["attributes"]


def _rates(summary: Summary) -> dict[str, Any]:
    """Return what the structs compute, which their encoding leaves out."""
    return {
        "precision_by_rules": summary.by_rules.precision,
        "recall_by_rules": summary.by_rules.recall,
        "precision_after_steward": summary.after_steward.precision,
        "recall_after_steward": summary.after_steward.recall,
        "events_per_second": {one.target: one.events_per_second for one in summary.sent},
    }
