"""The crash: a relay in a process of its own is killed in mid-send, and the next one goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

from goldwire.demo.backplane import written_at
from goldwire.demo.folder import DemoFolder
from goldwire.demo.partner import arrivals, count_lines, wait_for_lines
from goldwire.demo.proof import all_terms
from goldwire.demo.result import RelayCrash
from goldwire.errors import GoldwireError
from goldwire.services.application import Application

KILL_AFTER_EVENTS = 75
"""How many events of the second wave the partner has when the relay is killed: a good third."""

KILL_AT_THE_LATEST = 140
"""How many it may have while the relay still runs until the backplane has something too."""

ANSWER_SECONDS = 0.15
"""How long the partner takes over each answer meanwhile, so that the kill meets it in mid-send."""

_PATIENCE_SECONDS = 60.0


def kill_and_go_on(folder: DemoFolder, url: str) -> RelayCrash:
    """Start a relay, kill it with SIGKILL while it sends, and let the next one finish.

    Args:
        folder: of the demo, with the second wave ingested and nothing of it sent.
        url: the partner's address.

    Raises:
        GoldwireError: it could not be killed in mid-send, or the next relay failed.
    """
    before = len(arrivals(folder.arrivals))
    hub_before = written_at(folder)
    folder.point_partner_at(f"{url}/slow/{ANSWER_SECONDS}")
    with folder.child_log.open("wb") as log:
        relay = _start_relay(folder, log.fileno())
        try:
            wait_for_lines(folder.arrivals, before + KILL_AFTER_EVENTS, relay, _PATIENCE_SECONDS)
            if hub_before:
                _wait_for_hub(folder, hub_before, before + KILL_AT_THE_LATEST, relay)
        finally:
            relay.kill()  # SIGKILL
            exit_code = relay.wait()
        at_death = arrivals(folder.arrivals)[before:]
        with Application.of(folder.config) as application:
            at_kill = all_terms(application)
        folder.point_partner_at(url)
        started = time.monotonic()
        _finish(_start_relay(folder, log.fileno()), folder)
        seconds = time.monotonic() - started
    events = arrivals(folder.arrivals)[before:]
    times = Counter((one.entity_id, one.version) for one in events)
    return RelayCrash(
        exit_signal=-exit_code,
        at_kill=at_kill,
        partner_had=len({(one.entity_id, one.version) for one in at_death}),
        partner_has=len(times),
        partner_repeated=sum(count > 1 for count in times.values()),
        partner_repeats_identical=len({(one.entity_id, one.version, one.body) for one in events}) == len(times),
        seconds_to_catch_up=seconds,
    )


def _wait_for_hub(folder: DemoFolder, before: int, lines: int, relay: subprocess.Popen[bytes]) -> None:
    """Return when the emulator has written something, the partner has so many lines, or the relay has ended."""
    while written_at(folder) == before and count_lines(folder.arrivals) < lines and relay.poll() is None:
        time.sleep(0.001)


def _finish(relay: subprocess.Popen[bytes], folder: DemoFolder) -> None:
    try:
        code = relay.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise GoldwireError(
            f"the relay that went on was not done in {_PATIENCE_SECONDS:.0f} s; see {folder.child_log}"
        ) from error
    finally:
        relay.kill()
    if code:
        raise GoldwireError(f"the relay that went on ended with {code}; see {folder.child_log}")


def _start_relay(folder: DemoFolder, log: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "goldwire", "run", "--until-caught-up", "--config", str(folder.config)]
    return subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ourselves, with our own arguments
