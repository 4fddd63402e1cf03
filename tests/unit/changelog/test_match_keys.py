"""The bookkeeping of match keys against a plain count of who has which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goldwire.changelog.match_keys import KEY_BYTES, KeyHolder, KeyRow, book, holder_changes, touched_keys

KEYS = [bytes([number]) * KEY_BYTES for number in range(3)]
NOTHING = KeyHolder(None, b"")
HOLDERS = st.builds(
    lambda entity, keys: KeyHolder(entity, b"".join(sorted(keys))),
    st.none() | st.sampled_from(["a", "b", "c"]),
    st.sets(st.sampled_from(KEYS)),
)
STEPS = st.lists(st.dictionaries(st.integers(1, 4), HOLDERS, min_size=1), max_size=6)


def owners_of(holders: dict[int, KeyHolder], key: bytes) -> dict[int, str]:
    """Which records have a key, and whose they are."""
    having = {number: holder for number, holder in holders.items() if holder.entity_id is not None}
    return {number: holder.entity_id or "" for number, holder in having.items() if key in _split(holder.packed)}


def _split(packed: bytes) -> list[bytes]:
    return [packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)]


@given(STEPS)
def test_rows_and_links_say_what_a_count_of_all_records_says(steps: list[dict[int, KeyHolder]]) -> None:
    holders: dict[int, KeyHolder] = {}
    rows: dict[bytes, KeyRow | None] = dict.fromkeys(KEYS)
    links: set[tuple[bytes, int]] = set()
    for step in steps:
        changes = holder_changes([(number, holders.get(number, NOTHING), holder) for number, holder in step.items()])
        holders.update(step)
        writes = book(rows, touched_keys(changes), changes)
        links = (links - set(writes.unlinks)) | set(writes.links)
        for key in writes.in_doubt:
            row = rows[key]
            if row is not None:
                row.entity_id = min(owners_of(holders, key).values())
    for key in KEYS:
        owners, row = owners_of(holders, key), rows[key]
        linked = {number for linked_key, number in links if linked_key == key}
        assert (row is None) == (not owners)
        if row is not None:
            assert (row.records, row.entity_id) == (len(owners), min(owners.values()))
            assert linked | ({row.first_no} if row.first_no is not None else set()) == owners.keys()
            assert row.first_no not in linked
