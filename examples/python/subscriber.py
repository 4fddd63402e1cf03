"""A subscriber: reads the events, verifies each, and applies it once, however often it comes."""

from __future__ import annotations

from pathlib import Path

from customers import configuration, events

from goldwire import Goldwire
from goldwire_consumer import Event, Outcome, apply, parse
from goldwire_consumer.verdict import Held


class InMemory:
    """The version guard of a subscriber that keeps everything in memory; a real one keeps it in its database."""

    def __init__(self) -> None:
        self.kept: dict[str, Held] = {}

    def held(self, entity_id: str) -> Held | None:
        """Return what is kept of an entity."""
        return self.kept.get(entity_id)

    def hold(self, entity_id: str, _before: Held | None, after: Held) -> None:
        """Keep it."""
        self.kept[entity_id] = after

    def check(self) -> None:
        """What was written is kept: this is memory."""


with Goldwire.open(configuration(targets={"events": events()})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.run()

cities: dict[str, str] = {}


def write(event: Event) -> None:
    """Write what one event says."""
    cities[event.entity_id] = event.changes.attributes["city"].value


guard = InMemory()
lines = Path("out/events.jsonl").read_bytes().splitlines()
outcomes = [apply(guard, parse(line), write) for line in [*lines, *lines]]
print(f"{len(outcomes)} messages: {outcomes.count(Outcome.APPLIED)} applied, {outcomes.count(Outcome.IGNORED)} ignored")
print("cities:", ", ".join(sorted(cities.values())))
