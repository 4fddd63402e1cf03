"""The real azure-servicebus, synchronous, against the emulator: topics, subscriptions, rules."""

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import MessagingEntityNotFoundError

PATIENCE_SECONDS = 60
DELETE = ServiceBusReceiveMode.RECEIVE_AND_DELETE


def customer(text, region, amount, **fields):
    return ServiceBusMessage(text, subject="customer", application_properties={"region": region, "amount": amount}, **fields)


def publish(bus, *messages, topic="changes"):
    with bus.client() as client, client.get_topic_sender(topic) as sender:
        sender.send_messages(list(messages))


def received(bus, subscription, count, **settings):
    found = []
    with bus.client() as client, client.get_subscription_receiver("changes", subscription, **settings) as receiver:
        while len(found) < count:
            new = receiver.receive_messages(count - len(found), PATIENCE_SECONDS)
            assert new, f"{len(found)} of {count} came"
            found += new
            for each in new:
                if settings.get("receive_mode") is not DELETE:
                    receiver.complete_message(each)
        assert receiver.peek_messages(1, sequence_number=1) == []
    return found


def test_every_subscription_takes_what_its_rules_select(bus):
    messages = [customer("n-small", "north", 1), customer("n-big", "north", 10), customer("s-big", "south", 10)]
    publish(bus, *(each for each in messages))
    assert [str(each) for each in received(bus, "all", 3)] == ["n-small", "n-big", "s-big"]
    (north,) = received(bus, "north", 1, receive_mode=DELETE)
    assert (str(north), north.sequence_number, north.enqueued_sequence_number) == ("n-big", 1, 2)
    (south,) = received(bus, "labelled", 1)
    assert str(south) == "s-big"


def test_an_action_changes_what_its_subscription_sees_and_nobody_else_does(bus):
    publish(bus, customer("a", "north", 10, message_id="m-1", content_type="text/plain"))
    (north,) = received(bus, "north", 1)
    assert north.application_properties == {b"region": b"north", b"routed": b"yes"}
    assert (north.reply_to, north.message_id, north.content_type, str(north)) == ("billing", "m-1", "text/plain", "a")
    (plain,) = received(bus, "all", 1)
    assert plain.application_properties == {b"region": b"north", b"amount": 10}
    assert plain.reply_to is None


def test_a_scheduled_message_reaches_the_subscriptions_when_it_is_due(bus, soon):
    with bus.client() as client, client.get_topic_sender("changes") as sender:
        numbers = sender.schedule_messages([customer("never", "north", 10), customer("never", "north", 10)], soon(3600))
        with client.get_subscription_receiver("changes", "all") as receiver:
            assert receiver.peek_messages(1) == []
        sender.cancel_scheduled_messages(numbers)
        sender.schedule_messages(customer("a", "north", 10), soon(1))
    assert [str(each) for each in received(bus, "north", 1)] == ["a"]


def test_each_subscription_has_its_own_dead_letters(bus):
    publish(bus, customer("a", "north", 10))
    with bus.client() as client:
        with client.get_subscription_receiver("changes", "north") as receiver:
            (got,) = receiver.receive_messages(1, PATIENCE_SECONDS)
            receiver.dead_letter_message(got, reason="bad")
        with client.get_subscription_receiver("changes", "north", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            (dead,) = receiver.receive_messages(1, PATIENCE_SECONDS)
            assert dead.dead_letter_reason == "bad"
            assert dead.application_properties[b"routed"] == b"yes"
        with client.get_subscription_receiver("changes", "all", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            assert receiver.peek_messages(1) == []
    assert len(received(bus, "all", 1)) == 1


def test_a_subscription_that_is_not_there_is_not_found(bus):
    with bus.client() as client, pytest.raises(MessagingEntityNotFoundError):
        client.get_subscription_receiver("changes", "nobody").receive_messages(1, PATIENCE_SECONDS)
