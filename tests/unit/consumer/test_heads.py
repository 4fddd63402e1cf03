"""A signed list of heads against what a subscriber applied."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from goldwire.canonical import canonical
from goldwire.testing.events import chain
from goldwire_consumer import Consumer, Difference, HeadsError, Message, SqliteStore, compare

KEY = b"k" * 32


@pytest.fixture
def store() -> Iterator[Any]:
    made = SqliteStore(":memory:")
    yield made
    made.close()


def signed(heads: list[dict[str, Any]], *, count: int | None = None) -> list[bytes]:
    """The lines that `goldwire heads` writes; `count` where the last line is to say another number."""
    lines = [canonical(head) + b"\n" for head in heads]
    last = {"entities": len(heads) if count is None else count, "position": 9, "target": "t"}
    signature = hmac.new(KEY, b"".join(lines) + canonical(last), hashlib.sha256).hexdigest()
    return [*lines, json.dumps({**last, "signature": f"hmac-sha256:{signature}"}).encode()]


def head(event: Any, **other: Any) -> dict[str, Any]:
    return {
        "entityId": event.entity_id, "gone": False, "hash": f"sha256:{event.hash.hex()}", "version": event.version, **other,
    }  # fmt: skip


@pytest.mark.parametrize("many", [3, 500, 501])
def test_every_entity_is_compared_and_counted_also_where_there_are_many(store: Any, many: int) -> None:
    chains = [chain("Ulm", "Bonn", entity_id=f"e{number:03}") for number in range(many)]
    Consumer(store, lambda *_: None).process(
        [Message(body=two[number == 1].body) for number, two in enumerate(chains) if number]
    )
    heads = [head(two[number == 1]) for number, two in enumerate(chains)]
    heads[2]["hash"] = "sha256:" + "0" * 64
    found = compare(signed(heads), store, KEY)
    assert (found.target, found.position, found.entities) == ("t", 9, many)
    assert found.differences == [
        Difference("e000", "missing", 1, None), Difference("e001", "missing", 2, None), Difference("e002", "other", 1, 1),
    ]  # fmt: skip


def test_what_is_older_than_the_list_says_is_behind_and_what_is_newer_is_no_difference(store: Any) -> None:
    old, new = chain("Ulm", "Bonn"), chain("Ulm", "Bonn", entity_id="e2")
    Consumer(store, lambda *_: None).process([Message(body=one.body) for one in (old[0], *new)])
    lines = signed([head(old[1]), head(new[0])])
    for given in (lines, [line.rstrip() + b"\r\n" for line in lines]):
        assert compare(given, store, KEY).differences == [Difference("e1", "behind", 2, 1)]


def test_a_list_that_names_another_number_of_entities_counts_for_nothing(store: Any) -> None:
    with pytest.raises(HeadsError, match="not what was signed"):
        compare(signed([head(chain("Ulm")[0])], count=2), store, KEY)
