"""One seed of the simulation whose targets are topics of a broker, each read by two subscribers that are built on the kit."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from random import Random

from subscribers import Group
from topic import Topic

from goldwire.targets.base import Target
from goldwire_lab.simulation.promises import check_everything
from goldwire_lab.simulation.scenario import Scenario

SUBSCRIBERS_LAG_SECONDS = 20_000.0


class BrokerScenario(Scenario):
    """What `Scenario` does, and behind each target a consumer group whose table must come out as the golden state."""

    loses_possible = False  # subscribers would report, rightly, that something was lost

    def __init__(self, seed: int, template: Path, folder: Path) -> None:
        logging.getLogger("goldwire_consumer").setLevel(logging.CRITICAL)
        self.groups: list[Group] = []
        super().__init__(seed, template, folder)

    def _inner(self, name: str) -> Target:
        # A random of its own for each group: what the subscribers draw does not change what the relay meets.
        random = Random(f"{self.seed}:{name}")
        group = Group(
            lambda appended: Topic(name, self.clock, random, appended),
            self.path.with_name(f"{self.path.name}.{name}.subscribers"),
            random,
            self.loop.call_later,
            self.findings.append,
        )
        self.groups.append(group)
        return group.topic

    @property
    def happened(self) -> Counter[str]:
        """How often each fault came true, and what became of the messages."""
        return sum((group.topic.happened for group in self.groups), Counter())

    def run(self) -> None:
        """Run the seed to its end."""
        try:
            super().run()
        finally:
            for group in self.groups:
                group.close()

    def _live(self, *, calm: bool) -> None:
        for group in self.groups:
            group.topic.calm = calm
        super()._live(calm=calm)

    def _check(self) -> None:
        # The relay is done; the subscribers lag behind, and go through their own faults first.
        self.loop.run_until_complete(asyncio.sleep(SUBSCRIBERS_LAG_SECONDS))
        check_everything(self)
        for group in self.groups:
            group.drain()
            witness = self.witnesses[group.topic.name]
            group.check(witness.record, witness.entities())
        self._raise_findings()
