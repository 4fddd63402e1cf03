"""Contracts and changes for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from goldwire.contract.compiled import CompiledContract, compile_contract
from goldwire.contract.spec import ContractSpec
from goldwire.mastering.model import Attribute, EntityType, Model, Relation, Tag

KEYS = {"hash": b"h" * 32, "tokenise": b"t" * 32}
MODEL = Model(
    {
        "Customer": EntityType(
            {
                "name": Attribute(tags=("pii",)),
                "email": Attribute(tags=("pii", "contact")),
                "city": Attribute(),
                "hash": Attribute(),
                "größe 😀": Attribute(),
                "ﬡ": Attribute(),
                "vip": Attribute(tags=("internal",)),
            },
            relations={"employs": Relation(), "owes": Relation(tags=("internal",))},
        ),
        "Product": EntityType({"city": Attribute(), "price": Attribute()}),
    },
    {"pii": Tag(retention_days=365), "contact": Tag(retention_days=30), "internal": Tag()},
)
EVERY_TAG = ("contact", "internal", "pii")


@pytest.fixture(scope="session")
def make() -> Callable[..., CompiledContract]:
    """Compile a contract over the model above, with clearance for every tag unless the arguments say otherwise."""

    def build(
        *, clearance: tuple[str, ...] = EVERY_TAG, revision: int = 1, model: Model = MODEL, **spec: Any
    ) -> CompiledContract:
        return compile_contract("feed", ContractSpec(**spec), model, "crm", clearance, KEYS, revision)

    return build
