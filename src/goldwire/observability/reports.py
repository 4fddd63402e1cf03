"""Turns what a relay reports into one wide log line for each attempt, and into metrics.

A log line names positions, entities, versions, outcomes and times; never an attribute or what a target answered in full.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import structlog

from goldwire.changelog.rows import Counts
from goldwire.observability import metrics
from goldwire.relay.retry_policy import ASKED_TO_WAIT
from goldwire.targets.base import Item, Outcome

_WORDS = {
    "Delivered": "delivered",
    "Duplicate": "duplicate",
    "Throttled": "throttled",
    "Unavailable": "unavailable",
    "Rejected": "rejected",
    "Unknown": "unknown",
}


class RecordingObserver:
    """Logs and counts what the relay of one target reports; see `Observer`.

    Args:
        target: its name.
        recorder: where metrics go.
        log: a structlog logger; attempts that delivered are `info`, others `warning`.
    """

    def __init__(self, target: str, recorder: metrics.Recorder, log: Any = None) -> None:
        self._target = target
        self._recorder = recorder
        self._log = (log or structlog.get_logger("goldwire.relay")).bind(target=target)
        self._standard = logging.getLogger("goldwire.relay")
        self._where_errors: set[str] = set()

    def attempt(self, items: Sequence[Item], outcomes: Sequence[Outcome], duration_seconds: float) -> None:
        """One send came back: a line for it, and one more for each way in which items were not taken."""
        counts = Counter({_WORDS[kind.__name__]: count for kind, count in Counter(map(type, outcomes)).items()})
        for word, count in counts.items():
            self._recorder.count(metrics.ATTEMPTS, self._target, word, by=count)
            if word not in ("delivered", "duplicate"):
                self._recorder.count(metrics.TARGET_ERRORS, self._target, word, by=count)
        self._recorder.observe(metrics.SEND, self._target, value=duration_seconds)
        if self._standard.isEnabledFor(logging.INFO):
            single = self._fields(items[0]) if len(items) == 1 else {}
            self._log.info("attempt", items=len(items), duration_seconds=round(duration_seconds, 6), **counts, **single)
        if counts["delivered"] + counts["duplicate"] < len(outcomes) and self._standard.isEnabledFor(logging.WARNING):
            self._warn(items, outcomes)

    def asked_for_too_long(self, asked_seconds: float, limit_seconds: float) -> None:
        """The target asked for a longer wait than its settings allow."""
        self._log.warning(
            "asked for a longer wait than allowed", asked_seconds=asked_seconds, waiting_seconds=limit_seconds,
            mend="`delivery: {wait_limit_seconds: …}` allows longer ones",
        )  # fmt: skip

    def ended(self, *, delivered: int, filtered: int, superseded: int, dead: int) -> None:
        """A settlement was committed."""
        for word, count in (
            ("delivered", delivered),
            ("filtered", filtered),
            ("superseded", superseded),
            ("dead", dead),
        ):
            if count:
                self._recorder.count(metrics.DELIVERIES, self._target, word, by=count)

    def latency(self, seconds: float) -> None:
        """Changes that were committed together are settled, this long after."""
        self._recorder.observe(metrics.LATENCY, self._target, value=max(seconds, 0.0))

    def status(self, counts: Counts, *, balanced: bool, stopped: bool, stale: int) -> None:
        """How far the target is now."""
        for metric, value in (
            (metrics.DEAD_LETTERS, counts.dead),
            (metrics.PARKED, counts.parked),
            (metrics.LAG, counts.pending),
            (metrics.BALANCED, int(balanced)),
            (metrics.STOPPED, int(stopped)),
            (metrics.STALE, stale),
        ):
            self._recorder.gauge(metric, self._target, value=value)

    def guarded(self, kind: str, count: int) -> None:
        """Events are kept back before a person says yes."""
        self._recorder.count(metrics.GUARDED, self._target, kind, by=count)
        self._log.warning(
            "kept back by the guards", kind=kind, items=count, mend=f"`goldwire resume {self._target} --yes`, if that is meant"
        )

    def diverged(self, count: int) -> None:
        """The target holds what this store did not send."""
        self._recorder.count(metrics.DIVERGED, self._target, by=count)
        self._log.warning("holds what this store did not send", items=count, mend=f"`goldwire resync {self._target}`")

    def replayed(self, outcome: str, count: int) -> None:
        """So many events of a replay ended this way."""
        if count:
            self._recorder.count(metrics.REPLAYED, self._target, outcome, by=count)

    def replaying(self, *, open_now: bool) -> None:
        """A replay was taken up, or is in hand no more."""
        self._recorder.gauge(metrics.REPLAYING, self._target, value=int(open_now))

    def where_failed(self, reason: str) -> None:
        """A `where` had no result for a record; it logs each kind of reason once, and counts all in a metric."""
        self._recorder.count(metrics.WHERE_ERRORS, self._target)
        if reason not in self._where_errors and self._standard.isEnabledFor(logging.WARNING):
            self._where_errors.add(reason)
            self._log.warning("where has no result; such records are held back", reason=reason)

    def unreachable(self, reason: str) -> None:
        """The target did not open; it is tried again."""
        self._log.warning("not reachable", reason=reason)

    def event(self, name: str, **fields: Any) -> None:
        """Something about the relay itself: started, resting, stopped."""
        if self._standard.isEnabledFor(logging.INFO):
            self._log.info(name, **fields)

    def _warn(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """One line for each way in which items failed: an outage must not write a line for each of a thousand."""
        failed: dict[tuple[str, str], list[Item]] = {}
        for item, outcome in zip(items, outcomes, strict=True):
            word = _WORDS[type(outcome).__name__]
            if word not in ("delivered", "duplicate"):
                failed.setdefault((word, getattr(outcome, "reason", ASKED_TO_WAIT)), []).append(item)
        for (word, reason), alike in failed.items():
            self._log.warning(word, reason=reason, items=len(alike), **self._fields(alike[0]))

    @staticmethod
    def _fields(item: Item) -> dict[str, Any]:
        event = item.event
        return {
            "entity": event.entity_id,
            "entity_type": event.entity_type,
            "version": event.version,
            "event_type": event.event_type,
            "correlation_id": event.correlation_id,
            "attempt": item.attempt,
            "bytes": len(event.body),
            **({"replay": item.replay_id} if item.replay_id is not None else {}),
        }
