"""Every metric Goldwire exposes, as one typed list, and the recorder that keeps their values.

Labels are names that the configuration or a broker's set-up gives (targets, sources, consumer groups, subscriptions), numbers
of partitions, and fixed words: never an entity, a system's answer or a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Metric(NamedTuple):
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


DELIVERIES = Metric(
    "goldwire_deliveries_total",
    "counter",
    ("target", "outcome"),
    "Deliveries that ended: delivered, filtered, superseded or dead.",
)
ATTEMPTS = Metric(
    "goldwire_attempts_total",
    "counter",
    ("target", "outcome"),
    "Attempts by outcome; delivered over all is the delivery success rate.",
)
DEAD_LETTERS = Metric("goldwire_dead_letters", "gauge", ("target",), "Dead letters now, discarded ones included.")
LAG = Metric(
    "goldwire_lag_changes",
    "gauge",
    ("target",),
    "Consumer lag: committed changes that this target has yet to end (pending).",
)
PARKED = Metric(
    "goldwire_parked_deliveries",
    "gauge",
    ("target",),
    "Deliveries that wait behind a dead letter of their entity.",
)
TARGET_ERRORS = Metric(
    "goldwire_target_errors_total",
    "counter",
    ("target", "kind"),
    "Connector API errors: throttled, unavailable, rejected, unknown.",
)
LATENCY = Metric(
    "goldwire_end_to_end_seconds",
    "histogram",
    ("target",),
    "From commit to settled, once for all changes committed and settled together.",
)
SEND = Metric("goldwire_send_seconds", "histogram", ("target",), "How long one send took.")
WHERE_ERRORS = Metric(
    "goldwire_where_errors_total",
    "counter",
    ("target",),
    "Evaluations of `where` that ended in an error, such as a text compared with a number; those records are held back.",
)
STOPPED = Metric(
    "goldwire_target_stopped",
    "gauge",
    ("target",),
    "1 while the target is stopped: by the dead-letter cap, by its guards, or by hand.",
)
REPLAYED = Metric(
    "goldwire_replayed_events_total",
    "counter",
    ("target", "outcome"),
    "Events of replays: taken, rejected, skipped behind a rejected one, withheld by the present contract.",
)
REPLAYING = Metric("goldwire_replay_open", "gauge", ("target",), "1 while a replay is carried out.")
STALE = Metric(
    "goldwire_stale_entities",
    "gauge",
    ("target",),
    "Entities of which the target does not hold what its contract says, as far as was counted when it was applied.",
)
GUARDED = Metric(
    "goldwire_guarded_total",
    "counter",
    ("target", "kind"),
    "Removals and changes that the guards kept back before a person says yes; those that come again count again.",
)
DIVERGED = Metric(
    "goldwire_diverged_total",
    "counter",
    ("target",),
    "Events that the target was found to hold and this store did not send: it is older than the target, or another one writes.",
)
BALANCED = Metric("goldwire_ledger_balanced", "gauge", ("target",), "1 while the ledger balances.")
INGEST_ROWS = Metric(
    "goldwire_ingest_rows_total",
    "counter",
    ("source",),
    "Rows that any process took in, as the store counts them, rejected ones included; `-`: without a source.",
)
INGEST_REJECTS = Metric("goldwire_ingest_rejected_rows_total", "counter", ("source",), "Rows among them that were rejected.")
INGEST_VERSIONS = Metric("goldwire_ingest_versions_total", "counter", ("source",), "Versions that they committed.")
INGEST_MERGES = Metric("goldwire_ingest_merges_total", "counter", ("source",), "Entities that they merged into another one.")
INGEST_AGE = Metric("goldwire_ingest_age_seconds", "gauge", ("source",), "How long ago a row was taken in last.")

SUBSCRIBER_LAG = Metric(
    "goldwire_subscriber_lag_events",
    "gauge",
    ("target", "subscriber", "partition"),
    "Events that a consumer group has yet to read, or messages that wait in a queue or subscription, as the broker says; asked "
    "for by `settings.subscribers`.",
)
BROKER_DEAD_LETTERS = Metric(
    "goldwire_broker_dead_letters",
    "gauge",
    ("target", "subscriber"),
    "Messages that were delivered to a queue or subscription and given up there: the broker's dead letters, no deliveries.",
)
SUBSCRIBERS_KNOWN = Metric(
    "goldwire_subscribers_known",
    "gauge",
    ("target",),
    "1 while the broker answers about subscribers; while it is 0 the two metrics above are absent.",
)
HEADS_AGE = Metric(
    "goldwire_heads_age_seconds",
    "gauge",
    ("target",),
    "How old the signed list of heads is that `heads` of the target asks for.",
)

METRICS = (
    DELIVERIES, ATTEMPTS, DEAD_LETTERS, LAG, PARKED, TARGET_ERRORS, LATENCY, SEND, WHERE_ERRORS, STOPPED, REPLAYED, REPLAYING,
    BALANCED, STALE, GUARDED, DIVERGED, INGEST_ROWS, INGEST_REJECTS, INGEST_VERSIONS, INGEST_MERGES, INGEST_AGE,
    SUBSCRIBER_LAG, BROKER_DEAD_LETTERS, SUBSCRIBERS_KNOWN, HEADS_AGE,
)  # fmt: skip

_LATENCY_BUCKETS = (
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1_800.0,
    7_200.0,
    86_400.0,
)


_OF_THE_STORE = frozenset((INGEST_ROWS, INGEST_REJECTS, INGEST_VERSIONS, INGEST_MERGES))
"""Counters that other processes raise, so that the store has their values."""


class Recorder(Collector):
    """The metrics of one process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._counters = {
            m.name: Counter(m.name, m.meaning, m.labels, registry=self.registry)
            for m in METRICS
            if m.kind == "counter" and m not in _OF_THE_STORE
        }
        self._gauges = {
            m.name: Gauge(m.name, m.meaning, m.labels, registry=self.registry) for m in METRICS if m.kind == "gauge"
        }
        self._histograms = {
            m.name: Histogram(m.name, m.meaning, m.labels, registry=self.registry, buckets=_LATENCY_BUCKETS)
            for m in METRICS
            if m.kind == "histogram"
        }

        self._labels: dict[str, set[tuple[str, ...]]] = {name: set() for name in self._gauges}
        self._totals: dict[Metric, dict[tuple[str, ...], float]] = {}
        self.registry.register(self)

    def total(self, metric: Metric, *labels: str, value: float) -> None:
        """Set a counter that the store keeps."""
        self._totals.setdefault(metric, {})[labels] = value

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters that the store keeps; for the registry."""
        for metric, values in list(self._totals.items()):
            family = CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in list(values.items()):
                family.add_metric(labels, value)
            yield family

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Raise a counter."""
        self._counters[metric.name].labels(*labels).inc(by)

    def gauge(self, metric: Metric, *labels: str, value: float) -> None:
        """Set a gauge."""
        self._labels[metric.name].add(labels)
        self._gauges[metric.name].labels(*labels).set(value)

    def forget(self, target: str) -> None:
        """Leave a target's gauges out from now on: it is delivered to no more."""
        self.forget_of([metric for metric in METRICS if metric.kind == "gauge" and metric.labels[0] == "target"], target)

    def forget_of(self, gauges: Iterable[Metric], target: str) -> None:
        """Leave some of a target's gauges out, whatever their other labels, until they are set again."""
        for metric in gauges:
            known = self._labels[metric.name]
            for labels in [labels for labels in known if labels[0] == target]:
                known.discard(labels)
                self._gauges[metric.name].remove(*labels)

    def observe(self, metric: Metric, *labels: str, value: float) -> None:
        """Add to a histogram, in seconds."""
        self._histograms[metric.name].labels(*labels).observe(value)
