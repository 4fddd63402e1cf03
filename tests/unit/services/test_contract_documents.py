"""A revision says by which rule its deltas are made, and one from before that goes on as it was."""

import msgspec
import pytest

from goldwire.canonical import canonical
from goldwire.changelog.rows import Revision
from goldwire.config.reader import load_document
from goldwire.services.contract_documents import AppliedContracts, document


@pytest.fixture
def loaded(tmp_path):
    return load_document(
        {
            "types": {"C": {"attributes": {"name": {}}}},
            "contracts": {"whole": {}, "changes": {"payload": "delta"}},
            "targets": {name: {"kind": "memory", "contract": name} for name in ("whole", "changes")},
        },
        tmp_path,
    )


def test_a_contract_of_full_events_makes_no_new_revision(loaded):
    assert "deltas" not in msgspec.json.decode(document(loaded, "whole"))


def test_a_contract_of_deltas_keeps_that_they_name_changed_values(loaded):
    kept = document(loaded, "changes")
    assert msgspec.json.decode(kept)["deltas"] == "value"
    assert AppliedContracts(loaded, "changes").compile(Revision(1, 0, "", kept)).delta_by_value


def test_a_revision_from_before_seals_its_deltas_as_it_did(loaded):
    kept = msgspec.json.decode(document(loaded, "changes"))
    del kept["deltas"]
    compiled = AppliedContracts(loaded, "changes").compile(Revision(1, 0, "", canonical(kept)))
    assert compiled.delta
    assert not compiled.delta_by_value
