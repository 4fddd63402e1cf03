"""Remembers what a relay was answered, and holds control rows and dead letters against it: outcome, id, reason, attempts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import Control, OpenDelivery
from goldwire.targets.base import Delivered, Duplicate, Item, Outcome, Rejected, Unavailable, Unknown

Key = tuple[str, int]
"""Entity and version."""

OWN_REASONS = (
    r"no answer within [0-9.]+ s",
    r"the target cancelled its own work",
    r"the target raised [A-Za-z]+",
    r"the target's outcomes do not match the items: \d+ for \d+",
    r"the target answered [A-Za-z]+, which is no outcome",
    r"the target answered a remote id that is no text",
    r"the target asked to wait",
)
"""What the relay says where the target's answer is none."""

UNDECIDED = r"the contract's `where` has no result for this record: [^{}]+; mend the record or the expression, then redrive it"

_GAVE_UP = re.compile(r"gave up after (\d+) attempts: (.*)", re.DOTALL)


class Answers:
    """All answers of one target.

    Args:
        target: its name.
        report: called with each broken promise.
    """

    def __init__(self, target: str, report: Callable[[str], None]) -> None:
        self._target = target
        self._report = report
        self._settling: dict[Key, tuple[str, str | None]] = {}
        """The answer with which the relay has to settle: `delivered` or `duplicate`, and the remote id."""
        self._found: dict[Key, str | None] = {}
        """What a look-up found there, with the remote id that was known: a resync looks up as well, and settles nothing."""
        self._reasons: dict[Key, set[str]] = defaultdict(set)
        self._sends: dict[Key, int] = defaultdict(int)
        self._lost = False

    def store_lost(self) -> None:
        """The store is an older one now."""
        self._settling.clear()
        self._found.clear()
        self._reasons.clear()
        self._sends.clear()
        self._lost = True

    def leaving(self, items: Iterable[Item]) -> None:
        """Count sends."""
        for item in items:
            if item.replay_id is None:
                self._sends[item.event.entity_id, item.event.version] += 1

    def answered(self, items: Sequence[Item], answers: Sequence[Outcome]) -> None:
        """Take note of what the relay gets to see; whatever is no outcome is none."""
        if answers is None or len(answers) != len(items):
            return
        for item, answer in zip(items, answers, strict=True):
            if item.replay_id is not None:
                continue
            key = (item.event.entity_id, item.event.version)
            if isinstance(answer, Delivered | Duplicate):
                if answer.remote_id is None or isinstance(answer.remote_id, str):
                    self._settling[key] = ("delivered" if isinstance(answer, Delivered) else "duplicate", answer.remote_id)
            elif isinstance(answer, Rejected | Unavailable | Unknown):
                self._reasons[key].add(answer.reason)

    def looked_up(self, items: Sequence[Item], versions: Sequence[int | None]) -> None:
        """Take note of what the target says that it holds: what it holds counts as taken."""
        for item, version in zip(items, versions, strict=True):
            if version is not None and version >= item.event.version:
                self._found[item.event.entity_id, item.event.version] = item.remote_id

    def check(self, store: Store) -> None:
        """Hold what the store kept against the answers; called while no relay runs."""
        for control in store.all_controls(self._target):
            self._check_control(control)
        for target, letter in store.dead_letters(self._target):
            assert target == self._target
            self._check_letter(letter)

    def _check_control(self, control: Control) -> None:
        key = (control.entity_id, control.version)
        if control.outcome == "duplicate" and key in self._found:
            return
        if key not in self._settling:
            return  # settled before the store was lost
        outcome, remote_id = self._settling[key]
        name = f"{self._target}: {control.entity_id} at version {control.version}"
        if control.outcome != outcome:
            self._report(f"{name} is kept as {control.outcome}, and was answered as {outcome}")
        if remote_id is not None and control.remote_id != remote_id:
            self._report(f"{name} is kept with the remote id {control.remote_id}, and was answered with {remote_id}")

    def _check_letter(self, letter: OpenDelivery) -> None:
        key = (letter.entity_id, letter.version)
        name = f"{self._target}: the dead letter of {letter.entity_id} at version {letter.version}"
        reason, given_up = letter.reason, _GAVE_UP.fullmatch(letter.reason)
        if given_up is not None:
            reason = given_up[2]
            if int(given_up[1]) != letter.attempts:
                self._report(f"{name} says {given_up[1]} attempts, and is kept with {letter.attempts}")
        if re.fullmatch(UNDECIDED, reason):
            return
        # An older store may keep attempts from before it lost something.
        if letter.attempts > self._sends[key] > 0 and not self._lost:
            self._report(f"{name} was attempted {letter.attempts} times, and left {self._sends[key]} times")
        own = any(re.fullmatch(one, reason) for one in OWN_REASONS)
        if self._sends[key] and not own and reason not in self._reasons[key]:
            self._report(f"{name} has a reason that the target did not give: {reason}")
