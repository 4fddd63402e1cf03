"""CSV rows become facts; a bad row is rejected with its line, and never stops the good ones."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from goldwire.capture.fact import Edge, ExternalId, Fact, RejectedRow
from goldwire.capture.reader import read_file
from goldwire.capture.source_spec import ColumnSpec, DeletedSpec, EdgeSpec, SourceSpec
from goldwire.errors import ConfigError, InputError


def locations(entries: Any) -> Any:
    return [("fact" if isinstance(each, Fact) else each.field, int(each.origin.rpartition(":")[2])) for each in entries]


def test_a_row_becomes_a_fact_with_stripped_values_and_null_for_empty_ones(read: Any, tmp_path: Path) -> None:
    (fact,) = read("id, name, city\n 1, Ada , \n")
    assert fact == Fact(
        "crm", "1", "Customer", {"name": b'"Ada"', "city": b"null"}, "2025-11-24T16:00:00.000000Z",
        origin=f"{tmp_path}/in.csv:2", dated_here=True,
    )  # fmt: skip


def test_only_mapped_columns_are_read_under_their_attributes_names(read: Any) -> None:
    (fact,) = read("id,n,age,x\n1,Ada,36,y\n", attributes={"hash": "n", "age": ColumnSpec("age", "integer")})
    assert fact.attributes == {"hash": b'"Ada"', "age": b"36"}


def test_everything_a_mapping_can_say_is_understood(read: Any) -> None:
    facts = read(
        "id;seen;sure;hub;gone;boss;name\n1;2026-01-02T03:04:05+01:00;0.5;hub:1;no;7;Ada\n2;2026-01-02;1;;YES;;Eve\n",
        delimiter=";",
        observed_at="seen",
        confidence="sure",
        entity_id="hub",
        deleted=DeletedSpec("gone"),
        edges=(EdgeSpec("worksFor", "erp", "boss"),),
    )
    assert facts[0].observed_at == "2026-01-02T02:04:05.000000Z"
    assert (facts[0].confidence, facts[0].entity_id, facts[0].deleted) == (0.5, "hub:1", False)
    assert facts[0].edges == (Edge("worksFor", ExternalId("erp", "7"), sole=True),)
    assert facts[0].attributes == {"name": b'"Ada"'}
    assert (facts[1].deleted, facts[1].attributes, facts[1].entity_id) == (True, {}, None)
    assert facts[1].observed_at == "2026-01-02T00:00:00.000000Z"


def test_an_empty_column_of_an_edge_says_that_there_is_none_any_more(read: Any) -> None:
    (fact,) = read("id,boss\n1,\n", edges=(EdgeSpec("worksFor", "erp", "boss"),))
    assert fact.edges == (Edge("worksFor", removed=True, sole=True),)


def test_one_fixed_time_can_hold_for_a_whole_file(read: Any) -> None:
    (fact,) = read("id\n1\n", observed_at="2026-01-02T03:04:05Z")
    assert fact.observed_at == "2026-01-02T03:04:05.000000Z"


def test_bytes_that_are_no_utf8_reject_their_row_only(read: Any) -> None:
    entries = read(b"id,name\n1,Ada\n2,\xff\xfe\n3,Eve\n")
    assert locations(entries) == [("fact", 2), ("name", 3), ("fact", 4)]
    assert "UTF-8" in entries[1].reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_a_wide_encoding_is_refused_as_a_whole(read: Any, encoding: Any) -> None:
    with pytest.raises(InputError, match="UTF-16"):
        read("id,name\n1,Ada\n".encode(encoding))


def test_a_byte_order_mark_is_no_part_of_the_header(read: Any) -> None:
    assert locations(read("\ufeffid,name\n1,Ada\n")) == [("fact", 2)]


def test_corrupt_rows_are_rejected_and_those_after_them_go_on(read: Any) -> None:
    entries = read('id,name\n1,Ada\n2\n3,a,b\n\n4,"x"y\n5,"never closed\n6,Eve\n7,"two\nlines"\n8,5" pipe\n')
    assert locations(entries) == [
        ("fact", 2), ("", 3), ("", 4), ("", 6), ("", 7), ("fact", 8), ("fact", 9), ("fact", 11),
    ]  # fmt: skip
    assert entries[6].attributes["name"] == b'"two\\nlines"'


def test_a_stray_quote_costs_its_row_not_the_rest_of_a_long_file(read: Any) -> None:
    rows = [f"{number},Ada" for number in range(3000)]
    entries = read("id,name\n" + "\n".join([*rows[:10], '10,"open', *rows[11:]]) + "\n")
    assert sum(isinstance(each, Fact) for each in entries) == 2999
    assert [each.origin.rpartition(":")[2] for each in entries if isinstance(each, RejectedRow)] == ["12"]


def test_a_value_over_the_limit_names_file_line_and_field(read: Any) -> None:
    entries = read(b"id,name\n1,Ada\n2," + b"x" * 10_000_000 + b"\n3,Eve\n")
    assert locations(entries) == [("fact", 2), ("name", 3), ("fact", 4)]
    assert "1048576" in entries[1].reason
    assert "xxx" not in entries[1].reason
    assert isinstance(read("id,name\n1,12345678\n", max_value_bytes=9)[0], RejectedRow)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "integer",
            {"7": b"7", "-07": b"-7", "9007199254740991": b"9007199254740991", "9007199254740992": b'"9007199254740992"'},
            ["7.0", "x", "1" * 31, "1_0"],
        ),
        ("number", {"7": b"7", "1e3": b"1000", ".5": b"0.5"}, ["nan", "inf", "1e999", "1_0", "0x1"]),
        ("boolean", {"Yes": b"true", "0": b"false"}, ["2", "maybe"]),
        (
            "json",
            {'{"b":1,"a":[]}': b'{"a":[],"b":1}', "9007199254740993": b'"9007199254740993"'},
            ["{", "NaN", "[9007199254740993]", '"\\ud800"'],
        ),
    ],
)
def test_typed_columns_take_their_type_and_nothing_else(read: Any, kind: Any, good: Any, bad: Any) -> None:
    cells = [*good, *bad]
    quoted = "".join(f'{number},"{cell.replace(chr(34), chr(34) * 2)}"\n' for number, cell in enumerate(cells))
    entries = read("id,v\n" + quoted, attributes={"v": ColumnSpec("v", kind)})
    assert [each.attributes["v"] for each in entries[: len(good)]] == list(good.values())
    assert [each.field for each in entries[len(good) :]] == ["v"] * len(bad)
    for cell, entry in zip(bad, entries[len(good) :], strict=True):
        assert f"`{cell}`" not in entry.reason


def test_a_row_without_an_id_or_with_a_wrong_time_or_confidence_is_rejected(read: Any) -> None:
    entries = read("id,t,c\n,2026-01-01,1\n2,soon,1\n3,2026-01-01,2\n4,2026-01-01,x\n", observed_at="t", confidence="c")
    assert locations(entries) == [("id", 2), ("t", 3), ("c", 4), ("c", 5)]


def test_an_empty_text_may_be_a_value_of_its_own(read: Any) -> None:
    (fact,) = read("id,v\n1,\n", attributes={"v": ColumnSpec("v", empty_is_null=False)})
    assert fact.attributes == {"v": b'""'}


def test_blanks_stay_where_they_are_asked_for(read: Any) -> None:
    (fact,) = read("id,v\n1, x \n", strip=False)
    assert fact.attributes == {"v": b'" x "'}


@pytest.mark.parametrize(
    ("content", "spec", "error", "words"),
    [
        ("", {}, InputError, "empty"),
        ("id,a,a\n", {}, InputError, "twice"),
        ("key,a\n", {}, InputError, "no column `id`"),
        ("id,a\n", {"attributes": {"b": "b"}}, InputError, "no column `b`"),
        ("id,a\n", {"id": None}, ConfigError, "sources.crm.id"),
        ("id,a\n", {"system": "steward"}, ConfigError, "sources.crm.system"),
        ("id,a\n", {"confidence": 2.0}, ConfigError, "sources.crm.confidence"),
    ],
)
def test_what_makes_a_file_unusable_is_said_at_once(read: Any, content: Any, spec: Any, error: Any, words: Any) -> None:
    with pytest.raises(error, match=words):
        read(content, **spec)


def test_a_missing_file_and_an_unknown_suffix_are_named(read: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: there is no such file"):
        read_file(tmp_path / "nowhere.csv", None, 0)
    with pytest.raises(ConfigError, match=r"sources\.crm\.format"):
        read("id\n1\n", name="in.dat")


@pytest.mark.slow
def test_reading_takes_no_more_memory_for_a_longer_file(tmp_path: Path) -> None:
    spec = SourceSpec("crm", "Customer", id="id")

    def peak(rows: Any) -> Any:
        path = tmp_path / f"{rows}.csv"
        path.write_text("id,name\n" + "".join(f"{number},Ada\n" for number in range(rows)))
        tracemalloc.start()
        for _ in read_file(path, spec, 0):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(10)
    assert peak(20_000) < peak(1000) + 200_000
