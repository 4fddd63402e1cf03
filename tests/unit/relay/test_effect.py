from __future__ import annotations

from typing import Any

import pytest

from goldwire.changelog.rows import Control, Presence
from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.masks import LostKey
from goldwire.contract.spec import ContractSpec
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag
from goldwire.relay.effect import Effect, effect
from support.states import control_after, golden_state, log_row

MODEL = Model(
    {
        "Customer": EntityType(
            {"name": Attribute(tags=("pii",)), "email": Attribute(tags=("contact",)), "city": Attribute()},
            relations={"employs": Relation()},
        )
    },
    {"pii": Tag(retention_days=365), "contact": Tag(retention_days=30)},
)
ANNA = golden_state(
    {"name": "Anna", "email": "anna@acme.com", "city": "Rome"}, edges=[{"rel": "employs", "to": {"entityId": "e2"}}]
)
KEYS = {"hash": b"h" * 32}


def contract(revision: int = 1, *, model: Model = MODEL, keys: Any = KEYS, **spec: Any) -> CompiledContract:
    return compile_contract("feed", ContractSpec(**spec), model, "crm", tuple(model.tags), keys, revision)


def holding(first: CompiledContract, presence: Presence = "in") -> Control:
    event = seal(first, log_row(ANNA), None, None)
    assert isinstance(event, SealedEvent)
    return control_after(event)._replace(presence=presence)


@pytest.mark.parametrize(
    ("later", "wanted"),
    [
        ({}, "same"),
        ({"payload": "delta"}, "same"),
        ({"min_confidence": 0.9}, "same"),
        ({"masks": {"email": "redact"}}, "changes"),
        ({"masks": {"email": "hash"}}, "changes"),
        ({"attributes": ("name", "city")}, "changes"),
        ({"edges": "none"}, "changes"),
        ({"external_ids": "none"}, "changes"),
        ({"where": "a.city == 'Oslo'"}, "stays"),
        ({"where": "a.city == 'Oslo'", "deselect": True}, "leaves"),
        ({"min_confidence": 0.95, "deselect": True}, "leaves"),
        ({"where": "a.city == 'Rome'", "deselect": True}, "same"),
        ({"kinds": ("EntityDeleted",)}, "same"),
    ],
)
def test_a_revision_is_judged_by_what_the_target_would_receive(later: dict[str, Any], wanted: Effect) -> None:
    first = contract()
    assert effect(first, contract(2, **later), log_row(ANNA, version=2), holding(first)) == wanted


def test_what_the_target_does_not_hold_enters_where_it_is_selected_now() -> None:
    oslo, rome = contract(where="a.city == 'Oslo'"), contract(2, where="a.city == 'Rome'")
    assert effect(oslo, rome, log_row(ANNA), None) == "enters"
    assert effect(oslo, oslo, log_row(ANNA), None) == "same"
    for presence in ("out", "gone"):
        assert effect(oslo, rome, log_row(ANNA, version=2), holding(contract(), presence)) == "enters"


def test_what_had_left_without_a_deletion_leaves_once_deletions_are_sent() -> None:
    stayed = holding(contract(), "out")
    silent, loud = contract(2, where="a.city == 'Oslo'"), contract(3, where="a.city == 'Oslo'", deselect=True)
    assert effect(silent, silent, log_row(ANNA, version=2), stayed) == "same"
    assert effect(silent, loud, log_row(ANNA, version=2), stayed) == "leaves"
    assert effect(loud, loud, log_row(ANNA, version=2), holding(contract(), "gone")) == "same"


def test_a_deletion_that_was_not_sent_is_made_up_for() -> None:
    only_changes, both = contract(kinds=("EntityChanged",)), contract(2)
    row = log_row(ANNA, version=2, kind="deleted")
    assert effect(only_changes, both, row, holding(only_changes)) == "leaves"
    assert effect(only_changes, both, row, None) == "same"
    assert effect(only_changes, only_changes, row, holding(only_changes)) == "same"


def test_another_classification_or_retention_changes_what_was_sent() -> None:
    first = contract()
    shorter = Model(MODEL.types, {"pii": Tag(retention_days=10), "contact": Tag(retention_days=30)})
    assert effect(first, contract(2, model=shorter), log_row(ANNA, version=2), holding(first)) == "changes"


@pytest.mark.parametrize("later", [{"masks": {"email": "hash"}}, {}])
def test_what_was_sent_under_a_lost_key_counts_as_different(later: dict[str, Any]) -> None:
    hashed = contract(masks={"email": "hash"})
    lost = contract(masks={"email": "hash"}, keys={"hash": LostKey("the key is gone")})
    assert effect(lost, contract(2, **later), log_row(ANNA, version=2), holding(hashed)) == "changes"


def test_without_a_revision_before_all_that_is_held_counts_as_different() -> None:
    first = contract()
    assert effect(None, first, log_row(ANNA, version=2), holding(first)) == "changes"
    assert effect(None, first, log_row(ANNA, version=2), None) == "enters"
