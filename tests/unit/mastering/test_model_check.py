"""A model that contradicts itself does not load, and the error names the location."""

from __future__ import annotations

from typing import Any

import pytest

from goldwire.errors import ConfigError
from goldwire.mastering.model import Attribute, EntityType, Golden, MatchRule, Model, Relation, Tag
from goldwire.mastering.model_check import check_model

NAME = {"name": Attribute()}


@pytest.mark.parametrize(
    ("entity_type", "location"),
    [
        (EntityType(attributes={}), "types.T.attributes"),
        (EntityType(attributes={"a,b": Attribute()}), "types.T.attributes.a,b"),
        (EntityType(attributes={"@edges": Attribute()}), "types.T.attributes.@edges"),
        (EntityType(attributes={" ": Attribute()}), "types.T.attributes"),
        (EntityType(attributes={"name": Attribute(tags=("pii",))}), "types.T.attributes.name.tags"),
        (EntityType(attributes=NAME, relations={"r": Relation(tags=("pii",))}), "types.T.relations.r.tags"),
        (EntityType(attributes=NAME, survivorship=("source_priority",)), "types.T.attributes.name"),
        (EntityType({"name": Attribute(survivorship=("source_priority",))}), "types.T.attributes.name"),
        (EntityType({"name": Attribute(systems=("a", "a"))}), "types.T.attributes.name.systems"),
        (EntityType(attributes={"a\nb": Attribute()}), "types.T.attributes.a"),
        (EntityType(attributes=NAME, relations={"a,b": Relation()}), "types.T.relations.a,b"),
        (EntityType(attributes=NAME, systems=("a", "a")), "types.T.systems"),
        (EntityType(attributes=NAME, golden=Golden(required=("nme",))), "types.T.golden.required"),
        (EntityType(attributes=NAME, match=(MatchRule("r", ("nme",)),)), "types.T.match[0].equal"),
        (EntityType(attributes=NAME, match=(MatchRule("r", ()),)), "types.T.match[0].equal"),
        (EntityType(attributes=NAME, match=(MatchRule("r", ("name",), prefix={"x": 1}),)), "types.T.match[0].prefix"),
        (
            EntityType(attributes=NAME, match=(MatchRule("r", ("name",), normalise={"x": ()}),)),
            "types.T.match[0].normalise",
        ),
        (EntityType(attributes=NAME, match=(MatchRule("r", ("name",)),) * 2), "types.T.match[0].name"),
        (
            EntityType(attributes=NAME, match=(MatchRule("r", ("name",), placeholders=("zz", "*")),)),
            "types.T.match[0].placeholders",
        ),
        (EntityType(attributes=NAME, match=(MatchRule("r", ("name",), placeholders=(" ",)),)), "types.T.match[0].placeholders"),
    ],
)
def test_a_contradiction_is_named_with_its_location(entity_type: Any, location: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_model(Model(types={"T": entity_type}))
    assert str(caught.value).startswith(f"{location}:") or str(caught.value).startswith(location)


def test_a_sound_model_loads_also_with_an_attribute_called_hash() -> None:
    entity_type = EntityType(
        attributes={
            "hash": Attribute(tags=("pii",)),
            "version": Attribute(survivorship=("source_priority",), systems=("crm",)),
        },
        match=(MatchRule("r", ("hash",), prefix={"hash": 3}),),
    )
    check_model(Model(types={"T": entity_type}, tags={"pii": Tag()}))
