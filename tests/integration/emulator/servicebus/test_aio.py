"""The real azure-servicebus, asynchronous, against the emulator."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    OperationTimeoutError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

PATIENCE_SECONDS = 60
QUICK_SECONDS = 1
LONGER_THAN_THE_LOCK_SECONDS = 7
DEAD = ServiceBusSubQueue.DEAD_LETTER


def texts(messages):
    return [str(each) for each in messages]


class Clients:
    """A client whose senders and receivers are opened in one line each and closed in the end."""

    def __init__(self, bus, stack):
        self.stack = stack
        self.client = ServiceBusClient.from_connection_string(bus.peer.connection_string(), retry_total=0, **bus.settings)

    async def sender(self, name):
        return await self.stack.enter_async_context(self.client.get_queue_sender(name))

    async def receiver(self, name, **settings):
        return await self.stack.enter_async_context(self.client.get_queue_receiver(name, **settings))

    async def subscriber(self, name, **settings):
        return await self.stack.enter_async_context(self.client.get_subscription_receiver("changes", name, **settings))

    async def send(self, name, *messages):
        async with self.client.get_queue_sender(name) as sender:
            await sender.send_messages(
                [each if isinstance(each, ServiceBusMessage) else ServiceBusMessage(each) for each in messages]
            )


async def receive(receiver, count):
    found = []
    while len(found) < count:
        new = await receiver.receive_messages(count - len(found), PATIENCE_SECONDS)
        assert new, f"{len(found)} of {count} came"
        found += new
    return found


@pytest.fixture
def do(bus):
    """Run a test's coroutine with clients."""

    def run(work):
        async def main():
            async with AsyncExitStack() as stack:
                clients = Clients(bus, stack)
                await stack.enter_async_context(clients.client)
                await work(clients)

        asyncio.run(main())

    return run


def test_batches_are_received_and_completed_in_order(do):
    async def work(clients):
        sender = await clients.sender("plain")
        batch = await sender.create_message_batch()
        for number in range(50):
            batch.add_message(
                ServiceBusMessage(f"{number}", message_id=f"{number}", subject="s", application_properties={"n": number})
            )
        await sender.send_messages(batch)
        receiver = await clients.receiver("plain")
        found = await receive(receiver, 50)
        assert texts(found) == [each.message_id for each in found] == [f"{number}" for number in range(50)]
        await asyncio.gather(*(receiver.complete_message(each) for each in found))
        assert await receiver.peek_messages(1, sequence_number=1) == []

    do(work)


def test_every_settlement_works(do):
    async def work(clients):
        await clients.send("plain", "complete", "abandon", "defer", "dead")
        receiver = await clients.receiver("plain")
        complete, abandon, defer, dead = await receive(receiver, 4)
        await receiver.complete_message(complete)
        await receiver.abandon_message(abandon)
        await receiver.defer_message(defer)
        await receiver.dead_letter_message(dead, reason="bad", error_description="very")
        (again,) = await receive(receiver, 1)
        assert (str(again), again.delivery_count) == ("abandon", 1)
        (deferred,) = await receiver.receive_deferred_messages(defer.sequence_number)
        await receiver.complete_message(deferred)
        with pytest.raises(MessageNotFoundError):
            await receiver.receive_deferred_messages(defer.sequence_number)
        (buried,) = await receive(await clients.receiver("plain", sub_queue=DEAD), 1)
        assert (str(buried), buried.dead_letter_reason, buried.dead_letter_error_description) == ("dead", "bad", "very")

    do(work)


def test_received_and_deleted_messages_are_gone(do):
    async def work(clients):
        await clients.send("plain", "a", "b")
        deleting = await clients.receiver("plain", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
        assert texts(await receive(deleting, 2)) == ["a", "b"]
        assert await deleting.peek_messages(1, sequence_number=1) == []

    do(work)


def test_too_many_deliveries_end_in_the_dead_letter_queue(do):
    async def work(clients):
        await clients.send("plain", "poison")
        receiver = await clients.receiver("plain")
        for _ in range(3):
            await receiver.abandon_message((await receive(receiver, 1))[0])
        (dead,) = await receive(await clients.receiver("plain", sub_queue=DEAD), 1)
        assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"

    do(work)


def test_schedules_and_duplicates(do, soon):
    async def work(clients):
        sender = await clients.sender("unique")
        (never,) = await sender.schedule_messages(ServiceBusMessage("never", message_id="0"), soon(3600))
        due = soon(1)
        await sender.schedule_messages([ServiceBusMessage("later", message_id="1")], due)
        await sender.cancel_scheduled_messages(never)
        for _ in range(3):
            await sender.send_messages([ServiceBusMessage("now", message_id="2"), ServiceBusMessage("later", message_id="1")])
        receiver = await clients.receiver("unique")
        found = {str(each): each for each in await receive(receiver, 2)}
        assert set(found) == {"now", "later"}
        assert found["later"].enqueued_time_utc >= due - timedelta(milliseconds=1)  # the wire has milliseconds
        assert await receiver.receive_messages(1, QUICK_SECONDS) == []

    do(work)


def test_a_lost_lock_is_told(do):
    async def work(clients):
        await clients.send("short", "a")
        receiver = await clients.receiver("short")
        (lost,) = await receive(receiver, 1)
        assert (await receive(receiver, 1))[0].delivery_count == 1
        with pytest.raises(MessageLockLostError):
            await receiver.complete_message(lost)

    do(work)


def test_a_renewed_lock_holds(do):
    async def work(clients):
        await clients.send("renewed", "a")
        receiver, other = await clients.receiver("renewed"), await clients.receiver("renewed")
        (held,) = await receive(receiver, 1)
        async with AutoLockRenewer() as renewer:
            renewer.register(receiver, held, max_lock_renewal_duration=PATIENCE_SECONDS)
            assert await other.receive_messages(1, LONGER_THAN_THE_LOCK_SECONDS) == []
            await receiver.complete_message(held)

    do(work)


def test_rules_select_and_change(do):
    async def work(clients):
        async with clients.client.get_topic_sender("changes") as sender:
            for region, amount in (("north", 10), ("north", 1), ("south", 10)):
                properties = {"region": region, "amount": amount}
                await sender.send_messages(ServiceBusMessage(region, subject="customer", application_properties=properties))
        assert texts(await receive(await clients.subscriber("all"), 3)) == ["north", "north", "south"]
        (north,) = await receive(await clients.subscriber("north"), 1)
        assert north.application_properties == {b"region": b"north", b"routed": b"yes"}
        assert texts(await receive(await clients.subscriber("labelled"), 1)) == ["south"]

    do(work)


def test_sessions_are_held_given_back_and_keep_their_state(do):
    async def work(clients):
        said = [ServiceBusMessage(f"{session}{number}", session_id=session) for number in range(3) for session in "xy"]
        await clients.send("chats", *said)
        for session in "xy":
            settings = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": PATIENCE_SECONDS}
            async with clients.client.get_queue_receiver("chats", **settings) as receiver:
                assert receiver.session.session_id == session
                assert await receiver.session.get_state() is None
                await receiver.session.set_state(b"seen " + session.encode())
                before = receiver.session.locked_until_utc
                assert await receiver.session.renew_lock() >= before
                found = await receive(receiver, 3)
                assert texts(found) == [f"{session}{number}" for number in range(3)]
                with pytest.raises(SessionCannotBeLockedError):
                    await clients.receiver("chats", session_id=session)
                for each in found:
                    await receiver.complete_message(each)
        async with clients.client.get_queue_receiver("chats", session_id="x") as receiver:
            assert await receiver.session.get_state() == b"seen x"
        with pytest.raises(OperationTimeoutError):
            await clients.receiver("chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=QUICK_SECONDS)

    do(work)


def test_a_lost_session_lock_is_told(bus, do):
    async def work(clients):
        await clients.send("chats", ServiceBusMessage("a", session_id="x"))
        settings = {"session_id": NEXT_AVAILABLE_SESSION, "max_wait_time": PATIENCE_SECONDS}
        first = await clients.receiver("chats", **settings)
        (lost,) = await receive(first, 1)
        bus.lose_locks()
        second = await clients.receiver("chats", **settings)
        assert (await receive(second, 1))[0].delivery_count == 1
        with pytest.raises(SessionLockLostError):
            await first.complete_message(lost)

    do(work)


def test_a_renewed_session_lock_holds(do):
    async def work(clients):
        await clients.send("renewed-chats", ServiceBusMessage("a", session_id="x"))
        async with AutoLockRenewer() as renewer:
            receiver = await clients.receiver("renewed-chats", session_id="x")
            renewer.register(receiver, receiver.session, max_lock_renewal_duration=PATIENCE_SECONDS)
            (held,) = await receive(receiver, 1)
            longer = LONGER_THAN_THE_LOCK_SECONDS
            with pytest.raises(OperationTimeoutError):
                await clients.receiver("renewed-chats", session_id=NEXT_AVAILABLE_SESSION, max_wait_time=longer)
            await receiver.complete_message(held)

    do(work)


def test_sessions_are_listed(do):
    async def work(clients):
        await clients.send("chats", *(ServiceBusMessage("a", session_id=name) for name in ("b", "a")))
        assert [each async for each in clients.client.list_queue_sessions("chats")] == ["a", "b"]
        assert [each async for each in clients.client.list_subscription_sessions("changes", "in-order")] == []

    do(work)


def test_a_message_that_is_too_large_is_refused_and_the_link_goes_on(do):
    async def work(clients):
        sender = await clients.sender("plain")
        with pytest.raises(MessageSizeExceededError):
            await sender.send_messages(ServiceBusMessage(b"x" * 300_000))
        await sender.send_messages(ServiceBusMessage(b"y"))
        assert texts(await receive(await clients.receiver("plain"), 1)) == ["y"]

    do(work)


def test_competing_receivers_complete_every_message_once(do):
    async def work(clients):
        sender = await clients.sender("plain")
        for begin in range(0, 200, 50):
            await sender.send_messages([ServiceBusMessage(f"{number}") for number in range(begin, begin + 50)])
        completed = []

        async def compete():
            async with clients.client.get_queue_receiver("plain", prefetch_count=20) as receiver:
                while len(completed) < 200:
                    for each in await receiver.receive_messages(10, QUICK_SECONDS):
                        await receiver.complete_message(each)
                        completed.append(int(str(each)))

        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(compete() for _ in range(4)))
        assert sorted(completed) == list(range(200))

    do(work)
