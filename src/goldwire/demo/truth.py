"""Precision and recall: golden records of the store against the links that the data set is known to have."""

from __future__ import annotations

from collections import Counter

import msgspec

from goldwire.changelog.ports.log import Log
from goldwire.demo.result import Quality


def quality(store: Log) -> Quality:
    """Count pairs of records that are one golden record, and pairs that are one person.

    `rec-N-org` and `rec-N-dup-0` are one person, for every N; so the person is the N of a record's id. A deleted record is
    still known by its ids, so that a deletion changes no figure.
    """
    linked = right = records = 0
    people: Counter[str] = Counter()
    for row in store.heads():
        if row.kind not in ("live", "deleted"):
            continue
        records += row.kind == "live"
        ids = msgspec.json.decode(row.state)["externalIds"]
        persons = Counter(one["id"].split("-")[1] for one in ids)
        linked += _pairs(len(ids))
        right += sum(map(_pairs, persons.values()))
        people += persons
    return Quality(records, linked, right, sum(map(_pairs, people.values())))


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
