"""Chooses the golden value of one attribute among several systems' values. It always decides, in any order of facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from goldwire.mastering.model import Choice
from goldwire.mastering.record import Claim

Candidate = tuple[Claim, str]
"""A claim and the system that makes it."""

Choose = Callable[[Sequence[Candidate]], Candidate]
"""Returns the winner among candidates that are sorted by (system, external id)."""

_Rank = Callable[[Sequence[Candidate], Sequence[Candidate]], list[Any]]
"""Returns how high each of those still in question stands, given all candidates."""


def choice(rules: Sequence[Choice], systems: Sequence[str]) -> Choose:
    """Return the rules as one function: each is tried in order until one decides.

    Where none decides, the most recent wins, then the most confident, then the first by (system, external id).

    Args:
        rules: how to choose.
        systems: for `source_priority`, most trusted first; a system that is not named comes last.
    """
    ranks = [_by_system(systems) if rule == "source_priority" else _RANKS[rule] for rule in rules]
    # The rules right after `most_recent` break its ties anyway.
    if tuple(rules[:1]) == ("most_recent",) and set(rules) <= {"most_recent", "highest_confidence"}:
        return most_recent

    def choose(candidates: Sequence[Candidate]) -> Candidate:
        left = candidates
        for rank in ranks:
            scores = rank(left, candidates)
            highest = max(scores)
            if scores.count(highest) == 1:
                return left[scores.index(highest)]
            left = [candidate for candidate, score in zip(left, scores, strict=True) if score == highest]
        return most_recent(left)

    return _system_first(systems, choose) if tuple(rules[:1]) == ("source_priority",) else choose


def _system_first(systems: Sequence[str], otherwise: Choose) -> Choose:
    """Return rules that begin with `source_priority`, quicker where one system alone is trusted most: the usual case."""
    order = {system: -index for index, system in enumerate(systems)}
    last = -len(systems)

    def choose(candidates: Sequence[Candidate]) -> Candidate:
        highest, winner = last - 1, None
        for candidate in candidates:
            score = order.get(candidate[1], last)
            if score > highest:
                highest, winner = score, candidate
            elif score == highest:
                winner = None
        return winner if winner is not None else otherwise(candidates)

    return choose


def most_recent(candidates: Sequence[Candidate]) -> Candidate:
    """Return the most recent, then the most confident; the first of equals. The usual rule; cheaper than the general one."""
    winner = candidates[0]
    at, confidence, _ = winner[0]
    for candidate in candidates[1:]:
        its_at, its_confidence, _ = candidate[0]
        if its_at > at or (its_at == at and its_confidence > confidence):
            winner, at, confidence = candidate, its_at, its_confidence
    return winner


def _by_system(systems: Sequence[str]) -> _Rank:
    order = {system: -index for index, system in enumerate(systems)}
    last = -len(systems)
    return lambda left, _: [order.get(system, last) for _, system in left]


def _frequencies(left: Sequence[Candidate], candidates: Sequence[Candidate]) -> list[int]:
    counts = Counter([claim[2] for claim, _ in candidates])
    return [counts[claim[2]] for claim, _ in left]


def _length(value: bytes) -> int:
    """Characters of a text, or of any other value's JSON."""
    return len(msgspec.json.decode(value, type=str)) if value[:1] == b'"' else len(value.decode())


_RANKS: dict[Choice, _Rank] = {
    "most_recent": lambda left, _: [claim[0] for claim, _ in left],
    "highest_confidence": lambda left, _: [claim[1] for claim, _ in left],
    "most_frequent": _frequencies,
    "longest": lambda left, _: [_length(claim[2]) for claim, _ in left],
}
