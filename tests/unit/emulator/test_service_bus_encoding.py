"""What the SDK encodes is understood, and what is completed for a receiver the SDK decodes to the same."""

from __future__ import annotations

import pytest
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.message import Header, Message, Properties
from hypothesis import given
from hypothesis import strategies as st

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.message import Message as AmqpMessage
from goldwire_emulator.amqp.performatives import Properties as AmqpProperties
from goldwire_emulator.amqp.values import ULong
from goldwire_emulator.broker.entities import RuleSettings
from goldwire_emulator.broker.message import Edits, MessageState, StoredMessage
from goldwire_emulator.broker.rules import Rules
from goldwire_emulator.servicebus.message_codec import read, write

LARGE = 2**63 + 1


def test_a_large_unsigned_number_that_a_rule_copied_is_written_as_one():
    sent = AmqpMessage(application_properties={"n": ULong(LARGE)}, data=[b""]).encode()
    known = read(sent)
    copied = known.edited(
        Rules([RuleSettings("r", action="SET copy = n; SET more = n + n; SET ratio = n / 0.0")]).copies(known)[0].edits
    )
    held = StoredMessage(1, 1, MessageState.ACTIVE, None, 0, None, None, None, 0, None, None, None, sent, copied.edits)
    assert AmqpMessage.decode(write(held)).application_properties == {"n": LARGE, "copy": LARGE, "more": None, "ratio": None}


def test_a_scheduled_time_that_is_none_is_no_message():
    with pytest.raises(DecodeError):
        read(AmqpMessage(message_annotations={"x-opt-scheduled-enqueue-time": "soon"}, data=[b""]).encode())


def test_a_life_without_measure_is_a_long_one():
    times = AmqpProperties(creation_time=-(2**62), absolute_expiry_time=2**62)
    life = read(AmqpMessage(properties=times, data=[b""]).encode()).time_to_live_ms
    assert 10**13 < life < 2**50


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8)
values = st.one_of(st.none(), st.booleans(), st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False), words)
optional_words = st.one_of(st.none(), words.filter(bool))
maps = st.dictionaries(names, values, max_size=4)
headers = st.one_of(
    st.none(),
    st.builds(
        lambda durable, priority, ttl: Header(durable=durable, priority=priority, ttl=ttl),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.integers(0, 255)),
        st.one_of(st.none(), st.integers(1, 2**31)),
    ),
)
properties = st.one_of(
    st.none(),
    st.builds(
        lambda message_id, subject, group, reply, content: Properties(
            message_id=message_id, subject=subject, group_id=group, reply_to=reply, content_type=content
        ),
        *[optional_words] * 4,
        st.one_of(st.none(), names),
    ),
)
bodies = st.one_of(
    st.builds(lambda data: {"data": data}, st.lists(st.binary(max_size=30), min_size=1, max_size=3)),
    st.builds(lambda value: {"value": value}, words),
    st.builds(lambda sequence: {"sequence": [sequence]}, st.lists(st.integers(0, 9), min_size=1, max_size=3)),
)
messages = st.builds(
    lambda header, props, annotations, application, footer, body: Message(
        header=header,
        properties=props,
        message_annotations=annotations or None,
        application_properties=application or None,
        footer=footer or None,
        **body,
    ),
    headers,
    properties,
    st.dictionaries(names.map("x-opt-mine-{}".format), words, max_size=2),
    maps,
    maps,
    bodies,
)


def encoded(message) -> bytes:
    return bytes(encode_payload(bytearray(), message))


def stored(payload: bytes, edits: Edits = Edits()) -> StoredMessage:  # noqa: B008 - it is frozen
    return StoredMessage(
        7, 3, MessageState.ACTIVE, None, 1_700_000_000_000, None, None, None, 2, None, None, None, payload, edits
    )  # fmt: skip


def plain(value):
    """As the SDK's decoder gives text."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    return value


@given(messages)
def test_nothing_is_changed_but_what_the_broker_adds(sent):
    payload = encoded(sent)
    before, after = decode_payload(memoryview(payload)), decode_payload(memoryview(write(stored(payload))))
    for section in ("properties", "application_properties", "data", "sequence", "value", "footer"):
        assert getattr(after, section) == getattr(before, section)
    annotations = after.message_annotations
    assert {key: annotations[key] for key in before.message_annotations or {}} == (before.message_annotations or {})
    assert (annotations[b"x-opt-sequence-number"], annotations[b"x-opt-enqueue-sequence-number"]) == (7, 3)
    assert annotations[b"x-opt-enqueued-time"] == 1_700_000_000_000
    assert after.header.delivery_count == 2
    if before.header is not None:
        assert (after.header.durable, after.header.priority) == (before.header.durable, before.header.priority)


@given(messages)
def test_the_broker_knows_what_it_routes_by(sent):
    known = read(encoded(sent))
    given_properties = sent.properties or Properties()
    wanted = {
        "message_id": given_properties.message_id,
        "label": given_properties.subject,
        "session_id": given_properties.group_id,
        "reply_to": given_properties.reply_to,
        "content_type": given_properties.content_type,
    }
    assert known.system == {name: value for name, value in wanted.items() if value is not None}
    assert known.application == (sent.application_properties or {})
    assert known.time_to_live_ms == (sent.header.ttl if sent.header else None)


@given(messages, maps, st.sets(names, max_size=3), optional_words)
def test_edits_change_the_properties_and_nothing_else(sent, added, removed, label):
    payload = encoded(sent)
    edits = Edits({"label": label}, added, tuple(sorted(removed - set(added))))
    before, after = decode_payload(memoryview(payload)), decode_payload(memoryview(write(stored(payload, edits))))
    for section in ("data", "sequence", "value", "footer"):
        assert getattr(after, section) == getattr(before, section)
    kept = {key: value for key, value in (sent.application_properties or {}).items() if key not in edits.removed}
    assert (after.application_properties or {}) == plain({**kept, **added})
    assert after.properties.subject == plain(label)
    if before.properties is not None:
        assert after.properties._replace(subject=None) == before.properties._replace(subject=None)
