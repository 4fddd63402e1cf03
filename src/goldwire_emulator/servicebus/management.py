"""`ENTITY/$management`: what the SDKs ask for beside sending and receiving.

The operations are those of https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goldwire_emulator.amqp.decoder import DecodeError
from goldwire_emulator.amqp.endpoint import Reply, Request, Right
from goldwire_emulator.amqp.values import Array, Int, Timestamp
from goldwire_emulator.broker.message import StoredMessage
from goldwire_emulator.broker.message_queue import MessageQueue
from goldwire_emulator.broker.refusals import ArgumentError, NotAllowedError, RefusalError
from goldwire_emulator.broker.service_bus import ServiceBus
from goldwire_emulator.broker.sessions import Sessions
from goldwire_emulator.servicebus import rule_forms
from goldwire_emulator.servicebus.message_codec import as_uuid, edits_from, read, write
from goldwire_emulator.servicebus.settlement import reason_properties

VENDOR = "com.microsoft:"
_ANY_TIME_MS = 253_402_300_800_000
"""The year 10000: the SDKs' way to ask for sessions without regard to when their state was set."""
_SEND = frozenset({Right.SEND})
_LISTEN = frozenset({Right.LISTEN})
_UNAUTHORIZED = 401

Answer = Callable[[Request, dict[str, Any]], Reply]


class Management:
    """Answers requests about one entity. A `RequestEndpoint`.

    Args:
        bus: the namespace.
        path: of the entity, in lower case.
    """

    def __init__(self, bus: ServiceBus, path: str) -> None:
        self._bus = bus
        self._path = path
        listening: dict[str, Answer] = {
            "renew-lock": self._renew_locks,
            "peek-message": self._peek,
            "receive-by-sequence-number": self._receive_deferred,
            "update-disposition": self._settle,
            "renew-session-lock": self._renew_session,
            "get-session-state": self._get_state,
            "set-session-state": self._set_state,
            "get-message-sessions": self._list_sessions,
            "add-rule": self._add_rule,
            "remove-rule": self._remove_rule,
            "enumerate-rules": self._list_rules,
        }
        sending: dict[str, Answer] = {
            "schedule-message": self._schedule,
            "cancel-scheduled-message": self._cancel,
        }
        self._operations = {VENDOR + name: (answer, _LISTEN) for name, answer in listening.items()}
        self._operations |= {VENDOR + name: (answer, _SEND) for name, answer in sending.items()}

    async def answer(self, request: Request) -> Reply:
        """Answer one request."""
        operation, needed = self._operations.get(request.operation, (None, frozenset[Right]()))
        if operation is None:
            return Reply(501, f"the emulator does not know the operation '{request.operation}'", "amqp:not-implemented")
        if not request.permits(self._path, needed):
            named = " or ".join(sorted(right.value for right in needed))
            return Reply(_UNAUTHORIZED, f"'{request.operation}' needs the right {named}", "amqp:unauthorized-access")
        body = request.message.value
        try:
            return operation(request, {_text(key): value for key, value in (body or {}).items()})
        except RefusalError as error:
            return Reply(error.status, error.description, error.condition)
        except (DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"the request's body does not fit '{request.operation}': {type(error).__name__} {error}"
            return Reply(400, text, ArgumentError.condition)

    @property
    def _queue(self) -> MessageQueue:
        queue = self._bus.queues.get(self._path)
        if queue is None:
            raise NotAllowedError(f"'{self._path}' is a topic: ask one of its subscriptions")
        return queue

    @property
    def _sessions(self) -> Sessions:
        return self._bus.sessions[self._queue.path.lower()]

    def _renew_locks(self, _: Request, body: dict[str, Any]) -> Reply:
        ends = [Timestamp(self._queue.renew(as_uuid(token))) for token in body["lock-tokens"]]
        return Reply(200, "OK", body={"expirations": Array(ends)})

    def _peek(self, _: Request, body: dict[str, Any]) -> Reply:
        session = body.get("session-id")
        found = self._queue.peek(int(body["from-sequence-number"]), int(body["message-count"]), session)
        if not found:
            return Reply(204, "No content")
        return Reply(200, "OK", body={"messages": [{"message": write(each)} for each in found]})

    def _receive_deferred(self, request: Request, body: dict[str, Any]) -> Reply:
        session = body.get("session-id") if self._queue.settings.requires_session else None
        if session is not None:
            self._sessions.check(session, _holder(request))
        numbers = [int(number) for number in body["sequence-numbers"]]
        delete = int(body["receiver-settle-mode"]) == 0
        found = self._queue.receive_deferred(numbers, session=session, delete=delete)
        return Reply(200, "OK", body={"messages": [_locked(each) for each in found]})

    def _settle(self, request: Request, body: dict[str, Any]) -> Reply:
        session = body.get("session-id")
        if session is not None and self._queue.settings.requires_session:
            self._sessions.check(session, _holder(request))
        status, edits = _text(body["disposition-status"]), edits_from(body.get("properties-to-modify"))
        buried = edits.then(edits_from(reason_properties(body.get("deadletter-reason"), body.get("deadletter-description"))))
        tokens = [as_uuid(token) for token in body["lock-tokens"]]
        with self._bus.together():
            for token in tokens:
                if status == "completed":
                    self._queue.complete(token)
                elif status == "abandoned":
                    self._queue.abandon(token, edits)
                elif status in {"defered", "deferred"}:
                    self._queue.defer(token, edits)
                elif status == "suspended":
                    self._queue.dead_letter(token, buried)
                else:
                    raise ArgumentError(f"'{status}' is no disposition-status")
        return Reply(200, "OK")

    def _renew_session(self, request: Request, body: dict[str, Any]) -> Reply:
        until = self._sessions.renew(_text(body["session-id"]), _holder(request))
        return Reply(200, "OK", body={"expiration": Timestamp(until)})

    def _get_state(self, request: Request, body: dict[str, Any]) -> Reply:
        return Reply(200, "OK", body={"session-state": self._sessions.state(_text(body["session-id"]), _holder(request))})

    def _set_state(self, request: Request, body: dict[str, Any]) -> Reply:
        state = body.get("session-state")
        self._sessions.set_state(_text(body["session-id"]), None if state is None else bytes(state), _holder(request))
        return Reply(200, "OK", body={})

    def _list_sessions(self, _: Request, body: dict[str, Any]) -> Reply:
        after, skip = int(body["last-updated-time"]), int(body["skip"])
        names = self._sessions.names(None if after >= _ANY_TIME_MS else after, skip, int(body["top"]))
        if not names:
            return Reply(204, "No content", VENDOR + "session-not-found")
        return Reply(200, "OK", body={"skip": Int(skip), "sessions-ids": Array(names)})

    def _schedule(self, _: Request, body: dict[str, Any]) -> Reply:
        messages = [read(bytes(each["message"])) for each in body["messages"]]
        return Reply(200, "OK", body={"sequence-numbers": Array(self._bus.entrance(self._path).schedule(messages))})

    def _cancel(self, _: Request, body: dict[str, Any]) -> Reply:
        self._bus.entrance(self._path).cancel([int(number) for number in body["sequence-numbers"]])
        return Reply(200, "OK")

    def _add_rule(self, _: Request, body: dict[str, Any]) -> Reply:
        self._bus.subscription(self._path).add_rule(rule_forms.rule_from(_text(body["rule-name"]), body["rule-description"]))
        return Reply(200, "OK")

    def _remove_rule(self, _: Request, body: dict[str, Any]) -> Reply:
        self._bus.subscription(self._path).remove_rule(_text(body["rule-name"]))
        return Reply(200, "OK")

    def _list_rules(self, _: Request, body: dict[str, Any]) -> Reply:
        rules = self._bus.subscription(self._path).rules.settings()
        page: Sequence[Any] = rules[int(body["skip"]) : int(body["skip"]) + int(body["top"])]
        if not page:
            return Reply(204, "No content")
        return Reply(200, "OK", body={"rules": [{"rule-description": rule_forms.described_rule(rule)} for rule in page]})


def _locked(message: StoredMessage) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": write(message, locked_until_ms=message.locked_until_ms)}
    return entry if message.lock_token is None else {"lock-token": message.lock_token, **entry}


def _holder(request: Request) -> str | None:
    """The link that a request belongs to, if it says so."""
    properties = request.message.application_properties
    name = properties.get("associated-link-name", properties.get(b"associated-link-name"))
    return None if name is None else f"{request.connection_id}/{_text(name)}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
