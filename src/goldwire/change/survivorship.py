"""Which of several systems' values of one attribute becomes the golden one. Total, and free of the order of facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from goldwire.change.model import Choice
from goldwire.change.record import Claim

Candidate = tuple[Claim, str]
"""A claim and the system that makes it."""

Choose = Callable[[Sequence[Candidate]], Candidate]
"""Returns the winner among candidates that are sorted by (system, external id)."""

_Rank = Callable[[Candidate, Counter[bytes]], Any]


def choice(rules: Sequence[Choice], systems: Sequence[str]) -> Choose:
    """Return the rules as one function: each is tried in order until one decides.

    Where none decides, the most recent wins, then the most confident, then the first by (system, external id).

    Args:
        rules: how to choose.
        systems: for `source_priority`, most trusted first; a system that is not named comes last.
    """
    ranks: list[_Rank] = []
    for rule in rules:
        if rule == "most_recent":
            ranks.append(lambda candidate, _: candidate[0][0])
        elif rule == "highest_confidence":
            ranks.append(lambda candidate, _: candidate[0][1])
        elif rule == "most_frequent":
            ranks.append(lambda candidate, counts: counts[candidate[0][2]])
        elif rule == "longest":
            ranks.append(lambda candidate, _: _length(candidate[0][2]))
        else:
            ranks.append(_by_system(systems))
    # What follows `most_recent` at once is what breaks its ties anyway.
    if tuple(rules[:1]) == ("most_recent",) and set(rules) <= {"most_recent", "highest_confidence"}:
        return most_recent
    return _by(ranks, counted="most_frequent" in rules)


def _by(ranks: Sequence[_Rank], *, counted: bool) -> Choose:
    nothing: Counter[bytes] = Counter()

    def choose(candidates: Sequence[Candidate]) -> Candidate:
        counts = Counter(claim[2] for claim, _ in candidates) if counted else nothing
        # max keeps the first of equals: candidates come sorted by (system, external id).
        return max(candidates, key=lambda candidate: (*[rank(candidate, counts) for rank in ranks], candidate[0][:2]))

    return choose


def most_recent(candidates: Sequence[Candidate]) -> Candidate:
    """Return the most recent, then the most confident; the first of equals. The usual rule, without the general one's cost."""
    winner = candidates[0]
    at, confidence, _ = winner[0]
    for candidate in candidates[1:]:
        its_at, its_confidence, _ = candidate[0]
        if its_at > at or (its_at == at and its_confidence > confidence):
            winner, at, confidence = candidate, its_at, its_confidence
    return winner


def _by_system(systems: Sequence[str]) -> _Rank:
    order = {system: -place for place, system in enumerate(systems)}
    last = -len(systems)
    return lambda candidate, _: order.get(candidate[1], last)


def _length(value: bytes) -> int:
    """Characters of a text, or of any other value's JSON."""
    return len(msgspec.json.decode(value, type=str)) if value[:1] == b'"' else len(value.decode())
