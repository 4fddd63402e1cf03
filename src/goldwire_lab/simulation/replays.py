"""Replays in the simulation: an operator who asks for some, and what must hold of those that ended."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from goldwire.changelog.ports.store import Store
from goldwire.changelog.replays import Replay, Selection
from goldwire.clock import timestamp
from goldwire_lab.simulation.witness import Witness

ASKED = 0.12
"""How likely an operator who looks asks for a replay."""

CANCELLED = 0.03


class _Expected(NamedTuple):
    """The state when the operator asked for a replay."""

    versions: dict[str, int]
    """Newest version that the target had been sent, of each entity whose newest lies in the range."""
    rewound: bool
    """The target was rewound before: then not all of the past can be proven."""


class Replaying:
    """All replays of one seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._expected: dict[str, _Expected] = {}
        self._rewound: set[str] = set()
        self._lost = False
        self._rates: dict[str, float | None] = {}

    def rate(self, replay_id: str) -> float | None:
        """Return how many events a second a replay may repeat."""
        return self._rates.get(replay_id)

    def store_lost(self) -> None:
        """Take note that the store is an older one now: what it has lost can be repeated no more."""
        self._lost = True

    def rewound(self, target: str) -> None:
        """Take note of a rewind."""
        self._rewound.add(target)

    def operate(self, store: Store, now: float) -> None:
        """Ask for a replay, or cancel one, now and then."""
        random = self._random
        if random.random() < CANCELLED:
            for replay in store.replays():
                store.cancel_replay(replay.id, now)
        cursors = [cursor for cursor in store.cursors() if cursor.position > cursor.start]
        if not cursors or random.random() >= ASKED:
            return
        cursor = random.choice(cursors)
        upto = cursor.position if random.random() < 0.6 else random.randint(cursor.start + 1, cursor.position)
        after = cursor.start if random.random() < 0.6 else random.randint(cursor.start, upto - 1)
        controls = list(store.all_controls(cursor.target))
        some = random.random() < 0.2
        where = 'has(a.city) && a.city == "Rome"' if random.random() < 0.1 else None
        selection = Selection(
            after, upto, bounded=upto < cursor.position,
            entities=tuple(row.entity_id for row in controls if random.random() < 0.5) if some else (),
            where=where, where_attributes=("city",) if where else (),
        )  # fmt: skip
        replay_id = f"replay-{len(self._expected)}"
        rate = self._rates[replay_id] = random.choice((None, None, 5.0, 0.5))
        versions = {
            row.entity_id: row.version
            for row in controls
            if after < row.seq <= upto and where is None and (not selection.entities or row.entity_id in selection.entities)
        }
        # Before it is kept: a crash may follow its commit.
        self._expected[replay_id] = _Expected(versions, cursor.target in self._rewound)
        store.add_replay(Replay(replay_id, cursor.target, selection, "the operator", timestamp(now), rate=rate))

    def check(self, store: Store, witnesses: dict[str, Witness], findings: list[str]) -> None:
        """Report which promises about replays are broken, once all is calm."""
        for replay in store.replays():
            witness, name = witnesses[replay.target], f"{replay.target}: {replay.id}"
            if replay.state == "open":
                findings.append(f"{name} never ended")
            if self._lost:
                continue
            tally, expected = replay.tally, self._expected[replay.id]
            if (tally.newest_only or tally.unconfirmed) and replay.target not in self._rewound:
                findings.append(f"{name}: the past of {tally.newest_only + tally.unconfirmed} entities could not be proven")
            if not (replay.selection.bounded or tally.withheld or replay.target in self._rewound):
                findings.extend(witness.gaps(replay.id))
            whole = not (tally.rejected or tally.withheld or tally.unconfirmed or tally.blocked)
            if replay.state != "done" or not whole:
                continue
            for entity_id, version in expected.versions.items():
                if witness.repeated(replay.id, entity_id) < version:
                    findings.append(f"{name}: version {version} of {entity_id} was not repeated")
            findings.extend(witness.last_words(replay.id))
