"""Facts and decisions from Python are normalised like those from files, or refused with the field."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire.capture import decision_from, fact_from
from goldwire.capture.fact import Edge, RejectedRow
from goldwire.capture.rejects import RejectsFile
from goldwire.capture.values import RefusedError, moment

MINIMAL = {"system": "crm", "external_id": "1", "entity_type": "Customer"}


def test_values_become_canonical_bytes() -> None:
    fact = fact_from(**MINIMAL, attributes={"b": 1.0, "a": {"y": 1, "x": "é"}, "d": dt.date(2026, 1, 2), "n": None})
    assert fact.attributes == {"b": b"1", "a": '{"x":"é","y":1}'.encode(), "d": b'"2026-01-02"', "n": b"null"}


def test_a_time_with_an_offset_becomes_utc_and_none_is_now() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    assert (
        fact_from(**MINIMAL, observed_at=dt.datetime(2026, 1, 2, 3, tzinfo=zone)).observed_at == "2026-01-02T01:00:00.000000Z"
    )
    assert fact_from(**MINIMAL, now=0.5).observed_at == "1970-01-01T00:00:00.500000Z"
    assert decision_from("approve", entity_id="a", now=0.5).decided_at == "1970-01-01T00:00:00.500000Z"


@pytest.mark.parametrize("number", [2**53, -(2**53), 2_033_735_037_361_704_962, 2**64])
def test_a_whole_number_that_json_cannot_carry_becomes_its_digits(number: int) -> None:
    assert fact_from(**MINIMAL, attributes={"a": number}).attributes == {"a": f'"{number}"'.encode()}


@pytest.mark.parametrize(
    ("given_fields", "field"),
    [
        ({"attributes": {"a": float("nan")}}, "attributes.a"),
        ({"attributes": {"a": [2**53]}}, "attributes.a"),
        ({"attributes": {"a": 10**1_000}}, "attributes.a"),
        ({"attributes": {"a": "\ud800"}}, "attributes.a"),
        ({"attributes": {"a": b"bytes"}}, "attributes.a"),
        ({"attributes": {"a": {1: 2}}}, "attributes.a"),
        ({"attributes": {"a": "x" * 100}, "max_value_bytes": 10}, "attributes.a"),
        ({"attributes": {" ": 1}}, "attributes. "),
        ({"system": ""}, "system"),
        ({"external_id": "\ud800"}, "externalId"),
        ({"entity_id": " "}, "entityId"),
        ({"confidence": float("nan")}, "confidence"),
        ({"confidence": -0.1}, "confidence"),
        ({"observed_at": "yesterday"}, "observedAt"),
        ({"edges": [Edge("r")]}, "edges"),
        ({"edges": [Edge("r", to_entity="")]}, "edges"),
    ],
)
def test_what_cannot_be_taken_names_its_field_and_no_value(given_fields: Any, field: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        fact_from(**(MINIMAL | given_fields))
    assert str(caught.value).startswith(f"{field}: ")


@given(st.datetimes(timezones=st.timezones()) | st.datetimes())
def test_recorded_times_have_one_form_whose_order_is_time_order(when: Any) -> None:
    try:
        text = moment(when.isoformat())
    except RefusedError:
        assert when.year in {1, 9999}
        return
    assert len(text) == 27
    assert text[10] == "T"
    assert text[19] == "."
    assert text.endswith("Z")
    utc = when if when.tzinfo else when.replace(tzinfo=dt.UTC)
    assert dt.datetime.fromisoformat(text) == utc.astimezone(dt.UTC)


def test_the_rejects_file_comes_with_the_first_reject_and_holds_location_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(path) as rejects:
        assert not path.exists()
        rejects.write(RejectedRow("crm.csv:17", "name", "is wrong"))
        rejects.write(RejectedRow("crm.csv:18", "", "is worse"))
    assert rejects.count == 2
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"origin": "crm.csv:17", "field": "name", "reason": "is wrong"}
