"""The real azure-servicebus, synchronous, against the emulator: queues."""

from datetime import timedelta

import pytest
from azure.servicebus import (
    AutoLockRenewer,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthorizationError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.sas import Policy

PATIENCE_SECONDS = 60
QUICK_SECONDS = 1
LONGER_THAN_THE_LOCK_SECONDS = 7


def texts(messages):
    return [str(each) for each in messages]


def receive(receiver, count):
    """That many messages, in as many calls as it takes."""
    found = []
    while len(found) < count:
        new = receiver.receive_messages(count - len(found), PATIENCE_SECONDS)
        assert new, f"{len(found)} of {count} came"
        found += new
    return found


def receive_all(bus, name, count, **settings):
    with bus.client() as client, client.get_queue_receiver(name, **settings) as receiver:
        found = receive(receiver, count)
        for each in found:
            receiver.complete_message(each)
    return texts(found)


def test_messages_come_with_all_that_they_were_sent_with(bus):
    sent = ServiceBusMessage(
        b"body",
        message_id="Customer:1:7",
        correlation_id="c-1",
        content_type="application/json",
        subject="customer",
        to="crm",
        reply_to="answers",
        reply_to_session_id="s",
        session_id="free text where there are no sessions",
        partition_key="free text where there are no sessions",
        time_to_live=timedelta(hours=2),
        application_properties={"text": "ä", "number": 7, "yes": True, "half": 0.5},
    )
    bus.send("plain", sent)
    with bus.client() as client, client.get_queue_receiver("plain") as receiver:
        (got,) = receive(receiver, 1)
        assert got.locked_until_utc > got.enqueued_time_utc
        receiver.complete_message(got)
    assert b"".join(got.body) == b"body"
    assert (got.message_id, got.correlation_id, got.content_type) == ("Customer:1:7", "c-1", "application/json")
    assert (got.subject, got.to, got.reply_to, got.reply_to_session_id) == ("customer", "crm", "answers", "s")
    assert (got.session_id, got.partition_key) == (sent.session_id, sent.partition_key)
    assert got.application_properties == {b"text": "ä".encode(), b"number": 7, b"yes": True, b"half": 0.5}
    assert (got.sequence_number, got.enqueued_sequence_number, got.delivery_count) == (1, 1, 0)
    assert got.time_to_live == timedelta(hours=2)
    assert got.expires_at_utc == got.enqueued_time_utc + timedelta(hours=2)
    assert got.state == ServiceBusMessageState.ACTIVE


def test_batches_and_lists_come_in_their_order(bus):
    with bus.client() as client, client.get_queue_sender("plain") as sender:
        batch = sender.create_message_batch()
        for number in range(50):
            batch.add_message(ServiceBusMessage(f"{number}", message_id=f"m-{number}"))
        sender.send_messages(batch)
        sender.send_messages([ServiceBusMessage(f"{number}") for number in range(50, 60)])
    assert receive_all(bus, "plain", 60) == [f"{number}" for number in range(60)]


def test_a_received_and_deleted_message_is_gone(bus):
    bus.send("plain", "a", "b")
    with bus.client() as client:
        with client.get_queue_receiver("plain", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
            assert texts(receive(receiver, 2)) == ["a", "b"]
        with client.get_queue_receiver("plain") as receiver:
            assert receiver.peek_messages(5) == []


def test_an_abandoned_message_comes_again_until_it_is_dead_lettered(bus):
    bus.send("plain", "poison")
    with bus.client() as client:
        with client.get_queue_receiver("plain") as receiver:
            for count in range(3):
                (got,) = receive(receiver, 1)
                assert got.delivery_count == count
                receiver.abandon_message(got)
            assert receiver.receive_messages(1, QUICK_SECONDS) == []
        with client.get_queue_receiver("plain", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead_letters:
            (dead,) = receive(dead_letters, 1)
            assert (str(dead), dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
            dead_letters.complete_message(dead)
            assert dead_letters.peek_messages() == []


def test_a_dead_lettered_message_says_why(bus):
    bus.send("plain", ServiceBusMessage("a", application_properties={"kept": "yes"}))
    with bus.client() as client:
        with client.get_queue_receiver("plain") as receiver:
            (got,) = receive(receiver, 1)
            receiver.dead_letter_message(got, reason="bad", error_description="very bad")
            with pytest.raises(MessageAlreadySettled):
                receiver.complete_message(got)
        with client.get_queue_receiver("plain", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead_letters:
            (dead,) = receive(dead_letters, 1)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("bad", "very bad")
    assert dead.application_properties[b"kept"] == b"yes"
    assert dead.sequence_number == got.sequence_number


def test_a_deferred_message_is_received_by_its_number(bus):
    bus.send("plain", "a", "b")
    with bus.client() as client, client.get_queue_receiver("plain") as receiver:
        first, second = receive(receiver, 2)
        receiver.defer_message(first)
        receiver.complete_message(second)
        assert receiver.receive_messages(1, QUICK_SECONDS) == []
        assert receiver.peek_messages(5, sequence_number=1)[0].state == ServiceBusMessageState.DEFERRED
        (again,) = receiver.receive_deferred_messages(first.sequence_number)
        assert str(again) == "a"
        receiver.renew_message_lock(again)
        receiver.abandon_message(again)
        (again,) = receiver.receive_deferred_messages([first.sequence_number])
        receiver.complete_message(again)
        with pytest.raises(MessageNotFoundError):
            receiver.receive_deferred_messages(first.sequence_number)


def test_a_deferred_message_can_be_received_and_deleted(bus):
    bus.send("plain", "a")
    with bus.client() as client:
        with client.get_queue_receiver("plain") as receiver:
            (got,) = receive(receiver, 1)
            receiver.defer_message(got)
        with client.get_queue_receiver("plain", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as deleting:
            assert texts(deleting.receive_deferred_messages(got.sequence_number)) == ["a"]
            assert deleting.peek_messages(1, sequence_number=1) == []


@pytest.mark.parametrize("settlement", ["dead_letter_message", "defer_message"])
def test_a_deferred_message_can_be_settled_otherwise(bus, settlement):
    bus.send("plain", "a")
    with bus.client() as client, client.get_queue_receiver("plain") as receiver:
        (got,) = receive(receiver, 1)
        receiver.defer_message(got)
        (again,) = receiver.receive_deferred_messages(got.sequence_number)
        getattr(receiver, settlement)(again)
        found = receiver.peek_messages(5, sequence_number=1)
    assert [each.state for each in found] == ([ServiceBusMessageState.DEFERRED] if settlement == "defer_message" else [])


def test_peeking_touches_nothing_and_goes_on_where_it_stopped(bus):
    bus.send("plain", *(f"{number}" for number in range(6)))
    with bus.client() as client, client.get_queue_receiver("plain") as receiver:
        assert texts(receiver.peek_messages(2)) == ["0", "1"]
        assert texts(receiver.peek_messages(3)) == ["2", "3", "4"]
        assert texts(receiver.peek_messages(9, sequence_number=6)) == ["5"]
        assert len(receive(receiver, 6)) == 6


def test_a_scheduled_message_comes_when_it_is_due_and_can_be_cancelled(bus, soon):
    with bus.client() as client, client.get_queue_sender("plain") as sender, client.get_queue_receiver("plain") as receiver:
        (far,) = sender.schedule_messages(ServiceBusMessage("cancelled"), soon(3600))
        numbers = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], soon(1))
        sender.send_messages(ServiceBusMessage("c", scheduled_enqueue_time_utc=soon(1)))
        assert len(numbers) == 2
        peeked = receiver.peek_messages(9)
        assert peeked[0].state == ServiceBusMessageState.SCHEDULED
        sender.cancel_scheduled_messages(far)
        with pytest.raises(MessageNotFoundError):
            sender.cancel_scheduled_messages([far])
        assert sorted(texts(receive(receiver, 3))) == ["a", "b", "c"]


def test_duplicates_within_the_window_come_once(bus):
    bus.send("unique", ServiceBusMessage("a", message_id="1"), ServiceBusMessage("a", message_id="1"))
    bus.send("unique", ServiceBusMessage("a", message_id="1"), ServiceBusMessage("b", message_id="2"))
    assert receive_all(bus, "unique", 2) == ["a", "b"]
    with bus.client() as client, client.get_queue_receiver("unique") as receiver:
        assert receiver.peek_messages(9) == []


def test_what_lives_too_long_is_dead_lettered(bus):
    bus.send("dying", "a")
    with bus.client() as client, client.get_queue_receiver("dying", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = receive(receiver, 1)
    assert (str(dead), dead.dead_letter_reason) == ("a", "TTLExpiredException")


def test_a_lost_lock_is_told_and_the_message_comes_again(bus):
    bus.send("short", "a")
    with bus.client() as client, client.get_queue_receiver("short") as receiver:
        (got,) = receive(receiver, 1)
        (again,) = receive(receiver, 1)
        assert again.delivery_count == 1
        with pytest.raises(MessageLockLostError):
            receiver.renew_message_lock(got)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(got)
    assert str(got) == str(again) == "a"


def test_a_renewed_lock_holds(bus):
    bus.send("renewed", "a")
    renewer = AutoLockRenewer()
    with renewer, bus.client() as client, client.get_queue_receiver("renewed") as receiver:
        (got,) = receive(receiver, 1)
        before = got.locked_until_utc
        renewer.register(receiver, got, max_lock_renewal_duration=PATIENCE_SECONDS)
        with client.get_queue_receiver("renewed") as other:
            assert other.receive_messages(1, LONGER_THAN_THE_LOCK_SECONDS) == []
        assert got.locked_until_utc > before
        receiver.complete_message(got)
        assert receiver.peek_messages(1, sequence_number=1) == []


def test_prefetched_messages_are_given_back_on_close(bus):
    bus.send("plain", *"abcdef")
    with bus.client() as client:
        with client.get_queue_receiver("plain", prefetch_count=10) as receiver:
            receiver.complete_message(receive(receiver, 1)[0])
        assert receive_all(bus, "plain", 5) == list("bcdef")


def test_forwarded_messages_and_dead_letters_arrive(bus):
    bus.send("inbox", "a")
    assert receive_all(bus, "plain", 1) == ["a"]
    bus.send("burying", "b")
    with bus.client() as client, client.get_queue_receiver("burying") as receiver:
        receiver.dead_letter_message(receive(receiver, 1)[0], reason="bad")
        with client.get_queue_receiver("graveyard") as graveyard:
            (dead,) = receive(graveyard, 1)
    assert (str(dead), dead.dead_letter_source, dead.dead_letter_reason) == ("b", "burying", "bad")


def test_the_sdk_s_iterator_ends_when_nothing_more_comes(bus):
    bus.send("plain", *"abc")
    with bus.client() as client, client.get_queue_receiver("plain", max_wait_time=QUICK_SECONDS) as receiver:
        found = []
        while len(found) < 3:  # a slow machine's messages may come later than the iterator waits
            for each in receiver:
                found.append(str(each))
                receiver.complete_message(each)
        assert found == ["a", "b", "c"]
        assert list(receiver) == []


def test_what_is_not_there_is_not_found(bus):
    with bus.client() as client, pytest.raises(MessagingEntityNotFoundError):
        client.get_queue_sender("nowhere").send_messages(ServiceBusMessage("a"))


def test_a_topic_is_not_received_from_and_a_dead_letter_queue_is_not_sent_to(bus):
    with bus.client() as client:
        with pytest.raises(ServiceBusError, match="not-allowed"):
            client.get_queue_receiver("changes").receive_messages(1, PATIENCE_SECONDS)
        with pytest.raises(ServiceBusError, match="not-allowed"):
            client.get_queue_sender("plain/$deadletterqueue").send_messages(ServiceBusMessage("a"))


def test_a_message_that_is_too_large_is_refused(bus):
    with bus.client() as client, client.get_queue_sender("plain") as sender:
        with pytest.raises(MessageSizeExceededError):
            sender.send_messages(ServiceBusMessage(b"x" * 300_000))
        sender.send_messages(ServiceBusMessage(b"x" * 200_000))
    assert [len(text) for text in receive_all(bus, "plain", 1)] == [200_000]


def test_throttling_is_told_until_it_is_over(bus):
    bus.peer.call(bus.peer.emulator.broker.throttle, 0.001)
    with bus.client() as client, client.get_queue_sender("plain") as sender:
        sender.send_messages(ServiceBusMessage("the first is within the rate"))
        with pytest.raises(ServiceBusServerBusyError):
            sender.send_messages(ServiceBusMessage("refused"))
        bus.peer.call(bus.peer.emulator.broker.throttle, None)
        sender.send_messages(ServiceBusMessage("taken"))
    assert receive_all(bus, "plain", 2) == ["the first is within the rate", "taken"]


def test_a_policy_can_do_what_its_rights_say_and_no_more(start, entities, soon):
    sending = Policy("sender", "c2VuZGVyLWtleQ==", frozenset({Right.SEND}))
    listening = Policy("listener", "bGlzdGVuZXI=", frozenset({Right.LISTEN}))
    peer = start(entities, policies=[sending, listening])
    with ServiceBusClient.from_connection_string(peer.connection_string(policy=sending), retry_total=0) as client:
        sender = client.get_queue_sender("plain")
        sender.send_messages(ServiceBusMessage("a"))
        sender.cancel_scheduled_messages(sender.schedule_messages(ServiceBusMessage("b"), soon(3600)))
        with pytest.raises(ServiceBusAuthorizationError):
            client.get_queue_receiver("plain").receive_messages(1, PATIENCE_SECONDS)
        with pytest.raises(ServiceBusAuthorizationError):
            list(client.list_queue_sessions("chats"))
    with ServiceBusClient.from_connection_string(peer.connection_string(policy=listening), retry_total=0) as client:
        with client.get_queue_receiver("plain") as receiver:
            assert texts(receive(receiver, 1)) == ["a"]
        with pytest.raises(ServiceBusAuthorizationError):
            client.get_queue_sender("plain").send_messages(ServiceBusMessage("a"))
