"""The codec: every value comes back as it went, also through the SDK's own codec, and no bytes break it."""

import contextlib
import struct
import uuid
from decimal import Decimal

import pytest
from azure.eventhub._pyamqp import _decode as sdk_decode
from azure.eventhub._pyamqp import _encode as sdk_encode
from azure.eventhub._pyamqp.message import Header as SdkHeader
from azure.eventhub._pyamqp.message import Message as SdkMessage
from azure.eventhub._pyamqp.message import Properties as SdkProperties
from azure.eventhub._pyamqp.types import TYPE, VALUE, AMQPTypes
from hypothesis import given
from hypothesis import strategies as st

from goldwire_emulator.amqp.composite import composed, described
from goldwire_emulator.amqp.decoder import DecodeError, decode, skip
from goldwire_emulator.amqp.encoder import EncodeError, encode
from goldwire_emulator.amqp.message import Message, annotated
from goldwire_emulator.amqp.performatives import Attach, Begin, Disposition, Flow, Header, Open, Properties, Transfer
from goldwire_emulator.amqp.values import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)


def integers(kind, bits, *, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    edges = st.sampled_from([n for n in (low, high, 0, 1, 127, 128, 255, 256, -1, -128, -129) if low <= n <= high])
    return (st.integers(low, high) | edges).map(kind)


ascii_text = st.text(st.characters(max_codepoint=127), max_size=300)
single = st.floats(width=32, allow_nan=False)

SCALARS = {
    "boolean": st.booleans(),
    "ubyte": integers(UByte, 8, signed=False),
    "ushort": integers(UShort, 16, signed=False),
    "uint": integers(UInt, 32, signed=False),
    "ulong": integers(ULong, 64, signed=False),
    "byte": integers(Byte, 8, signed=True),
    "short": integers(Short, 16, signed=True),
    "int": integers(Int, 32, signed=True),
    "long": integers(int, 64, signed=True),
    "timestamp": integers(Timestamp, 64, signed=True),
    "float": single.map(Float),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=300),
    "symbol": ascii_text.map(Symbol),
    "binary": st.binary(max_size=300),
    "uuid": st.uuids(),
}
keys = st.text(max_size=20) | ascii_text.map(Symbol)
decimals = [
    st.binary(min_size=size, max_size=size).map(kind) for kind, size in ((Decimal32, 4), (Decimal64, 8), (Decimal128, 16))
]
characters = st.characters(exclude_categories=["Cs"]).map(Char)
array_items = [*SCALARS.values(), *decimals, characters, st.none()]
arrays = st.one_of(*[st.lists(items, max_size=40) for items in array_items]).map(Array)
descriptors = integers(ULong, 64, signed=False) | ascii_text.map(Symbol)
described_arrays = st.builds(
    lambda descriptor, items: Array(Described(descriptor, item) for item in items), descriptors, st.lists(st.text(), max_size=5)
)
scalars = st.one_of(*array_items)


def nested(base, size):
    """Values in values, each compound of at most `size` items."""
    few = min(size, 4)
    return st.recursive(
        base,
        lambda inner: (
            st.lists(inner, max_size=size)
            | st.dictionaries(keys, inner, max_size=size)
            | st.builds(Described, descriptors, inner)
            | st.lists(st.lists(inner, max_size=few), max_size=few).map(Array)
            | st.lists(st.dictionaries(keys, inner, max_size=few), max_size=few).map(Array)
        ),
        max_leaves=2 * size + 1,
    )


values = nested(scalars | arrays | described_arrays | st.lists(arrays, max_size=4).map(Array), 12)
short_arrays = st.one_of(*[st.lists(items, max_size=3) for items in array_items]).map(Array)
fields = nested(scalars | short_arrays | described_arrays, 3)
"""Of every type and nested like `values`, and small: what a field's type is decides, not how much it holds."""


def shape(value):
    """Return a value with the types of everything in it, so that 1, True and UInt(1) differ."""
    if isinstance(value, Described):
        return Described, shape(value.descriptor), shape(value.value)
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return type(value), [shape(item) for item in value]
    return type(value), struct.pack(">d", value) if isinstance(value, float) else value


@pytest.mark.slow
@given(values)
def test_a_value_comes_back_with_its_type(value):
    data = encode(value)
    back, end = decode(data)
    assert shape(back) == shape(value)
    assert end == skip(data, 0) == len(data)


@pytest.mark.slow
@given(values, st.data())
def test_a_value_that_is_cut_off_is_no_value(value, data):
    whole = encode(value)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(DecodeError):
        decode(cut)
    with pytest.raises(DecodeError):
        skip(cut, 0)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(data):
    for read in (lambda: decode(data), lambda: skip(data, 0), lambda: Message.decode(data), lambda: annotated(data, {})):
        with contextlib.suppress(DecodeError):
            read()


@pytest.mark.parametrize("code", range(0x70, 0x79))
@given(value=fields)
def test_a_section_of_the_wrong_type_is_refused(code, value):
    data = encode(Described(ULong(code), value))
    with contextlib.suppress(DecodeError):
        read = Message.decode(data)
        assert isinstance(read.message_annotations, dict)
        assert all(isinstance(one, bytes) for one in read.data)
    with contextlib.suppress(DecodeError):
        annotated(data, {"x": 1})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Attach, Begin, Disposition, Flow, Open, Transfer, Properties])
@given(data=st.data())
def test_a_composite_has_fields_of_its_types_or_is_refused(kind, data):
    given_fields = data.draw(st.lists(fields, max_size=len(kind.wire)))
    with contextlib.suppress(DecodeError, EncodeError):
        read = composed(Described(ULong(kind.code), given_fields))
        encode(described(read))


@pytest.mark.parametrize(
    "composite",
    [
        Described(ULong(Header.code), [None, ULong(300)]),
        Described(ULong(Header.code), [None, None, ULong(2**32)]),
        Described(ULong(Properties.code), [None] * 6 + ["é"]),
        Described(ULong(Properties.code), [None] * 8 + [ULong(2**63)]),
        Described(ULong(Flow.code), [-1]),
        Described(ULong(Open.code), ["c"] + [None] * 6 + [UInt(1)]),
        Described(ULong(Open.code), ["c"] + [None] * 6 + [Array([1])]),
        Described(ULong(Open.code), ["c"] + [None] * 8 + [{1: "x"}]),
        Described(ULong(Open.code), ["c"] + [None] * 8 + [{"é": "x"}]),
    ],
)
def test_a_field_that_could_not_be_written_again_is_refused(composite):
    """A message that is taken and cannot be passed on would end every receiver's link."""
    with pytest.raises(DecodeError):
        composed(composite)


def test_what_is_nested_without_end_is_refused():
    for read, data in ((decode, b"\xc0\x7f\x01" * 100_000), (decode, b"\0" * 100_000), (skip, b"\0" * 100_000)):
        with pytest.raises(DecodeError):
            read(data, 0)


@pytest.mark.parametrize("code", [0xC0, 0xC1])
def test_items_that_reach_beyond_their_compound_are_not_read_again_and_again(code):
    """Read so, each level would double the work: these few bytes would take for ever."""
    with pytest.raises(DecodeError):
        decode(bytes((code, 4, 4)) * 60 + b"\x40" * 600)


def test_an_array_of_nothing_does_not_become_gigabytes():
    bomb = b"\xf0" + struct.pack(">II", 5, 65536) + b"\x40"
    with pytest.raises(DecodeError):
        decode(bomb)
    with pytest.raises(DecodeError):
        decode(b"\xd0" + struct.pack(">II", len(bomb) + 4, 1) + bomb)


@pytest.mark.parametrize("value", [UByte(256), UInt(-1), Int(2**31), 2**63, Symbol("é"), Decimal(1), {1, 2}, Decimal32(b"123")])
def test_what_amqp_cannot_carry_is_refused(value):
    with pytest.raises(EncodeError):
        encode(value)


MIXED = Array([Described(ULong(1), 1), Described(ULong(2), 1)])


@pytest.mark.parametrize("value", [Array([1, "a"]), Array([{1}]), Array([Int(1), 1]), MIXED])
def test_an_array_of_several_types_is_refused(value):
    with pytest.raises(EncodeError):
        encode(value)


# beside the SDK

SDK_TYPES = {
    "boolean": AMQPTypes.boolean,
    "ubyte": AMQPTypes.ubyte,
    "ushort": AMQPTypes.ushort,
    "uint": AMQPTypes.uint,
    "ulong": AMQPTypes.ulong,
    "byte": AMQPTypes.byte,
    "short": AMQPTypes.short,
    "int": AMQPTypes.int,
    "long": AMQPTypes.long,
    "timestamp": AMQPTypes.timestamp,
    "float": AMQPTypes.float,
    "double": AMQPTypes.double,
    "string": AMQPTypes.string,
    "symbol": AMQPTypes.symbol,
    "binary": AMQPTypes.binary,
    "uuid": AMQPTypes.uuid,
}


@pytest.mark.parametrize("name", SCALARS)
@given(st.data())
def test_the_sdk_and_we_write_and_read_the_same(name, data):
    value = data.draw(SCALARS[name])
    theirs = bytearray()
    sdk_encode.encode_value(theirs, {TYPE: SDK_TYPES[name], VALUE: value})
    assert shape(decode(bytes(theirs))[0]) == shape(value)
    rest, read = sdk_decode._DECODE_BY_CONSTRUCTOR[encode(value)[0]](memoryview(encode(value))[1:])
    assert not rest
    assert read == (value.encode() if isinstance(value, str) else value)


@given(st.lists(scalars, max_size=300) | st.dictionaries(keys, scalars, max_size=150))
def test_the_sdk_reads_our_compounds(value):
    data = encode(value)
    rest, read = sdk_decode._DECODE_BY_CONSTRUCTOR[data[0]](memoryview(data)[1:]) if sdk_knows(value) else (b"", None)
    assert not rest
    assert read is None or len(read) == len(value)


def sdk_knows(value):
    """The SDK has no char and no small decimals, and reads some large ones as no number."""
    items = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, Char | Decimal32 | Decimal64 | Decimal128) for item in items)


properties = st.fixed_dictionaries(
    {
        "message_id": st.none() | st.text(max_size=40) | st.uuids() | st.binary(max_size=20) | st.integers(0, 2**64 - 1),
        "user_id": st.none() | st.binary(max_size=20),
        "subject": st.none() | st.text(max_size=40),
        "content_type": st.none() | st.sampled_from(["application/json", "text/plain"]),
        "absolute_expiry_time": st.none() | st.integers(0, 2**40),
        "group_id": st.none() | st.text(max_size=128),
        "group_sequence": st.none() | st.integers(0, 2**32 - 1),
    }
)
headers = st.none() | st.fixed_dictionaries(
    {"durable": st.booleans(), "priority": st.integers(0, 9), "ttl": st.integers(0, 2**32 - 1)}
)
application = st.dictionaries(
    st.text(max_size=20), st.text(max_size=40) | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=8
)
bodies = st.lists(st.binary(max_size=600), min_size=1, max_size=3)


@given(properties, headers, application, bodies)
def test_a_message_of_the_sdk_is_read_as_it_was_meant(given_properties, header, given_application, data):
    message = SdkMessage(
        header=SdkHeader(**header) if header else None,
        properties=SdkProperties(**given_properties),
        application_properties=given_application or None,
        data=data,
    )
    out = bytearray()
    sdk_encode.encode_payload(out, message)
    read = Message.decode(bytes(out))
    assert read.data == data
    assert read.application_properties == given_application
    held = read.properties or Properties()
    assert {name: getattr(held, name) for name in given_properties} == given_properties
    if header:
        assert {name: getattr(read.header, name) for name in header} == header


@given(properties, headers, application, bodies, st.dictionaries(ascii_text, scalars, max_size=5))
def test_the_sdk_reads_a_message_of_ours_as_it_was_meant(given_properties, header, given_application, data, extra):
    ours = Message(
        header=Header(**header) if header else None,
        properties=Properties(**typed(given_properties)),
        application_properties=given_application,
        data=data,
    )
    annotations = {key: value for key, value in extra.items() if sdk_knows([value])}
    read = sdk_decode.decode_payload(memoryview(annotated(ours.encode(), annotations)))
    assert read.data == data
    assert (read.application_properties or {}) == {key.encode(): as_bytes(value) for key, value in given_application.items()}
    assert len(read.message_annotations or {}) == len(annotations)
    assert {name: getattr(read.properties, name) for name in given_properties} == {
        name: as_bytes(value) for name, value in given_properties.items()
    }


def typed(fields):
    return {name: ULong(value) if name == "message_id" and type(value) is int else value for name, value in fields.items()}


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


@given(application, bodies, st.dictionaries(ascii_text, scalars, max_size=5), st.dictionaries(ascii_text, scalars, max_size=5))
def test_annotating_leaves_the_bare_message_byte_for_byte(given_application, data, first, second):
    message = Message(application_properties=given_application, data=data, properties=Properties(message_id=uuid.uuid4()))
    bare = message.encode()
    once = annotated(bare, first)
    twice = annotated(once, second, delivery_annotations={"x": 1}, header=Header(priority=3))
    assert twice.endswith(bare)
    read = Message.decode(twice)
    assert shape(read.message_annotations) == shape({Symbol(key): value for key, value in (first | second).items()})
    assert (read.delivery_annotations, read.header.priority) == ({"x": 1}, 3)
