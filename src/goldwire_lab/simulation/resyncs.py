"""Resyncs in the simulation: an operator who asks for some, and what a target must hold where the newest one is done."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from goldwire.changelog.ports.store import Store
from goldwire.changelog.resyncs import Resync
from goldwire.clock import timestamp
from goldwire.errors import InputError

WITH_CONTRACT = 0.7
"""How likely a contract that is applied comes with a resync."""

ASKED = 0.03
"""How likely an operator who looks asks for everything again."""

CANCELLED = 0.01


class Resyncing:
    """All resyncs of one seed.

    Args:
        seed: the scenario's. Half of all seeds have none, and the draws are apart from the others, so that those stay.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}:resyncs")
        self._used = self._random.random() < 0.5
        self._count = 0

    def contract_applied(self, store: Store, target: str, now: float) -> None:
        """Ask for what a new contract makes stale, or not."""
        if self._used and self._random.random() < WITH_CONTRACT:
            self._ask(store, target, now, everything=False)

    def operate(self, store: Store, now: float) -> None:
        """Ask for everything again, or cancel, now and then."""
        if not self._used:
            return
        if self._random.random() < CANCELLED:
            for resync in store.resyncs():
                store.cancel_resync(resync.id, now)
        cursors = store.cursors()
        if cursors and self._random.random() < ASKED:
            self._ask(store, self._random.choice(cursors).target, now, everything=True)

    def settle(self, store: Store, target: str, now: float) -> None:
        """Ask for a last one, before the calm."""
        if self._used:
            self._ask(store, target, now, everything=False)

    def mend(self, store: Store, target: str, now: float) -> None:
        """Ask for everything again: the target is ahead of its store."""
        self._ask(store, target, now, everything=True)

    def is_done(self, store: Store, target: str) -> bool:
        """Say whether the target must hold what its newest contract says."""
        newest = store.newest_resync(target)
        return newest is not None and newest.state == "done" and newest.revision == store.newest_revision(target)

    def check(self, store: Store, findings: list[str]) -> None:
        """Report which never ended, once all is calm."""
        findings.extend(f"{one.target}: {one.id} never ended" for one in store.resyncs() if one.state == "open")

    def _ask(self, store: Store, target: str, now: float, *, everything: bool) -> None:
        self._count += 1
        resync = Resync(
            f"resync-{self._count}", target, "all" if everything else "stale", store.newest_revision(target), "the operator",
            timestamp(now),
        )  # fmt: skip
        with suppress(InputError):  # the target has not begun yet
            store.add_resync(resync, now)
