"""The simulation's watchers find each altered field of an event and each altered header, and what is kept of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from goldwire.canonical import canonical
from goldwire.capture.fact import Fact
from goldwire.changelog.rows import LogRow, Settlement
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.clock import timestamp
from goldwire.contract.masks import build_mask
from goldwire.contract.spec import ContractSpec
from goldwire.event.headers import headers
from goldwire.event.seal import seal
from goldwire.event.sealed import SealedEvent
from goldwire.mastering.engine import Mastering
from goldwire.relay.retry_policy import first_attempt, settled
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Delivered, Duplicate, Item, Rejected
from goldwire_lab.simulation.answers import Answers
from goldwire_lab.simulation.departures import Departures
from goldwire_lab.simulation.limits import Limits
from goldwire_lab.simulation.plain_masks import masked, plain
from goldwire_lab.simulation.terms import KEYS, MASKS, Terms
from goldwire_lab.simulation.workload import MODEL, VALUES
from goldwire_lab.virtual_time import EPOCH

TERMS = Terms(
    ContractSpec(golden=False, approval="any", masks={"email": "hash", "note": "redact"}), clearance=tuple(MODEL.tags)
)


class Sending:
    """One change on its way to one target, with the watcher of what leaves."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.row: LogRow = store.read(0, 1, 1)[0]
        sealed = seal(TERMS.compile("t", 1), self.row, None, None)
        assert isinstance(sealed, SealedEvent)
        self.event = sealed
        self.found: list[str] = []
        self.departures = Departures("t", self.found.append)

    def leaving(self, **altered: Any) -> list[str]:
        self.departures.leaving([Item(replace(self.event, **altered))], self.store)
        return self.found


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Sending]:
    store = SqliteStore(tmp_path / "store.db", durable=False)
    fact = Fact("crm", "1", "Customer", {"name": b'"Ann"', "note": b'"x"', "score": b"7"}, timestamp(EPOCH), origin="test")
    with store.ingest(EPOCH) as workspace:
        Mastering(MODEL).apply([fact], workspace, "run-1")
    store.apply_revision("t", TERMS.document, EPOCH)
    yield Sending(store)
    store.close()


def test_what_the_contract_makes_of_a_change_is_no_finding(sending: Sending) -> None:
    assert sending.leaving() == []
    assert (sending.event.classification, sending.event.retention_days) == ("credit,pii", 7)


ALTERED: dict[str, Any] = {
    "entity_type": "Site", "entity_id": "e", "version": 2, "deleted": True, "reason": "deleted", "body": b"{}",
    "hash": bytes(32), "previous_hash": bytes(32), "base_version": 1, "timestamp": "2026-01-02T00:00:00.000000Z",
    "correlation_id": "other", "classification": "inner", "retention_days": 31,
}  # fmt: skip


@pytest.mark.parametrize("field", SealedEvent.__struct_fields__)
def test_an_altered_field_of_an_event_is_found(sending: Sending, field: str) -> None:
    assert sending.leaving(**{field: ALTERED[field]}) != []


@pytest.mark.parametrize(
    "member", ["changes", "entityId", "externalIds", "payload", "specVersion", "timestamp", "previousHash"]
)
def test_an_altered_member_of_the_body_is_found(sending: Sending, member: str) -> None:
    body = sending.event.body.replace(b'"%b"' % member.encode(), b'"%bs"' % member.encode())
    assert body != sending.event.body
    assert sending.leaving(body=body) != []


@pytest.mark.parametrize(
    "header",
    ["messageId", "correlationId", "contentType", "subject", "partitionKey", "traceparent", "classification", "retention-days"],
)
def test_an_altered_header_is_found(sending: Sending, header: str) -> None:
    assert header in headers(sending.event)
    assert len(headers(sending.event)) == 8, "a new header needs a case here, and one in plain_events"
    sending.departures = Departures("t", sending.found.append, lambda item: {**headers(item.event), header: "another"})
    assert [header in one for one in sending.leaving()] == [True]


def test_a_revision_from_before_the_one_that_holds_is_found(sending: Sending) -> None:
    sending.store.apply_revision("t", Terms(ContractSpec(golden=False, attributes=("city",))).document, EPOCH)
    assert sending.leaving() != []


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_the_plain_masks_are_those_of_the_product(mask: Any) -> None:
    for values in VALUES.values():
        for name, drawn in values.items():
            for value in drawn:
                said = plain(masked(mask, name, value, KEYS[0])).encode()
                assert said == build_mask(mask, name, KEYS[0])(canonical(value))


def test_a_control_row_that_is_not_what_was_answered_is_found(sending: Sending) -> None:
    event, store = sending.event, sending.store
    cursor = store.acquire("t", "beginning")
    store.declare("t", cursor.epoch, 1, "every")
    control = settled(sending.row, event, Duplicate("7"), 1, None, timestamp(EPOCH))
    store.settle(Settlement("t", cursor.epoch, 0, 1, b"D", [control]))
    found: list[str] = []
    answers = Answers("t", found.append)
    answers.answered([Item(event)], [Duplicate("7")])
    answers.check(store)
    assert found == []
    answers.answered([Item(event)], [Delivered("8")])
    answers.check(store)
    assert [one.split(" is kept ")[1] for one in found] == [
        "as duplicate, and was answered as delivered",
        "with the remote id 7, and was answered with 8",
    ]


def test_a_dead_letter_with_a_reason_that_was_not_answered_is_found(sending: Sending) -> None:
    event, store = sending.event, sending.store
    cursor = store.acquire("t", "beginning")
    store.declare("t", cursor.epoch, 1, "every")
    letter = first_attempt(sending.row)._replace(state="dead", attempts=1, reason="too long")
    store.settle(Settlement("t", cursor.epoch, 0, 1, b"O", opened=[letter]))
    found: list[str] = []
    answers = Answers("t", found.append)
    answers.leaving([Item(event)])
    answers.answered([Item(event)], [Rejected("too short")])
    answers.check(store)
    assert [one.split(" has ")[1] for one in found] == ["a reason that the target did not give: too long"]
    answers.answered([Item(event)], [Rejected("too long")])
    answers.check(store)
    assert len(found) == 1


def limited(sends: list[tuple[float, int]], event: SealedEvent, **settings: Any) -> list[str]:
    found: list[str] = []
    now = [0.0]
    limits = Limits("t", DeliverySettings(**settings), lambda _: None, lambda: now[0], found.append)
    for at, count in sends:
        now[0] = at
        items = [Item(replace(event, entity_id=f"{index}")) for index in range(count)]
        limits.leaving(items)
        limits.ended(items)
    limits.check()
    return found


def test_more_than_the_rate_allows_is_found(sending: Sending) -> None:
    settings = {"rate_limit_per_second": 2.0, "batch_size": 2}
    assert limited([(0.0, 2), (1.0, 2), (2.0, 2)], sending.event, **settings) == []
    assert "rate_limit_per_second" in limited([(0.0, 2), (1.0, 2), (1.4, 2)], sending.event, **settings)[0]
    assert "batch_size" in limited([(0.0, 3)], sending.event, batch_size=2)[0]


def test_what_is_sent_after_a_stop_and_two_of_one_entity_in_flight_are_found(sending: Sending) -> None:
    found: list[str] = []
    limits = Limits("t", DeliverySettings(concurrency=2), lambda _: None, lambda: 0.0, found.append)
    limits.leaving([Item(sending.event)])
    limits.leaving([Item(sending.event)])
    assert [one.split(": ")[1] for one in found] == ["two events of one entity are in flight"]
    limits.stopped = True
    limits.leaving([])
    assert "after the relay was asked to stop" in found[1]
