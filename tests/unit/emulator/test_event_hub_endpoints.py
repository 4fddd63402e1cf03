"""What stands behind the links of Event Hubs: selectors, epochs, batches and keys."""

import asyncio

import pytest

from goldwire_emulator.amqp.decoder import decode
from goldwire_emulator.amqp.encoder import encode
from goldwire_emulator.amqp.endpoint import AmqpError, Incoming, Request
from goldwire_emulator.amqp.message import BATCH_FORMAT, Message
from goldwire_emulator.amqp.performatives import Accepted, Rejected
from goldwire_emulator.amqp.values import Described, Symbol
from goldwire_emulator.broker.entities import HubSettings, Limits
from goldwire_emulator.broker.partition_hash import partition_of
from goldwire_emulator.broker.port import Position
from goldwire_emulator.eventhubs.consumer import MOST_READERS, SELECTOR, Consumer, Readers, position_of
from goldwire_emulator.eventhubs.management import HUB, PARTITION, HubManagement
from goldwire_emulator.eventhubs.publisher import Publisher

SLOT = ("golden", "$default", "0")


@pytest.mark.parametrize(
    ("selector", "position"),
    [
        ("amqp.annotation.x-opt-offset > '-1'", Position("offset", "-1")),
        ("amqp.annotation.x-opt-offset >= '12'", Position("offset", "12", inclusive=True)),
        ("amqp.annotation.x-opt-offset > '@latest'", Position("latest")),
        ("amqp.annotation.x-opt-sequence-number > '7'", Position("sequence_number", 7)),
        (
            "amqp.annotation.x-opt-enqueued-time >= '1700000000000'",
            Position("enqueued_at_ms", 1_700_000_000_000, inclusive=True),
        ),
        ("amqp.annotation.x-opt-enqueued-time-utc > '5'", Position("enqueued_at_ms", 5)),
    ],
)
def test_a_selector_says_where_to_begin(selector, position):
    assert position_of({SELECTOR: Described(Symbol(SELECTOR), selector)}) == position
    assert position_of({SELECTOR: selector}) == position


def test_without_a_selector_a_receiver_begins_at_the_oldest():
    assert position_of(None) == position_of({}) == Position("offset", "-1")


@pytest.mark.parametrize(
    "selector", ["", "x > '1'", "amqp.annotation.x-opt-offset = '1'", "amqp.annotation.x-opt-sequence-number > 'a'"]
)
def test_another_selector_is_refused(selector):
    with pytest.raises(AmqpError, match="argument-error"):
        position_of({SELECTOR: selector})


class Link:
    """A link that remembers how it ended."""

    def __init__(self):
        self.ended = None

    def wake(self):
        pass

    def detach(self, error):
        self.ended = error
        self.consumer.closed()


@pytest.fixture
def enter(world):
    hub = world.open(hubs=[HubSettings("golden", 2)]).event_hubs.hub("golden")
    readers = Readers()

    def begin(epoch=None):
        readers.admit(SLOT, epoch)
        link = Link()
        link.consumer = Consumer(hub, SLOT, "0", 0, epoch=epoch, readers=readers, now=None)
        link.consumer.opened(link)
        return link

    return begin


def test_receivers_without_epoch_share_up_to_the_quota(enter):
    links = [enter() for _ in range(MOST_READERS)]
    with pytest.raises(AmqpError, match="resource-limit-exceeded"):
        enter()
    links[0].consumer.closed()
    enter()
    assert [link.ended for link in links] == [None] * MOST_READERS


def test_an_epoch_takes_the_partition_from_all_that_have_a_lower_one_or_none(enter):
    others = [enter(), enter()]
    least = enter(0)
    assert [link.ended.condition for link in others] == ["amqp:link:stolen"] * 2
    first = enter(1)
    assert least.ended.condition == "amqp:link:stolen"
    again = enter(1)
    assert first.ended.condition == "amqp:link:stolen"
    higher = enter(5)
    assert again.ended is not None
    for lower in (None, 0, 4):
        with pytest.raises(AmqpError, match="stolen"):
            enter(lower)
    assert higher.ended is None
    higher.consumer.closed()
    assert enter(0).ended is None


def incoming(payload, message_format=0):
    return Incoming(b"tag", payload, message_format, settled=False)


def event(text, key=None):
    annotations = {} if key is None else {"x-opt-partition-key": key}
    return Message(message_annotations=annotations, data=[text.encode()]).encode()


def batch(*payloads, key=None):
    annotations = {} if key is None else {"x-opt-partition-key": key}
    return Message(message_annotations=annotations, data=list(payloads)).encode()


@pytest.fixture
def hub(world):
    limits = Limits(max_event_bytes=2000)
    return world.open(hubs=[HubSettings("golden", 4)], limits=limits).event_hubs.hub("golden")


def receive(publisher, *deliveries):
    return asyncio.run(publisher.receive(deliveries))


def held(hub):
    return {
        name: [(one.partition_key, Message.decode(one.payload).data[0]) for one in hub.read(name, 0, 100)]
        for name in hub.partition_ids
    }


@pytest.mark.parametrize("inner", [None, "k"])
@pytest.mark.parametrize("outer", [None, "k"])
def test_the_key_of_a_batch_is_found_outside_or_inside(hub, outer, inner):
    states = receive(Publisher(hub, None), incoming(batch(event("a", inner), event("b", inner), key=outer), BATCH_FORMAT))
    assert states == [Accepted()]
    if outer or inner:
        assert held(hub)[str(partition_of("k", 4))] == [("k", b"a"), ("k", b"b")]
    else:
        assert sum(map(len, held(hub).values())) == 2


def test_a_batch_to_a_partition_keeps_the_key_of_each_event(hub):
    receive(Publisher(hub, "3"), incoming(batch(event("a", "one"), event("b", "two"), event("c")), BATCH_FORMAT))
    assert held(hub)["3"] == [("one", b"a"), ("two", b"b"), (None, b"c")]


def test_each_delivery_has_its_own_outcome(hub):
    states = receive(
        Publisher(hub, "0"),
        incoming(event("a")),
        incoming(event("x" * 3000)),
        incoming(b"no message"),
        incoming(batch(), BATCH_FORMAT),
        incoming(b""),
        incoming(batch(b""), BATCH_FORMAT),
        incoming(event("b")),
    )
    conditions = [state.error.condition if isinstance(state, Rejected) else "" for state in states]
    no_event = "amqp:decode-error"
    assert conditions == [
        "", "amqp:link:message-size-exceeded", no_event, "com.microsoft:argument-error", no_event, no_event, "",
    ]  # fmt: skip
    assert held(hub)["0"] == [(None, b"a"), (None, b"b")]


def test_an_event_goes_out_with_its_place_and_is_otherwise_as_it_came(hub):
    payload = event("a", "k")
    receive(Publisher(hub, "0"), incoming(payload), incoming(event("b")))
    consumer = Consumer(hub, SLOT, "0", 0, epoch=None, readers=Readers(), now=lambda: 5.0)
    first, second = consumer.take(10)
    assert consumer.take(10) == ()
    read = Message.decode(first.payload)
    assert read.message_annotations["x-opt-sequence-number"] == 0
    assert isinstance(read.message_annotations["x-opt-offset"], str)
    assert read.message_annotations["x-opt-partition-key"] == "k"
    assert read.delivery_annotations["last_enqueued_sequence_number"] == 1
    assert first.payload.endswith(encode(b"a"))
    assert first.tag != second.tag
    assert decode(second.payload, len(second.payload) - 3)[0] == b"b"


def ask(hubs, operation="READ", kind=HUB, *, permitted=True, **properties):
    message = Message(application_properties=properties)
    request = Request("$management", 1, message, operation, kind, permits=lambda name, _: permitted and name == "golden")
    return asyncio.run(HubManagement(hubs).answer(request))


def test_management_tells_of_a_hub_to_who_has_a_right_on_it(world):
    hubs = world.open(hubs=[HubSettings("golden", 2), HubSettings("other", 1)]).event_hubs
    answer = ask(hubs, name="golden")
    assert (answer.status, answer.body["partition_ids"]) == (200, ["0", "1"])
    assert ask(hubs, kind=PARTITION, name="golden", partition="1").body["is_partition_empty"] is True
    assert ask(hubs, name="golden", permitted=False).status == 401
    assert ask(hubs, name="other").status == 401
    assert ask(hubs, kind=PARTITION, name="golden", partition="2").status == 404
    assert ask(hubs, operation="DELETE", name="golden").status == 400
    assert ask(hubs, kind="queue", name="golden").status == 400
