"""A repr lands in tracebacks and logs: no class that holds a value of a record shows it there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import rich.pretty

import goldwire
from goldwire.annotations import Described
from goldwire.capture.source_spec import SourceSpec
from goldwire.contract.shape import attribute_class
from goldwire.redaction import shows
from goldwire.targets.settings import Settings

MARKER = "zqxjkvmarker"
HOLDS = re.compile(r"\b(bytes|Raw|Any)\b")
"""Types under which a record's values travel inside."""

CHECKED_ELSEWHERE = {"SealedEvent", "Reply"}
"""In test_leaks: they show a size, so they need bytes to be made of."""
CONFIGURATION = (Settings, Described, SourceSpec)
DOORS = ("goldwire.cli", "goldwire.testing", "goldwire.changelog.migrations", "goldwire.__main__")


def holders() -> Iterator[type[Any]]:
    """Every NamedTuple and Struct of the inner rooms with a field that can hold values."""
    for module in pkgutil.walk_packages(goldwire.__path__, "goldwire."):
        if module.name.startswith(DOORS):
            continue
        for name, cls in vars(importlib.import_module(module.name)).items():
            if not isinstance(cls, type) or cls.__module__ != module.name or name in CHECKED_ELSEWHERE:
                continue
            if not issubclass(cls, msgspec.Struct | tuple) or issubclass(cls, CONFIGURATION):
                continue
            if any(HOLDS.search(str(annotation)) for annotation in inspect.get_annotations(cls).values()):
                yield cls


def marked(cls: type[Any]) -> Any:
    """An instance whose fields hold the marker wherever values may be; types are not looked at when one is made."""
    fields = {
        name: {MARKER: MARKER.encode()} if HOLDS.search(str(annotation)) else name
        for name, annotation in cls.__annotations__.items()
    }
    inherited = getattr(cls, "__struct_fields__", ())
    return cls(**{**dict.fromkeys(inherited, "inherited"), **fields})


def test_the_classes_that_hold_states_and_attributes_are_found() -> None:
    found = {cls.__name__ for cls in holders()}
    assert found >= {
        "LogRow",
        "Control",
        "Fact",
        "Decision",
        "StoredRecord",
        "StoredEntity",
        "GoldenState",
        "Change",
        "State",
        "GoldenView",
    }


@pytest.mark.parametrize("cls", list(holders()), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_its_repr_shows_no_value(cls: type[Any]) -> None:
    instance = marked(cls)
    for shown in (repr(instance), str(instance), f"{instance}", rich.pretty.pretty_repr([instance])):
        assert MARKER not in shown
        assert cls.__name__ in shown


def test_the_generated_class_of_a_contract_shows_no_value_either() -> None:
    cls, fields = attribute_class(["name"])
    instance = cls(**{fields["name"]: msgspec.Raw(MARKER.encode())})
    assert repr(instance) == rich.pretty.pretty_repr(instance) == "Attributes()"


def test_a_repr_names_what_it_may() -> None:
    @shows("seq")
    class Row(msgspec.Struct):
        seq: int
        state: bytes

    assert repr(Row(3, b"x")) == "Row(seq=3)"
    assert rich.pretty.pretty_repr(Row(3, b"x")) == "Row(seq=3)"
