from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from goldwire.event.hash import UnreadableError as GoldwireUnreadableError
from goldwire.event.hash import read as goldwire_read
from goldwire.event.headers import headers
from goldwire.testing.events import deleted, sealed
from goldwire_consumer import AlteredError, Message, MislabelledError, PoisonError, TryAgainError, UnreadableError, parse
from goldwire_consumer.message import read, wire_headers
from support.histories import customers

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def test_every_event_that_goldwire_seals_is_read() -> None:
    for sent in customers(7, 5, 200).events:
        event = parse(sent.body)
        assert (event.entity_id, event.version, event.hash) == (sent.entity_id, sent.version, f"sha256:{sent.hash.hex()}")
        assert (event.deleted, event.reason) == (sent.deleted, sent.reason)
        assert event.previous_hash == (None if sent.previous_hash is None else f"sha256:{sent.previous_hash.hex()}")


@given(value=JSON)
def test_any_value_verifies_in_any_spacing_and_order(value: Any) -> None:
    body = sealed("e1", 1, {"city": value, "größe 😀": 1, "ﬡ": 2}).body
    laid_out = json.dumps(dict(reversed(json.loads(body).items())), indent=1).encode()
    one, other = parse(body), parse(laid_out)
    assert one.hash == other.hash
    assert one.changes is not None
    assert one.changes.attributes["city"].value == value


@pytest.mark.parametrize("word", ["secret", "sec\\nret", "it's secret"])
def test_a_word_that_is_not_known_is_not_quoted(word: str) -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body.replace(b"EntityChanged", word.encode())
    with pytest.raises(UnreadableError, match="a word that is not known here") as refused:
        parse(body)
    assert "ret" not in str(refused.value)


@given(index=st.integers(0, 10_000), bit=st.integers(0, 6))
def test_no_altered_event_is_taken_unless_goldwire_takes_it_too(index: int, bit: int) -> None:
    body = bytearray(sealed("e1", 3, {"city": "Ulm", "credit": 10.5}, previous_hash=b"p" * 32).body)
    body[index % len(body)] ^= 1 << bit
    try:
        _, holds = goldwire_read(bytes(body))
    except GoldwireUnreadableError:
        holds = False
    if holds:
        parse(bytes(body))
    else:
        with pytest.raises(PoisonError):
            parse(bytes(body))


@pytest.mark.parametrize("number", ["1e16", "10000000000000000", "123456789012345678901234567890", "1E400", "9007199254740993"])
def test_numbers_are_read_as_goldwire_reads_them(number: str) -> None:
    body = sealed("e1", 1, {"credit": 1e16}).body.replace(b"10000000000000000", number.encode())
    try:
        _, holds = goldwire_read(body)
    except GoldwireUnreadableError:
        holds = False
    if holds:
        parse(body)
    else:
        with pytest.raises(PoisonError):
            parse(body)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"{}", b"<html>", b"[" * 100_000, b'{"a":' * 5_000 + b"1", b"\x00"],
)
def test_what_is_no_event_is_unreadable(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse(text)


def test_a_version_that_no_database_and_no_reader_holds_is_unreadable() -> None:
    event = json.loads(sealed("e1", 1).body)
    del event["hash"]
    for version in (2**53, 1e300):
        plain = rfc8785.dumps(event | {"version": float(version)})
        whole = plain.replace(b'"payload"', b'"hash":"sha256:%b","payload"' % sha256(plain).hexdigest().encode())
        with pytest.raises(UnreadableError, match="version"):
            parse(whole)


def test_members_that_a_later_version_adds_are_covered_by_the_hash_and_ignored() -> None:
    event = json.loads(sealed("e1", 1, {"city": "Ulm"}).body)
    del event["hash"]
    event |= {"zone": {"deep": [1]}, "externalIds": [{"system": "crm", "id": "7", "since": "2026"}]}
    event["changes"]["attributes"]["city"]["steward"] = "Ada"
    event["hash"] = f"sha256:{sha256(rfc8785.dumps(event)).hexdigest()}"
    found = parse(json.dumps(event).encode())
    assert found.changes is not None
    assert found.changes.attributes["city"].value == "Ulm"
    event["zone"] = {"deep": [2]}
    with pytest.raises(AlteredError):
        parse(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("member", "other"),
    [
        (b'"payload":"full",', b'"payload":"delta","payload":"full",'), (b'"payload":"full",', b' "payload":"full",'),
        (b'"payload":"full",', b""), (b'"city"', b'"\\u0063ity"'), (b'{"changes"', b'{"x":{"a":1,"a":1},"changes"'),
    ],
)  # fmt: skip
def test_a_hash_over_other_bytes_than_the_canonical_form_does_not_hold(member: bytes, other: bytes) -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body
    stated = json.loads(body)["hash"].encode()
    plain = body.replace(b'"hash":"%b",' % stated, b"")
    assert member in plain
    plain = plain.replace(member, other)
    if not other:
        plain = plain[:-1] + b',"payload":"full"}'
    forged = plain.replace(b'"previousHash"', b'"hash":"sha256:%b","previousHash"' % sha256(plain).hexdigest().encode())
    try:
        _, holds = goldwire_read(forged)
    except GoldwireUnreadableError:
        holds = False
    assert not holds
    with pytest.raises(PoisonError):
        parse(forged)


@given(value=JSON)
@example(value=1.0)
@example(value=1e16)
@example(value=-0.0)
@example(value=1e-6)
@example(value=[2**53 + 1])
@example(value={"ﬡ": 1, "😀": 2})
def test_a_sender_that_hashes_its_own_spelling_is_believed_only_where_goldwire_believes_it(value: Any) -> None:
    event = msgspec.json.decode(sealed("e1", 1, {"city": "Ulm"}).body)
    del event["hash"]
    event["changes"]["attributes"]["city"]["value"] = value
    plain = msgspec.json.encode(event, order="sorted")
    whole = plain.replace(b'"payload"', b'"hash":"sha256:%b","payload"' % sha256(plain).hexdigest().encode())
    if goldwire_read(whole)[1]:
        parse(whole)
    else:
        with pytest.raises(AlteredError):
            parse(whole)


def test_an_altered_value_is_told_from_rubbish() -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body
    with pytest.raises(AlteredError):
        parse(body.replace(b'"Ulm"', b'"Bonn"'))


@pytest.mark.parametrize(
    ("member", "other"),
    [
        (b'"version":1', b'"version":0'), (b"cluedin-1.0", b"cluedin-9.0"), (b"EntityChanged", b"EntityMoved"),
        (b'"payload":"full"', b'"payload":"half"'), (b'"entityType":"Customer"', b'"entityType":null'),
        (b"EntityChanged", b"EntityDeleted"), (b'"confidence":1,', b'"confidence":7,'),
    ],
)  # fmt: skip
def test_a_member_that_is_not_as_the_wire_format_has_it_is_unreadable(member: bytes, other: bytes) -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body
    assert member in body
    with pytest.raises(UnreadableError):
        parse(body.replace(member, other))


def test_a_member_that_stands_twice_is_unreadable() -> None:
    body = sealed("e1", 1, {"city": "Ulm"}).body
    with pytest.raises(UnreadableError, match="twice"):
        parse(body.replace(b'{"changes"', b'{"entityType":"Other","changes"'))


def test_no_error_and_no_repr_shows_a_value() -> None:
    body = sealed("e1", 1, {"city": "top secret"}).body
    for text in (body.replace(b"full", b"top secret"), body.replace(b"top secret", b"top secret!"), b'"top secret"'):
        with pytest.raises(PoisonError) as found:
            parse(text)
        assert "top secret" not in str(found.value)
    assert "top secret" not in repr(parse(body))
    assert "top secret" not in repr(parse(body).changes)
    assert "top secret" not in repr(Message(body=body))


def test_headers_that_belong_to_the_event_are_taken() -> None:
    for event in (sealed("e1", 3), deleted("e1", 4), sealed("x" * 200, 2), deleted("e2", 5, reason="merged")):
        for replay_id in (None, "r1", "r" * 120):
            assert read(Message(body=event.body, headers=headers(event, replay_id=replay_id))).version == event.version


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messageId", "Customer:e1:4"), ("messageId", "Customer:e1:3x"), ("subject", "Customer.EntityDeleted"),
        ("contentType", "text/plain"),
    ],
)  # fmt: skip
def test_headers_of_another_event_are_poison(name: str, value: str) -> None:
    event = sealed("e1", 3)
    with pytest.raises(MislabelledError, match=name):
        read(Message(body=event.body, headers=headers(event) | {name: value}))


def test_a_cloudevent_in_structured_mode_is_unpacked() -> None:
    event = sealed("e1", 3, {"city": "Ulm"})
    wrapped = {"specversion": "1.0", "id": "Customer:e1:3", "type": "goldwire.EntityChanged", "data": json.loads(event.body)}
    headers_ = {"contentType": "application/cloudevents+json; charset=utf-8"}
    assert read(Message(body=json.dumps(wrapped).encode(), headers=headers_)).version == 3
    shouted = {"contentType": "Application/CloudEvents+JSON"}
    assert read(Message(body=json.dumps(wrapped).encode(), headers=shouted)).version == 3
    other = json.dumps(wrapped | {"id": "Customer:e1:4"}).encode()
    with pytest.raises(MislabelledError):
        read(Message(body=other, headers=headers_))
    for text in (b"{}", b"[", json.dumps(wrapped | {"data": 1}).encode()):
        with pytest.raises(UnreadableError):
            read(Message(body=text, headers=headers_))


def test_headers_are_known_by_whatever_name_a_broker_gives_them() -> None:
    assert wire_headers({b"ce_id": b"a", "cloudEvents:subject": "b", "content-type": "c", b"classification": b"pii"}) == {
        "messageId": "a",
        "subject": "b",
        "contentType": "c",
        "classification": "pii",
    }
    assert wire_headers({"id": "of a framework", "ID": "x"}) == {"id": "of a framework", "ID": "x"}
    assert wire_headers({"subject": None}, None, {"subject": ""}, {"retentiondays": 30}) == {"retention-days": "30"}


def test_errors_are_sorted_by_what_happens_next() -> None:
    assert all(issubclass(one, PoisonError) for one in (UnreadableError, AlteredError, MislabelledError))
    assert not issubclass(TryAgainError, PoisonError)


def test_nothing_of_an_event_that_was_read_can_be_changed() -> None:
    event = parse(
        sealed("e1", 1, {"city": "Ulm"}, external_ids=[("crm", "1")], edges=[{"rel": "knows", "to": {"entityId": "e2"}}]).body
    )
    assert event.changes is not None
    parts = (event, event.changes, event.changes.attributes["city"], event.changes.edges[0], event.external_ids[0])
    for part in parts:
        for name in part.__struct_fields__:
            with pytest.raises(AttributeError, match="immutable"):
                setattr(part, name, None)
