"""Properties: whatever is merged, split, overridden and deleted, each record is in one entity and no version comes twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldwire.capture.fact import ExternalId

REFS = [ExternalId(system, external_id) for system in ("crm", "erp") for external_id in ("1", "2", "3")]
refs = st.sampled_from(REFS)


@st.composite
def steps(draw: Any) -> Any:
    kind = draw(
        st.sampled_from(["fact", "fact", "merge", "merge", "unmerge", "unmerge", "by id", "delete", "override", "gone", "hub"])
    )
    return kind, draw(refs), draw(refs), draw(st.sampled_from(["a", "b", "c"]))


def entry(hub: Any, minute: Any, step: Any) -> Any:
    kind, ref, other, value = step
    ids = sorted({change.entity_id for change in hub.workspace.log}) or ["nobody"]
    makers = {
        "fact": lambda: hub.fact(*ref, minute, email=f"{value}@x", city=value),
        "hub": lambda: hub.fact(*ref, minute, city=value, entity_id=f"hub:{value}"),
        "gone": lambda: hub.fact(*ref, minute, deleted=True),
        "merge": lambda: hub.decision("merge", minute, record=ref, into_record=other),
        "unmerge": lambda: hub.decision("unmerge", minute, record=ref),
        "by id": lambda: hub.decision("unmerge", minute, entity_id=ids[ord(value) % len(ids)]),
        "override": lambda: hub.decision("override", minute, record=ref, attribute="city", value=value),
        "delete": lambda: hub.decision("delete", minute, record=ref),
    }
    return makers[kind]()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(steps(), min_size=1, max_size=4), min_size=1, max_size=12))
def test_every_record_is_in_one_entity_and_every_version_is_used_once(new_hub: Any, batches: Any) -> None:
    hub = new_hub()
    minute = 0
    for batch in batches:
        entries = []
        for step in batch:
            minute += 1
            entries.append(entry(hub, minute, step))
        hub.apply(*entries)  # checks what must hold after every batch
    shown = {ExternalId(*each) for refs_of, _ in hub.golden() for each in refs_of}
    assert shown <= set(hub.workspace.stored_records)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(refs, st.sampled_from("ab"), st.integers(0, 9)), min_size=2, max_size=12), refs, refs)
def test_a_merge_and_then_its_unmerge_restore_all_values(new_hub: Any, said: Any, one: Any, other: Any) -> None:
    hub = new_hub()
    hub.apply(*[hub.fact(*ref, minute, email=f"{ref.id}{ref.system}", city=city) for ref, city, minute in said])
    if not {one, other} <= set(hub.workspace.stored_records) or one == other:
        return
    hub.apply(hub.decision("override", 20, record=one, attribute="name", value="by hand"))
    before = hub.golden()
    loser = hub.entity_of(*one)
    hub.apply(hub.decision("merge", 30, record=one, into_record=other))
    assert len(hub.golden()) == len(before) - 1
    hub.apply(hub.decision("unmerge", 31, entity_id=loser))
    assert hub.golden() == before
    assert hub.workspace.heads[loser].kind == "live"
