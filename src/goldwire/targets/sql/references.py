"""Divides the changes of a send so that records that refer to each other stay together, the one referred to first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from goldwire.targets.sql.change import RowChange


def halves(changes: Mapping[int, RowChange]) -> tuple[list[int], list[int]]:
    """Return two parts of some changes, of which the second may need the first.

    What refers to each other is parted only where there is nothing else to part; the changes of one entity come last.

    Args:
        changes: two at least, in the order of their send.
    """
    by_entity: dict[str, list[int]] = {}
    for index, change in changes.items():
        by_entity.setdefault(change.entity_id, []).append(index)
    families = _families(_named(changes))
    units: list[list[int]]
    if len(families) > 1:
        units = [[index for entity in family for index in by_entity[entity]] for family in families]
    elif len(by_entity) > 1:
        units = [by_entity[entity] for entity in families[0]]
    else:
        units = [[index] for index in changes]
    middle = len(units) // 2
    first, second = (sorted(index for unit in part for index in unit) for part in (units[:middle], units[middle:]))
    return first, second


def _named(changes: Mapping[int, RowChange]) -> dict[str, dict[str, None]]:
    """Return of each entity those to which its values may refer: they are keys of theirs."""
    owners: dict[str, dict[str, None]] = {}
    named: dict[str, dict[str, None]] = {change.entity_id: {} for change in changes.values()}
    for change in changes.values():
        for key in map(str, change.candidates):
            # Several records with one key stay in the order of their send.
            named[change.entity_id].update(owners.get(key, {}))
            owners.setdefault(key, {})[change.entity_id] = None
    for change in changes.values():
        for text in (*map(str, change.values.values()), *(edge.id for edge in change.edges)):
            named[change.entity_id].update(owners.get(text, {}))
    return named


def _families(named: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return entities that are linked in any way, as lists in which one that is referred to comes first."""
    linked: dict[str, dict[str, None]] = {entity: dict.fromkeys(others) for entity, others in named.items()}
    for entity, others in named.items():
        for other in others:
            linked[other][entity] = None
    found = []
    seen: set[str] = set()
    for entity in named:
        if entity not in seen:
            family = _visited([entity], linked)
            seen.update(family)
            found.append(_visited(family, named))
    return found


def _visited(start: Iterable[str], links: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what can be reached by links; each comes after all that it leads to, as far as they are no circle."""
    found: list[str] = []
    entered: set[str] = set()
    waiting = [(entity, False) for entity in start]
    while waiting:
        entity, left = waiting.pop()
        if left:
            found.append(entity)
        elif entity not in entered:
            entered.add(entity)
            waiting.append((entity, True))
            waiting += [(other, False) for other in links[entity] if other not in entered]
    return found
