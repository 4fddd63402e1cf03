"""What the SDK asks `$management` for, also where only the SDKs of other languages ask: rules."""

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus._common import mgmt_handlers
from azure.servicebus.exceptions import MessagingEntityAlreadyExistsError, MessagingEntityNotFoundError, ServiceBusError

PATIENCE_SECONDS = 60


def ask(receiver, operation, body):
    """Through the SDK's own request; the SDK for Python has no name for these operations."""
    operation = f"com.microsoft:{operation}".encode()
    return receiver._mgmt_request_response_with_retry(operation, body, mgmt_handlers.default, timeout=PATIENCE_SECONDS)


def listed(receiver):
    page = {"top": {"TYPE": "INT", "VALUE": 100}, "skip": {"TYPE": "INT", "VALUE": 0}}
    return [each[b"rule-description"] for each in ask(receiver, "enumerate-rules", page)[b"rules"]]


def test_rules_are_listed_added_and_removed(bus):
    with bus.client() as client, client.get_subscription_receiver("changes", "all") as receiver:
        ask(receiver, "remove-rule", {"rule-name": "$Default"})
        sql = {"sql-filter": {"expression": "region = 'north'"}, "sql-rule-action": {"expression": "SET seen = 1"}}
        ask(receiver, "add-rule", {"rule-name": "north", "rule-description": sql})
        correlation = {"correlation-filter": {"label": "urgent", "properties": {"region": "south"}}, "sql-rule-action": None}
        ask(receiver, "add-rule", {"rule-name": "urgent", "rule-description": correlation})
        with pytest.raises(MessagingEntityAlreadyExistsError):
            ask(receiver, "add-rule", {"rule-name": "north", "rule-description": sql})
        with pytest.raises(MessagingEntityNotFoundError):
            ask(receiver, "remove-rule", {"rule-name": "nobody"})
        with pytest.raises(ServiceBusError, match="argument-error"):
            ask(receiver, "add-rule", {"rule-name": "bad", "rule-description": {"sql-filter": {"expression": "a ="}}})
        north, urgent = listed(receiver)
        assert north == [[b"region = 'north'"], [b"SET seen = 1"], b"north"]
        assert (urgent[0][4], urgent[0][8], urgent[2]) == (b"urgent", {b"region": b"south"}, b"urgent")
        with client.get_topic_sender("changes") as sender:
            for region, subject in (("north", "x"), ("south", "x"), ("south", "urgent")):
                sender.send_messages(ServiceBusMessage(region, subject=subject, application_properties={"region": region}))
        found = []
        while len(found) < 2:
            found += receiver.receive_messages(2 - len(found), PATIENCE_SECONDS)
        assert [(str(each), each.application_properties.get(b"seen")) for each in found] == [("north", 1), ("south", None)]


def test_an_operation_that_nobody_knows_is_refused_and_so_is_a_body_that_does_not_fit(bus):
    with bus.client() as client, client.get_queue_receiver("plain") as receiver:
        with pytest.raises(ServiceBusError, match="not-implemented"):
            ask(receiver, "make-coffee", {})
        with pytest.raises(ServiceBusError, match="argument-error"):
            ask(receiver, "peek-message", {"message-count": "many"})


def test_sessions_are_listed_in_pages(bus):
    bus.send("chats", *(ServiceBusMessage("a", session_id=f"s-{number:03}") for number in range(130)))
    with bus.client() as client:
        assert list(client.list_queue_sessions("chats")) == [f"s-{number:03}" for number in range(130)]
        with client.get_queue_receiver("chats", session_id="s-007") as receiver:
            receiver.session.set_state(b"x")
            updated = list(
                client.list_queue_sessions("chats", state_updated_after=receiver.session._session_start.replace(year=2020))
            )
        assert updated == ["s-007"]
