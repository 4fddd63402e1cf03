"""JSON lines: rows under a mapping, or whole facts and decisions; a bad line never stops the good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldwire.capture.fact import Decision, Edge, ExternalId, Fact, RejectedRow
from goldwire.capture.reader import read_file
from goldwire.capture.source_spec import ColumnSpec, DeletedSpec, SourceSpec


def test_rows_keep_their_values_types_and_say_nothing_of_what_they_leave_out(read: Any) -> None:
    facts = read('{"id":1,"a":1.0,"b":{"y":null,"x":[true]}}\n\n{"id":"2","b":null}', name="in.jsonl")
    assert [fact.external_id for fact in facts] == ["1", "2"]
    assert [fact.attributes for fact in facts] == [{"a": b"1", "b": b'{"x":[true],"y":null}'}, {"b": b"null"}]
    assert facts[1].origin.endswith("in.jsonl:3")


def test_bad_lines_are_rejected_one_by_one(read: Any) -> None:
    entries = read(
        b'{"id":1}\n{"id":2,\n[1]\n{"id":"\xff"}\n{"a":1}\n{"id":true}\n{"id":6,"a":[9007199254740993]}\n{"id":7,"a":1e999}\n{"id":8}',
        name="in.jsonl",
    )
    assert [(each.origin.rpartition(":")[2], each.field) for each in entries if isinstance(each, RejectedRow)] == [
        ("2", ""), ("3", ""), ("4", ""), ("5", "id"), ("6", "id"), ("7", "a"), ("8", ""),
    ]  # fmt: skip
    assert [each.external_id for each in entries if isinstance(each, Fact)] == ["1", "8"]


def test_a_type_given_for_a_column_is_held_to(read: Any) -> None:
    entries = read(
        '{"id":1,"v":"12"}\n{"id":2,"v":12}\n{"id":3,"v":1.5}\n{"id":4,"v":true}',
        name="in.jsonl",
        attributes={"v": ColumnSpec("v", "integer")},
    )
    assert [isinstance(each, Fact) for each in entries] == [True, True, False, False]


def test_a_true_deletes(read: Any) -> None:
    facts = read('{"id":1,"x":true}\n{"id":2,"x":false}', name="in.ndjson", deleted=DeletedSpec("x"))
    assert [fact.deleted for fact in facts] == [True, False]


def test_nesting_without_end_is_refused(read: Any) -> None:
    (entry,) = read('{"id":1,"a":' + "[" * 100 + "]" * 100 + "}", name="in.jsonl")
    assert isinstance(entry, RejectedRow)
    (entry,) = read('{"id":1,"a":' + "[" * 100_000 + "]" * 100_000 + "}", name="in.jsonl")
    assert isinstance(entry, RejectedRow)


def test_a_whole_fact_needs_no_mapping(read_native: Any) -> None:
    (fact,) = read_native(
        '{"system":"crm","externalId":"1","entityType":"Customer","attributes":{"hash":"x","n":1.50},'
        '"edges":[{"rel":"r","to":{"externalId":{"system":"erp","id":"7"}}},{"rel":"r","to":{"entityId":"e"},"op":"removed"}],'
        '"observedAt":"2026-01-02T03:04:05Z","confidence":0.5,"entityId":"hub:1","deleted":false}'
    )
    assert fact.attributes == {"hash": b'"x"', "n": b"1.5"}
    assert fact.edges == (Edge("r", ExternalId("erp", "7")), Edge("r", to_entity="e", removed=True))
    assert (fact.observed_at, fact.confidence, fact.entity_id) == ("2026-01-02T03:04:05.000000Z", 0.5, "hub:1")


def test_a_source_of_json_lines_without_an_id_column_holds_whole_facts(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"system":"crm","externalId":"1","entityType":"T"}')
    (fact,) = read_file(path, SourceSpec("crm", "T", format="jsonl"), 0)
    assert fact.external_id == "1"


def test_decisions_stand_among_facts(read_native: Any) -> None:
    merge, override, fact = read_native(
        '{"decision":"merge","entityId":"a","intoRecord":{"system":"crm","id":"1"},"by":"eve","decidedAt":"2026-01-02"}',
        '{"decision":"override","record":{"system":"crm","id":"1"},"attribute":"n","value":null}',
        '{"system":"crm","externalId":"1","entityType":"T","attributes":{"decision":"merge"}}',
    )
    assert isinstance(merge, Decision)
    assert (merge.entity_id, merge.into_record, merge.by) == ("a", ExternalId("crm", "1"), "eve")
    assert (override.record, override.attribute, override.value) == (ExternalId("crm", "1"), "n", b"null")
    assert isinstance(fact, Fact)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('{"system":"crm","externalId":"1","entityType":"T","extra":1}', ""),
        ('{"system":"crm","externalId":1,"entityType":"T"}', "externalId"),
        ('{"system":"crm","externalId":"","entityType":"T"}', "externalId"),
        ('{"system":"steward","externalId":"1","entityType":"T"}', "system"),
        ('{"system":"crm","externalId":"1","entityType":"T","attributes":{"a":[9007199254740993]}}', "attributes.a"),
        ('{"system":"crm","externalId":"1","entityType":"T","confidence":1.5}', "confidence"),
        ('{"system":"crm","externalId":"1","entityType":"T","observedAt":"soon"}', "observedAt"),
        ('{"system":"crm","externalId":"1","entityType":"T","edges":[{"rel":"r","to":{}}]}', "edges"),
        ('{"decision":"explode","entityId":"a"}', "decision"),
        ('{"decision":"merge","entityId":"a"}', "intoEntityId"),
        ('{"decision":"approve"}', "entityId"),
        ('{"decision":"approve","entityId":"a","record":{"system":"crm","id":"1"}}', "entityId"),
        ('{"decision":"override","entityId":"a","attribute":"n"}', "value"),
        ('{"decision":"override","entityId":"a","value":1}', "attribute"),
        ('{"decision":"approve","entityId":"a","value":1}', "value"),
        ('{"decision":"approve","entityId":"a","attribute":"n"}', "attribute"),
        ('{"decision":"approve","entityId":"a","intoEntityId":"b"}', "intoEntityId"),
        ('"decision"', ""),
    ],
)
def test_a_line_that_says_nothing_names_its_field(read_native: Any, line: Any, field: Any) -> None:
    bad, good = read_native(line, '{"system":"crm","externalId":"1","entityType":"T"}')
    assert isinstance(bad, RejectedRow)
    assert bad.field == field
    assert isinstance(good, Fact)


def test_a_value_over_the_limit_is_rejected_with_its_field(read_native: Any) -> None:
    (bad,) = read_native('{"system":"crm","externalId":"1","entityType":"T","attributes":{"a":"%s"}}' % ("x" * 10_000_000))
    assert (bad.field, "1048576" in bad.reason) == ("attributes.a", True)
