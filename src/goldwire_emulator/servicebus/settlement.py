"""What a receiver's decisions mean: AMQP's outcomes as the broker's settlements.

Source: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide and the SDKs' behaviour.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from goldwire_emulator.amqp.endpoint import AmqpError
from goldwire_emulator.amqp.performatives import Accepted, Modified, Rejected, Released, State
from goldwire_emulator.broker.message_queue import DESCRIPTION, REASON, MessageQueue
from goldwire_emulator.broker.refusals import RefusalError
from goldwire_emulator.servicebus.message_codec import edits_from


def settle(queue: MessageQueue, token: UUID, state: State) -> State:
    """Do what the receiver decided; return the answer: the same outcome, or a rejection with the reason."""
    try:
        _apply(queue, token, state)
    except RefusalError as error:
        return Rejected(AmqpError(error.condition, error.description).as_error())
    # The SDKs take a rejection that carries an error for a failure of the settlement.
    return Rejected() if isinstance(state, Rejected) else state


def _apply(queue: MessageQueue, token: UUID, state: State) -> None:
    if isinstance(state, Accepted):
        queue.complete(token)
    elif isinstance(state, Released):
        queue.release(token)
    elif isinstance(state, Modified):
        edits = edits_from(state.message_annotations)
        if state.undeliverable_here:
            queue.defer(token, edits)
        else:
            queue.abandon(token, edits)
    elif isinstance(state, Rejected):
        queue.dead_letter(token, edits_from(reasons(state)))


def reasons(state: Rejected) -> dict[Any, Any]:
    """The application properties that a dead-lettering sets: reason, description, and whatever else the receiver gives."""
    return {} if state.error is None else {name: value for name, value in (state.error.info or {}).items() if value is not None}


def reason_properties(reason: Any, description: Any) -> dict[str, Any]:
    """The same from a request's two texts."""
    return {name: value for name, value in ((REASON, reason), (DESCRIPTION, description)) if value is not None}
