"""What was sent once leaves again only if the present contract would show all of it."""

import pytest

from goldwire.contract.compiled import compile_contract
from goldwire.contract.spec import ContractSpec, Truncate
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag
from goldwire.relay.rebuild import Sent
from goldwire.relay.replay_guard import still_allowed
from support.states import control_after, golden_state, log_row

MODEL = Model(
    {
        "Customer": EntityType(
            {"city": Attribute(), "email": Attribute(tags=("pii",))}, {"knows": Relation(), "owns": Relation()}
        ),
        "Product": EntityType({"city": Attribute()}),
    },
    {"pii": Tag()},
)
KEY = {"hash": b"a-key-of-thirty-two-bytes-or-so!!", "tokenise": b"another-key-of-thirty-two-bytes!!"}
WIDE = ContractSpec(golden=False, payload="delta")
KNOWS = {"rel": "knows", "to": {"entityId": "e2"}}
OWNS_AT_CRM = {"rel": "owns", "to": {"externalId": {"id": "9", "system": "crm"}}}


def compiled(spec, revision, *, keys=KEY, clearance=("pii",)):
    return compile_contract("c", spec, MODEL, "t", clearance, keys, revision)


def row_of(version=1, city="Rome", edges=(KNOWS, OWNS_AT_CRM), **other):
    state = golden_state(
        {"city": city, "email": "a@x.org"}, edges=edges, external_ids=(("crm", "1"), ("erp", "2")), confidence=0.9
    )
    return log_row(state, version=version, **other)


def first(spec=WIDE, **other):
    row = row_of(**other)
    event = seal(compiled(spec, 1), row, None, None)
    assert isinstance(event, SealedEvent)
    return Sent(row, event, 1)


def leaves(sent, spec, **other):
    return still_allowed(sent, compiled(spec, 2, **other))


def test_the_revision_that_sealed_it_lets_it_out():
    assert still_allowed(first(), compiled(WIDE, 1))


@pytest.mark.parametrize(
    "spec",
    [
        WIDE,
        ContractSpec(golden=False, payload="full", deselect=True),
        ContractSpec(golden=False, where='a.city == "Rome"'),
        ContractSpec(golden=False, min_confidence=0.9, types=("Customer",)),
    ],
)
def test_a_contract_that_shows_as_much_lets_it_out(spec):
    assert leaves(first(), spec)


@pytest.mark.parametrize(
    "spec",
    [
        ContractSpec(golden=False, attributes=("city",)),
        ContractSpec(golden=False, masks={"pii": "redact"}),
        ContractSpec(golden=False, masks={"city": Truncate(1)}),
        ContractSpec(golden=False, edges="none"),
        ContractSpec(golden=False, edges=("knows",)),
        ContractSpec(golden=False, external_ids=("crm",)),
        ContractSpec(golden=False, external_ids="none"),
        ContractSpec(golden=False, where='a.city == "Oslo"'),
        ContractSpec(golden=False, min_confidence=0.95),
        ContractSpec(golden=False, approval=("pending",)),
        ContractSpec(golden=False, types=("Product",)),
        ContractSpec(golden=False, kinds=("EntityDeleted",)),
    ],
)
def test_a_contract_that_shows_less_keeps_it_back(spec):
    assert not leaves(first(), spec)


def test_an_edge_to_an_id_of_a_system_that_is_hidden_now_keeps_it_back():
    sent = first(ContractSpec(golden=False, external_ids="all", payload="full"), edges=(OWNS_AT_CRM,))
    assert not leaves(sent, ContractSpec(golden=False, external_ids=("erp",)))


def test_a_masked_value_leaves_again_only_with_the_same_mask_and_key_or_where_the_value_is_shown():
    hashed = ContractSpec(golden=False, masks={"pii": "hash"})
    sent = first(hashed)
    assert leaves(sent, hashed)
    assert leaves(sent, WIDE)
    assert not leaves(sent, hashed, keys={"hash": b"a-new-key-of-thirty-two-bytes!!!!"})
    assert not leaves(sent, ContractSpec(golden=False, masks={"pii": "tokenise"}))


def delta(city="Oslo", edges=(KNOWS,)):
    """A delta that changes the city and takes an edge away."""
    contract, before = compiled(WIDE, 1), first()
    row = row_of(2, city, edges)
    event = seal(contract, row, control_after(before.event), before.row.state)
    assert isinstance(event, SealedEvent)
    assert event.base_version == 1
    return Sent(row, event, 1)


def test_a_delta_is_judged_by_what_it_carries():
    assert leaves(delta(), ContractSpec(golden=False, attributes=("city",)))
    assert not leaves(delta(), ContractSpec(golden=False, attributes=("email",)))
    assert not leaves(delta(), ContractSpec(golden=False, edges=("knows",))), "it says that an edge is gone"


def test_an_attribute_that_was_removed_still_names_itself():
    contract, before = compiled(WIDE, 1), first()
    state = golden_state({"email": "a@x.org"}, edges=(KNOWS, OWNS_AT_CRM), external_ids=(("crm", "1"), ("erp", "2")))
    row = log_row(state, version=2)
    event = seal(contract, row, control_after(before.event), before.row.state)
    assert b'"city"' in event.body
    assert leaves(Sent(row, event, 1), WIDE)
    assert not leaves(Sent(row, event, 1), ContractSpec(golden=False, attributes=("email",)))


def test_a_deletion_carries_external_ids_and_nothing_else():
    before = first()
    row = row_of(2, kind="deleted")
    event = seal(compiled(WIDE, 1), row, control_after(before.event), None)
    assert leaves(Sent(row, event, 1), ContractSpec(golden=False, attributes=("city",), edges="none"))
    assert leaves(Sent(row, event, 1), ContractSpec(golden=False, types=("Product",)))
    assert not leaves(Sent(row, event, 1), ContractSpec(golden=False, external_ids=("erp",)))
    assert not leaves(Sent(row, event, 1), ContractSpec(golden=False, kinds=("EntityChanged",)))
