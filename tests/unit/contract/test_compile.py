from __future__ import annotations

from typing import Any

import msgspec
import pytest

from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec, Truncate
from goldwire.errors import ContractError
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag

KEYS = {"hash": b"h" * 32, "tokenise": b"t" * 32}
MODEL = Model(
    {
        "Customer": EntityType(
            {"name": Attribute(tags=("pii",)), "iban": Attribute(tags=("pii", "bank")), "city": Attribute()},
            relations={"owes": Relation(tags=("bank",)), "employs": Relation()},
        ),
        "Product": EntityType({"price": Attribute()}),
    },
    {"pii": Tag(), "bank": Tag(cleared_by=("redact", "tokenise")), "state": Tag(cleared_by=())},
)


def load(*, clearance: tuple[str, ...] = ("pii", "bank"), model: Model = MODEL, **spec: Any) -> CompiledContract:
    return compile_contract("feed", ContractSpec(**spec), model, "newsletter", clearance, KEYS, 1)


def refusal(**spec: Any) -> str:
    with pytest.raises(ContractError) as refused:
        load(**spec)
    return str(refused.value)


def test_a_classified_attribute_without_clearance_does_not_load_and_the_error_names_both_fixes() -> None:
    text = refusal(clearance=("bank",), edges="none")
    for part in ("'feed'", "'name'", "'pii'", "'newsletter'", "give the target clearance for 'pii'", "mask it", "leave it out"):
        assert part in text


def test_every_fault_is_named_at_once() -> None:
    text = refusal(clearance=())
    assert text.startswith("contract 'feed' does not load:\n- attribute 'name' of Customer has tag 'pii', for which target")
    assert text.count("attribute 'iban' of Customer") == 2
    assert "attribute 'name'" in text
    assert "relation 'owes' of Customer" in text


@pytest.mark.parametrize(
    "spec",
    [
        {"clearance": ("pii", "bank")},
        {"clearance": (), "attributes": ("city",), "edges": ("employs",)},
        {"clearance": (), "masks": {"pii": "hash", "iban": "redact"}, "edges": "none"},
        {"clearance": ("bank",), "masks": {"pii": "hash"}},
        {"clearance": (), "types": ("Product",)},
    ],
)
def test_a_contract_loads_once_either_fix_is_made(spec: dict[str, Any]) -> None:
    assert load(**spec).shapes


def test_a_mask_that_does_not_clear_a_tag_is_not_enough_and_the_error_says_which_are() -> None:
    text = refusal(clearance=(), masks={"pii": "hash"}, edges="none")
    assert "attribute 'name'" not in text
    assert "the mask `hash` does not clear it" in text
    assert "redact, tokenise would do" in text


def test_a_tag_that_no_mask_clears_can_only_be_left_out_or_cleared() -> None:
    model = Model({"Customer": EntityType({"vault": Attribute(tags=("state",))})}, MODEL.tags)
    text = refusal(model=model, masks={"vault": "redact"})
    assert "no mask clears this tag" in text
    assert load(model=model, clearance=("state",)).shapes


def test_an_attributes_own_mask_goes_before_its_tags() -> None:
    contract = load(masks={"pii": "hash", "iban": "tokenise"})
    assert contract.masks == {"Customer": {"name": "hash", "iban": "tokenise"}, "Product": {}}


def test_tags_that_ask_for_different_masks_are_refused_until_the_attribute_names_one() -> None:
    text = refusal(masks={"pii": "hash", "bank": "redact"})
    assert "'bank' (redact) and 'pii' (hash)" in text
    assert load(masks={"pii": "hash", "bank": "redact", "iban": "redact"}).masks["Customer"]["iban"] == "redact"
    assert load(masks={"pii": Truncate(3), "bank": Truncate(3)}).masks["Customer"]["iban"] == Truncate(3)


def test_a_mask_holds_also_for_a_target_with_clearance() -> None:
    assert load(masks={"pii": "partial"}).shapes["Customer"].visible[2].mask is not None


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ({"types": ("Custmer",)}, ["`types`", "'Custmer'", "did you mean 'Customer'?"]),
        ({"types": ()}, ["`types` is empty"]),
        ({"attributes": ("nam",)}, ["`attributes`", "'nam'", "did you mean 'name'?"]),
        ({"edges": ("owe",)}, ["`edges`", "did you mean 'owes'?"]),
        ({"masks": {"piii": "hash"}}, ["`masks`", "'piii'", "did you mean 'pii'?"]),
        ({"reveals": ("cit",)}, ["`reveals`", "did you mean 'city'?"]),
        ({"clearance": ("pi",)}, ["clearance for tag 'pi'", "did you mean 'pii'?"]),
        ({"types": ("Product",), "attributes": ("name",)}, ["'name'", "known are price"]),
        ({"where": "a.nam == 'x'"}, ["'feed'", "at character 1", "did you mean 'name'?"]),
        ({"where": "true", "kinds": ("EntityDeleted",)}, ["no attributes left for `where`"]),
        ({"deselect": True, "kinds": ("EntityChanged",)}, ["`deselect`", "both kinds"]),
        ({"deselect": True, "where": '"name" in changed'}, ["`changed`", "`deselect`"]),
    ],
)
def test_what_does_not_exist_or_contradicts_itself_is_named(spec: dict[str, Any], parts: list[str]) -> None:
    text = refusal(**spec)
    for part in parts:
        assert part in text


def test_a_tag_that_stands_twice_is_named_once() -> None:
    twice = ("pii", "bank", "pii")
    model = Model(
        {"Customer": EntityType({"name": Attribute(tags=twice)}, relations={"owes": Relation(tags=twice)})}, MODEL.tags
    )
    text = refusal(model=model, clearance=())
    assert [
        text.count(f"{what} has tag '{tag}'")
        for what in ("'name' of Customer", "'owes' of Customer")
        for tag in ("pii", "bank")
    ] == [1] * 4
    assert [one.tags for one in load(model=model).shapes["Customer"].visible] == [("bank", "pii")]


def test_a_tag_that_is_not_declared_is_named() -> None:
    model = Model({"Customer": EntityType({"name": Attribute(tags=("pi",))})}, MODEL.tags)
    assert "did you mean 'pii'?" in refusal(model=model)


@pytest.mark.parametrize("mask", ["hash", "tokenise"])
def test_a_missing_key_is_named(mask: Any) -> None:
    with pytest.raises(ContractError, match=f"keys.{mask}"):
        compile_contract("feed", ContractSpec(masks={"name": mask}), MODEL, "t", ("pii", "bank"), {}, 1)


def test_no_key_is_asked_for_where_no_mask_needs_it() -> None:
    assert compile_contract("feed", ContractSpec(masks={"name": "redact"}), MODEL, "t", ("pii", "bank"), {}, 1)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_an_attribute_name_that_json_must_escape_is_refused(name: str) -> None:
    model = Model({"Customer": EntityType({name: Attribute()})})
    assert "rename it" in refusal(model=model, clearance=())


def test_where_may_not_decide_on_what_the_target_is_not_cleared_for() -> None:
    masked = {"clearance": ("bank",), "masks": {"pii": "hash"}}
    text = refusal(**masked, where='a.name == "Anna"')
    for part in ("`where`", "'name'", "'pii'", "'newsletter'", "`reveals`"):
        assert part in text
    assert load(**masked, where='a.name == "Anna"', reveals=("name",)).where
    assert load(**masked, where='a.city == "Ulm"').where


def test_where_may_ask_for_the_presence_of_what_the_target_sees_masked_but_not_of_what_it_does_not_see() -> None:
    masked = {"clearance": ("bank",), "masks": {"pii": "hash"}}
    assert load(**masked, where='has(a.name) && attributes.name.provenance == "crm"').where
    assert "'name'" in refusal(clearance=("bank",), attributes=("city",), where="has(a.name)")


def test_a_contract_says_nothing_of_its_keys() -> None:
    contract = load(masks={"pii": "hash"})
    assert "hhhh" not in repr(contract)
    assert repr(contract) == "CompiledContract('feed', target='newsletter', revision=1)"


def test_masks_are_written_in_yaml_as_words_or_as_a_map() -> None:
    document = b"masks:\n  pii: hash\n  city: {truncate: 2}\ndeselect: true\n"
    assert msgspec.yaml.decode(document, type=ContractSpec) == ContractSpec(
        masks={"pii": "hash", "city": Truncate(2)}, deselect=True
    )


@pytest.mark.parametrize("document", [b"wher: x", b"masks: {pii: blur}", b"masks: {pii: {truncate: 0}}", b"min_confidence: 2"])
def test_a_wrong_field_or_value_is_refused(document: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.yaml.decode(document, type=ContractSpec)


def test_every_field_of_a_contract_is_described() -> None:
    schema = msgspec.json.schema(ContractSpec)["$defs"]["ContractSpec"]
    assert [name for name, one in schema["properties"].items() if "description" not in str(one)] == []
