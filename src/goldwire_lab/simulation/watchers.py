"""What watches one run of a relay: everything that leaves, arrives and is answered goes by all that looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import Cursor
from goldwire.targets.base import Delivered, Item, Outcome
from goldwire_lab.simulation.answers import Answers
from goldwire_lab.simulation.departures import Departures
from goldwire_lab.simulation.leaks import Leaks
from goldwire_lab.simulation.limits import Limits
from goldwire_lab.simulation.witness import Witness


class Watchers:
    """Those that watch one target over all lives of the process.

    Args:
        target: its name.
        report: called with each broken promise.
    """

    def __init__(self, target: str, report: Callable[[str], None]) -> None:
        self.witness = Witness(target, report)
        self.leaks = Leaks(target, report)
        self.departures = Departures(target, report)
        self.answers = Answers(target, report)

    def store_lost(self) -> None:
        """The store is an older one now."""
        self.witness.store_lost()
        self.departures.store_lost()
        self.answers.store_lost()


class Crossing:
    """Shows one run of a relay to all watchers; see `Watch`.

    Args:
        watchers: of the target.
        limits: of this run.
        store: that of the relay.
    """

    def __init__(self, watchers: Watchers, limits: Limits, store: Store) -> None:
        self._watchers = watchers
        self._limits = limits
        self._store = store
        self._taken: dict[str, int] = {}
        """By entity, the newest version of which this run was answered that it was delivered."""

    def unsettled(self, target: str, before: Cursor | None) -> Iterator[str]:
        """Yield a sentence for each thing that a graceful stop has left undone.

        Args:
            target: its name.
            before: its cursor before this run.
        """
        controls = self._store.controls(target, self._taken.keys())
        for entity_id, version in self._taken.items():
            control = controls.get(entity_id)
            if control is None or control.version < version:
                yield f"{target}: version {version} of {entity_id} was delivered, and is not settled after a graceful stop"
        cursor = self._store.cursor(target)
        if cursor is not None and cursor.position < cursor.reach and (before is None or before.reach <= cursor.position):
            yield f"{target}: a graceful stop leaves declared what was not sent"

    def leaving(self, items: Sequence[Item]) -> None:
        """See `Watch`."""
        self._limits.leaving(items)
        self._watchers.leaks.leaving(items)
        self._watchers.departures.leaving(items, self._store)
        self._watchers.answers.leaving(items)

    def ended(self, items: Sequence[Item]) -> None:
        """See `Watch`."""
        self._limits.ended(items)

    def arrived(self, item: Item, *, late: bool = False) -> None:
        """See `Watch`."""
        self._watchers.witness.arrived(item, late=late)

    def refused(self, item: Item) -> None:
        """See `Watch`."""
        self._watchers.witness.refused(item)

    def answered(self, items: Sequence[Item], answers: Sequence[Outcome]) -> None:
        """See `Watch`."""
        self._watchers.answers.answered(items, answers)
        if answers is not None and len(answers) == len(items):
            for item, answer in zip(items, answers, strict=True):
                sound = isinstance(answer, Delivered) and (answer.remote_id is None or isinstance(answer.remote_id, str))
                if sound and item.replay_id is None:
                    self._taken[item.event.entity_id] = max(item.event.version, self._taken.get(item.event.entity_id, 0))

    def looked_up(self, items: Sequence[Item], versions: Sequence[int | None]) -> None:
        """See `Watch`."""
        self._watchers.answers.looked_up(items, versions)
