"""A name that one section uses and another does not declare is found, wherever it stands, whatever checks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldwire.config.reader import load
from goldwire.contract.compiled import compile_contract
from goldwire.contract.spec import ContractSpec
from goldwire.errors import ConfigError, ContractError
from goldwire.mastering.model import Attribute, EntityType, Golden, Model, Tag
from goldwire.mastering.model_check import check_model

SOUND = """
types:
  Customer:
    attributes: {name: {tags: [pii]}, city: {}}
    relations: {worksFor: {tags: [pii]}}
    match: [{name: same, equal: [name], normalise: {name: [casefold]}, prefix: {name: 3}}]
    golden: {required: [name]}
  Product: {attributes: {price: {}}}
tags: {pii: {}}
sources:
  crm:
    system: crm
    type: Customer
    id: id
    attributes: {name: name}
    edges: [{rel: worksFor, system: crm, column: boss}]
contracts:
  some: {types: [Customer], attributes: [name], reveals: [city], masks: {pii: hash}, edges: [worksFor]}
targets:
  out: {kind: file, contract: some, clearance: [pii], settings: {path: out.jsonl}}
"""


def refused(folder: Path, text: str) -> list[str]:
    file = folder / "goldwire.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return [line.partition(": ")[2] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("sound", "wrong", "line"),
    [
        ("{name: {tags: [pii]}", "{name: {tags: [pi]}", "types.Customer.attributes.name.tags[0]: pi is no known tag"),
        ("worksFor: {tags: [pii]}", "worksFor: {tags: [pi]}", "types.Customer.relations.worksFor.tags[0]: pi is no known tag"),
        (
            "golden: {required: [name]}",
            "golden: {required: [nam]}",
            "types.Customer.golden.required[0]: nam is no known attribute",
        ),
        (
            "normalise: {name:",
            "normalise: {nam:",
            "types.Customer.match[0].normalise.nam: nam is no known attribute of `equal`",
        ),
        ("prefix: {name:", "prefix: {nam:", "types.Customer.match[0].prefix.nam: nam is no known attribute of `equal`"),
        ("    type: Customer\n", "    type: Customr\n", "sources.crm.type: Customr is no known entity type"),
        (
            "    attributes: {name: name}",
            "    attributes: {nam: name}",
            "sources.crm.attributes.nam: nam is no known attribute",
        ),
        ("{rel: worksFor,", "{rel: workFor,", "sources.crm.edges[0].rel: workFor is no known relation"),
        ("types: [Customer]", "types: [Customer, Prodct]", "contracts.some.types[1]: Prodct is no known entity type"),
        ("attributes: [name]", "attributes: [nam]", "contracts.some.attributes[0]: nam is no known attribute"),
        ("reveals: [city]", "reveals: [cty]", "contracts.some.reveals[0]: cty is no known attribute"),
        ("masks: {pii:", "masks: {pi:", "contracts.some.masks.pi: pi is no known attribute or tag"),
        ("edges: [worksFor]", "edges: [workFor]", "contracts.some.edges[0]: workFor is no known relation"),
        ("contract: some", "contract: sme", "targets.out.contract: sme is no known contract"),
        ("clearance: [pii]", "clearance: [pi]", "targets.out.clearance[0]: pi is no known tag"),
    ],
)
def test_a_name_that_is_not_declared_is_named_with_its_location_and_the_nearest_one(
    tmp_path: Path, sound: str, wrong: str, line: str
) -> None:
    assert SOUND.count(sound) == 1
    [found] = refused(tmp_path, SOUND.replace(sound, wrong))
    assert found.startswith(f"{line}; did you mean '")


def test_the_names_of_a_rule_are_those_of_its_type_and_not_of_another(tmp_path: Path) -> None:
    lines = refused(tmp_path, SOUND.replace("equal: [name]", "equal: [price]"))
    assert "types.Customer.match[0].equal[0]: price is no known attribute; known are city, name" in lines


def test_where_nothing_is_declared_the_error_says_so(tmp_path: Path) -> None:
    lines = refused(tmp_path, SOUND.replace("tags: {pii: {}}\n", ""))
    assert "targets.out.clearance[0]: pii is no known tag; none is declared" in lines


def test_a_sound_configuration_is_refused_nothing(tmp_path: Path) -> None:
    (tmp_path / "goldwire.yaml").write_text(SOUND, encoding="utf-8")
    assert load(tmp_path / "goldwire.yaml", {}).config.targets


MODEL = Model({"Customer": EntityType({"name": Attribute(tags=("pii",))})}, {"pii": Tag()})


def test_a_program_that_makes_a_model_or_compiles_a_contract_reads_the_same_words(tmp_path: Path) -> None:
    [of_file] = refused(tmp_path, SOUND.replace("golden: {required: [name]}", "golden: {required: [nam]}"))
    with pytest.raises(ConfigError) as of_model:
        check_model(Model({"Customer": EntityType({"name": Attribute(), "city": Attribute()}, golden=Golden(("nam",)))}))
    assert str(of_model.value) == of_file
    with pytest.raises(ContractError) as of_contract:
        compile_contract("some", ContractSpec(attributes=("nam",)), MODEL, "out", ("pii",), {}, 1)
    text = "contract 'some': `attributes` names 'nam', which is no known attribute; did you mean 'name'?"
    assert str(of_contract.value) == text
    with pytest.raises(ContractError) as of_clearance:
        compile_contract("some", ContractSpec(), MODEL, "out", ("pi",), {}, 1)
    text = "target 'out' has clearance for tag 'pi', which is no known tag; did you mean 'pii'?"
    assert str(of_clearance.value) == text


def test_a_contract_masks_only_what_its_own_types_have() -> None:
    both = Model({**MODEL.types, "Product": EntityType({"price": Attribute()})}, MODEL.tags)
    with pytest.raises(ContractError, match="`masks` names 'price', which is no known attribute or tag"):
        compile_contract("some", ContractSpec(types=("Customer",), masks={"price": "redact"}), both, "out", ("pii",), {}, 1)


@pytest.mark.parametrize("path", ["heads/crm.jsonl", "./heads/x/../crm.jsonl", "{folder}/heads/crm.jsonl"])
def test_two_targets_do_not_list_their_heads_in_one_file(tmp_path: Path, path: str) -> None:
    listed = SOUND.replace("out.jsonl}}", "out.jsonl}, heads: {path: heads/crm.jsonl}}")
    listed += "keys: {heads: '${env:HEADS_KEY}'}\n"
    second = "  two: {kind: file, contract: some, clearance: [pii], settings: {path: two.jsonl}, heads: {path: PATH}}\nkeys:"
    [line] = refused(tmp_path, listed.replace("keys:", second.replace("PATH", path.format(folder=tmp_path))))
    assert line == (
        "targets.two.heads.path: target out has its list of heads in that file, and each would replace the other's; "
        "name another file"
    )
    file = tmp_path / "goldwire.yaml"
    file.write_text(listed.replace("keys:", second.replace("PATH", "heads/two.jsonl")), encoding="utf-8")
    load(file, {})
