"""The rules of the example find who is one person, on real misspellings with known truth."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
import yaml

from goldwire.capture.reader import read_file
from goldwire.capture.source_spec import SourceSpec
from goldwire.mastering.engine import Mastering
from goldwire.mastering.model import EntityType, Model, Tag
from goldwire_lab.workspace import MemoryWorkspace

CUSTOMERS = Path(__file__).parents[3] / "examples" / "customers"
EXAMPLE = yaml.safe_load((CUSTOMERS / "goldwire.yaml").read_text())


@pytest.mark.slow
def test_the_examples_rules_have_a_precision_of_995_and_a_recall_of_995_in_a_thousand() -> None:
    model = Model(msgspec.convert(EXAMPLE["types"], dict[str, EntityType]), msgspec.convert(EXAMPLE["tags"], dict[str, Tag]))
    mastering, workspace = Mastering(model), MemoryWorkspace()
    for system, name in (("crm", "dataset4a.csv"), ("billing", "dataset4b.csv")):
        spec = SourceSpec(system, "Customer", id="rec_id")
        facts = list(read_file(CUSTOMERS / name, spec, 0))
        for start in range(0, len(facts), 1000):
            assert mastering.apply(facts[start : start + 1000], workspace, "test").rejected == []
    people = defaultdict(list)
    for ref, record in workspace.stored_records.items():
        people[record.entity_id].append(ref.id.split("-")[1])
    linked = [who[one] == who[other] for who in people.values() for one in range(len(who)) for other in range(one)]
    assert sum(linked) / len(linked) >= 0.995
    assert sum(linked) / 5000 >= 0.995
