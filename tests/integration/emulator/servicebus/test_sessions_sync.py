"""The real azure-servicebus, synchronous, against the emulator: sessions."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, AutoLockRenewer, ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

PATIENCE_SECONDS = 60
QUICK_SECONDS = 1
LONGER_THAN_THE_LOCK_SECONDS = 7


def said(session, *texts):
    return [ServiceBusMessage(text, session_id=session) for text in texts]


def receive(receiver, count):
    found = []
    while len(found) < count:
        new = receiver.receive_messages(count - len(found), PATIENCE_SECONDS)
        assert new, f"{len(found)} of {count} came"
        found += new
    return found


def test_a_session_gives_its_own_messages_in_order(bus):
    bus.send("chats", *said("x", "x1"), *said("y", "y1"), *said("x", "x2"))
    with bus.client() as client, client.get_queue_receiver("chats", session_id="x") as receiver:
        found = receive(receiver, 2)
        assert [(str(each), each.session_id) for each in found] == [("x1", "x"), ("x2", "x")]
        for each in found:
            receiver.complete_message(each)
        assert receiver.receive_messages(1, QUICK_SECONDS) == []
        assert receiver.peek_messages(5, sequence_number=1) == []
        assert receiver.session.session_id == "x"
        assert receiver.session.locked_until_utc is not None


def test_the_next_free_session_is_found_and_no_session_twice(bus):
    bus.send("chats", *said("x", "x1"), *said("y", "y1"))
    with (
        bus.client() as client,
        client.get_queue_receiver("chats", session_id=NEXT_AVAILABLE_SESSION) as one,
        client.get_queue_receiver("chats", session_id=NEXT_AVAILABLE_SESSION) as two,
    ):
        assert [one.session.session_id, two.session.session_id] == ["x", "y"]
        none = client.get_queue_receiver("chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=QUICK_SECONDS)
        with pytest.raises(OperationTimeoutError):
            none.receive_messages(1)


def test_the_attach_waits_until_a_session_is_there(bus):
    queue = bus.peer.emulator.broker.service_bus.queue("chats")
    stop = threading.Event()

    def send():
        while not bus.peer.call(lambda: queue.waiting.count):
            assert not stop.wait(0.01), "nobody waited"
        bus.send("chats", *said("late", "a"))

    with ThreadPoolExecutor(1) as pool, bus.client() as client:
        sending = pool.submit(send)
        try:
            settings = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": PATIENCE_SECONDS}
            with client.get_queue_receiver("chats", **settings) as receiver:
                assert receiver.session.session_id == "late"
                receiver.complete_message(receive(receiver, 1)[0])
        finally:
            stop.set()
            sending.result(PATIENCE_SECONDS)


def test_a_held_session_cannot_be_locked_until_it_is_given_back(bus):
    bus.send("chats", *said("x", "a"))
    with bus.client() as client:
        with client.get_queue_receiver("chats", session_id="x") as holder:
            assert len(receive(holder, 1)) == 1
            with pytest.raises(SessionCannotBeLockedError):
                client.get_queue_receiver("chats", session_id="x").receive_messages(1, PATIENCE_SECONDS)
        with client.get_queue_receiver("chats", session_id="x") as again:
            (got,) = receive(again, 1)
            assert got.delivery_count == 0
            again.complete_message(got)


def test_the_state_of_a_session_is_kept(bus):
    with bus.client() as client:
        with client.get_queue_receiver("chats", session_id="x") as receiver:
            assert receiver.session.get_state() is None
            receiver.session.set_state("half way")
            assert receiver.session.get_state() == b"half way"
        with client.get_queue_receiver("chats", session_id="x") as receiver:
            assert receiver.session.get_state() == b"half way"
            receiver.session.set_state(None)
            assert receiver.session.get_state() is None


def test_a_session_lock_that_ran_out_is_told(bus):
    bus.send("short-chats", *said("x", "a"))
    with bus.client() as client:
        receiver = client.get_queue_receiver("short-chats", session_id="x")
        (got,) = receive(receiver, 1)
        with client.get_queue_receiver(
            "short-chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=PATIENCE_SECONDS
        ) as thief:
            (again,) = receive(thief, 1)
            assert (str(again), again.delivery_count) == ("a", 1)
            with pytest.raises(SessionLockLostError):
                receiver.complete_message(got)
            with pytest.raises(ServiceBusError):
                receiver.session.renew_lock()
        receiver.close()


def test_a_renewed_session_lock_holds(bus):
    bus.send("renewed-chats", *said("x", "a"))
    renewer = AutoLockRenewer(max_lock_renewal_duration=PATIENCE_SECONDS)
    with (
        renewer,
        bus.client() as client,
        client.get_queue_receiver("renewed-chats", session_id="x", auto_lock_renewer=renewer) as receiver,
    ):
        (got,) = receive(receiver, 1)
        before = receiver.session.locked_until_utc
        other = client.get_queue_receiver(
            "renewed-chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=LONGER_THAN_THE_LOCK_SECONDS
        )
        with pytest.raises(OperationTimeoutError):
            other.receive_messages(1)
        assert receiver.session.locked_until_utc > before
        receiver.session.renew_lock()
        receiver.complete_message(got)


def test_every_settlement_works_in_a_session(bus):
    bus.send("chats", *said("x", "complete", "abandon", "defer", "dead"))
    with bus.client() as client, client.get_queue_receiver("chats", session_id="x") as receiver:
        complete, abandon, defer, dead = receive(receiver, 4)
        receiver.complete_message(complete)
        receiver.abandon_message(abandon)
        receiver.defer_message(defer)
        receiver.dead_letter_message(dead, reason="bad")
        (again,) = receive(receiver, 1)
        assert (str(again), again.delivery_count) == ("abandon", 1)
        states = {str(each): each.state for each in receiver.peek_messages(9, sequence_number=1)}
        assert states == {"abandon": ServiceBusMessageState.ACTIVE, "defer": ServiceBusMessageState.DEFERRED}
        (deferred,) = receiver.receive_deferred_messages(defer.sequence_number)
        receiver.complete_message(deferred)


def test_a_session_is_wanted_where_there_are_sessions_and_only_there(bus):
    with bus.client() as client:
        with pytest.raises(ServiceBusError, match="not-allowed"):
            client.get_queue_receiver("chats").receive_messages(1, PATIENCE_SECONDS)
        with pytest.raises(ServiceBusError, match="not-allowed"):
            client.get_queue_receiver("plain", session_id="x").receive_messages(1, PATIENCE_SECONDS)
        with pytest.raises(ServiceBusError, match="session id"):
            client.get_queue_sender("chats").send_messages(ServiceBusMessage("without"))


def test_a_subscription_keeps_each_session_in_order(bus):
    with bus.client() as client:
        with client.get_topic_sender("changes") as sender:
            batch = sender.create_message_batch()
            for number in range(20):
                batch.add_message(ServiceBusMessage(f"{number}", session_id=f"customer-{number % 3}"))
            sender.send_messages(batch)
        for session in range(3):
            settings = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": PATIENCE_SECONDS}
            with client.get_subscription_receiver("changes", "in-order", **settings) as receiver:
                assert receiver.session.session_id == f"customer-{session}"
                wanted = [f"{number}" for number in range(session, 20, 3)]
                found = receive(receiver, len(wanted))
                assert [str(each) for each in found] == wanted
                for each in found:
                    receiver.complete_message(each)


@pytest.mark.usefixtures("collected")
@pytest.mark.filterwarnings(
    "ignore:unclosed (<s|transport):ResourceWarning"
)  # the SDK leaves a cut connection's socket to the collector
def test_a_client_that_went_while_it_waited_holds_no_session(bus):
    waiting = bus.client()
    errors = []

    def wait():
        try:
            waiting.get_queue_receiver(
                "chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=PATIENCE_SECONDS
            ).receive_messages(1)
        except ServiceBusError as error:
            errors.append(error)

    worker = threading.Thread(target=wait)
    worker.start()
    queue = bus.peer.emulator.broker.service_bus.queue("chats")
    while not bus.peer.call(lambda: queue.waiting.count):
        worker.join(0.05)
    bus.peer.call(bus.peer.emulator.server.drop_connections)
    while bus.peer.call(lambda: queue.waiting.count):
        threading.Event().wait(0.05)
    bus.send("chats", *said("x", "a"))
    with bus.client() as client:
        settings = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": PATIENCE_SECONDS}
        with client.get_queue_receiver("chats", **settings) as receiver:
            assert receiver.session.session_id == "x"
            receiver.complete_message(receive(receiver, 1)[0])
    worker.join(PATIENCE_SECONDS)
    assert errors
