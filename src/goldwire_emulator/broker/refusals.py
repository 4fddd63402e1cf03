"""What a broker answers when it will not do what was asked: the service's own conditions, with a reason.

The conditions are those that Microsoft documents for AMQP at
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot and those that its SDKs map to exceptions.
"""

from __future__ import annotations


class RefusalError(Exception):
    """The broker refuses a request; nothing was changed.

    Attributes:
        condition: the service's own symbol, as it goes on the wire.
        status: the status code that a management response carries.
    """

    condition = "amqp:internal-error"
    status = 500

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


class NotFoundError(RefusalError):
    """The entity does not exist."""

    condition = "amqp:not-found"
    status = 404


class ArgumentError(RefusalError):
    """A value is wrong, whatever the state of the entity."""

    condition = "com.microsoft:argument-error"
    status = 400


class OutOfRangeError(RefusalError):
    """A value lies outside of what exists, such as an offset that was never given."""

    condition = "com.microsoft:argument-out-of-range"
    status = 400


class NotAllowedError(RefusalError):
    """The entity is not made for this, such as a receiver without a session on an entity with sessions."""

    condition = "amqp:not-allowed"
    status = 400


class TooLargeError(RefusalError):
    """A message or a batch is larger than the entity takes."""

    condition = "amqp:link:message-size-exceeded"
    status = 413


class QuotaError(RefusalError):
    """The entity is full, or has too many of something."""

    condition = "amqp:resource-limit-exceeded"
    status = 403


class BusyError(RefusalError):
    """Throttled: the same request may be sent again later."""

    condition = "com.microsoft:server-busy"
    status = 503


class MessageNotFoundError(RefusalError):
    """No such message, or it is not in the state that the request needs."""

    condition = "com.microsoft:message-not-found"
    status = 404


class MessageLockLostError(RefusalError):
    """The lock ran out, or was never given by this entity."""

    condition = "com.microsoft:message-lock-lost"
    status = 410


class SessionLockLostError(RefusalError):
    """The session's lock ran out, or another receiver holds it now."""

    condition = "com.microsoft:session-lock-lost"
    status = 410


class SessionCannotBeLockedError(RefusalError):
    """Another receiver holds the session."""

    condition = "com.microsoft:session-cannot-be-locked"
    status = 409


class AlreadyExistsError(RefusalError):
    """A rule of this name exists."""

    condition = "com.microsoft:entity-already-exists"
    status = 409


class NoSessionError(RefusalError):
    """No session with a message was free within the time that the receiver gave."""

    condition = "com.microsoft:timeout"
    status = 408
