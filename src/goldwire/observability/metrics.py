"""Every metric Goldwire exposes, as one typed list, and the recorder that keeps their values.

Labels are target names and fixed words only: never an entity, a system's answer or a value.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
    "1 while the target is stopped, by the dead-letter cap or by hand.",
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
BALANCED = Metric("goldwire_ledger_balanced", "gauge", ("target",), "1 while the ledger balances.")

METRICS = (
    DELIVERIES, ATTEMPTS, DEAD_LETTERS, LAG, PARKED, TARGET_ERRORS, LATENCY, SEND, WHERE_ERRORS, STOPPED, REPLAYED, REPLAYING,
    BALANCED, STALE,
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


class Recorder:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._counters = {
            m.name: Counter(m.name, m.meaning, m.labels, registry=self.registry) for m in METRICS if m.kind == "counter"
        }
        self._gauges = {
            m.name: Gauge(m.name, m.meaning, m.labels, registry=self.registry) for m in METRICS if m.kind == "gauge"
        }
        self._histograms = {
            m.name: Histogram(m.name, m.meaning, m.labels, registry=self.registry, buckets=_LATENCY_BUCKETS)
            for m in METRICS
            if m.kind == "histogram"
        }

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Raise a counter."""
        self._counters[metric.name].labels(*labels).inc(by)

    def gauge(self, metric: Metric, *labels: str, value: float) -> None:
        """Set a gauge."""
        self._gauges[metric.name].labels(*labels).set(value)

    def observe(self, metric: Metric, *labels: str, value: float) -> None:
        """Add to a histogram, in seconds."""
        self._histograms[metric.name].labels(*labels).observe(value)
