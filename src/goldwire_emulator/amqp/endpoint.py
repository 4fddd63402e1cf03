"""What stands behind a link: the protocols between the wire and the entities that it serves.

The wire is all of `amqp/`; it knows nothing of hubs and queues. A server gives it a `Router`, which finds the `Node` of an
address. A node answers an attach with an `Attachment`, whose endpoint then lives as long as the link does. There are three
kinds: `OutgoingEndpoint` (the peer sends to the client), `IncomingEndpoint` (the client sends to the peer) and
`RequestEndpoint` (a pair of links that carries requests and their answers, such as `$management`).

All calls come from one asyncio event loop; an endpoint need not lock. What is not `async` must not block for long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from goldwire_emulator.amqp.message import Message
from goldwire_emulator.amqp.performatives import Error, Source, State, Target


class AmqpError(Exception):
    """A failure that the client receives as an AMQP error: a refused attach, a detached link, a rejected delivery.

    Args:
        condition: its symbol, e.g. `amqp:not-found`.
        description: for people.
        info: more about it, by symbol.
    """

    def __init__(self, condition: str, description: str = "", info: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description
        self.info = dict(info or {})

    def as_error(self) -> Error:
        """Return it as it stands in a performative."""
        return Error(self.condition, self.description, self.info)


class Direction(Enum):
    """Where messages of a link go, seen from the peer."""

    OUTGOING = "outgoing"
    """To the client: it receives."""
    INCOMING = "incoming"
    """From the client: it sends."""


class Right(Enum):
    """What a shared access policy allows."""

    SEND = "Send"
    LISTEN = "Listen"
    MANAGE = "Manage"


class AttachRequest(Struct, frozen=True):
    """What a client asks for when it attaches a link."""

    address: str
    """Without a leading slash: the source's of an outgoing link, the target's of an incoming one."""
    direction: Direction
    link_name: str
    connection_id: int
    """The same for all links of one connection, of this process only."""
    container_id: str
    """What the client calls itself."""
    source: Source
    target: Target
    properties: dict[str, Any] = {}
    """The link properties, e.g. `com.microsoft:epoch`."""
    desired_capabilities: tuple[str, ...] = ()
    settled: bool = False
    """Of an outgoing link: the client wants every delivery settled at once (receive-and-delete)."""


class Delivery(Struct, frozen=True):
    """A message on its way to the client."""

    tag: bytes
    """Up to 32 bytes; names the delivery when the client settles it."""
    payload: bytes
    """The encoded message, all its sections."""
    settled: bool = False
    """It is done with as soon as it is sent: no settlement will come."""
    message_format: int = 0


class Settlement(NamedTuple):
    """What a client decided about an outgoing delivery."""

    tag: bytes
    state: State


class Incoming(NamedTuple):
    """A message that came from the client."""

    tag: bytes
    payload: bytes
    """The encoded message, all its sections."""
    message_format: int
    """0, or 0x80013700 for a batch; see `message.unbatch`."""
    settled: bool
    """The client expects no outcome."""


class Link(Protocol):
    """What an endpoint may do with its link."""

    @property
    def is_open(self) -> bool:
        """It was attached and not yet detached."""
        ...

    def wake(self) -> None:
        """Have `take` called again soon, if there is credit: there may be messages now. Costs little, may be called often."""
        ...

    def detach(self, error: AmqpError) -> None:
        """End the link with an error, e.g. `amqp:link:stolen`; `closed` is called."""
        ...


@runtime_checkable
class OutgoingEndpoint(Protocol):
    """Sends messages to a client, as far as its credit goes."""

    def opened(self, link: Link) -> None:
        """The link is attached; called once, first."""
        ...

    def take(self, credit: int) -> Sequence[Delivery]:
        """Return what can be sent now, at most `credit` deliveries; none if nothing is there. Never waits.

        Called when the client grants credit, after `Link.wake`, and again while it returned something. Drain is the
        link's work.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[State]:
        """Take the client's decisions in their order; return the state to answer for each: the same or `Rejected`."""
        ...

    def closed(self) -> None:
        """The link is gone, from either side; called once, last. Deliveries that are not settled stay so."""
        ...


@runtime_checkable
class IncomingEndpoint(Protocol):
    """Takes messages from a client."""

    def opened(self, link: Link) -> None:
        """The link is attached; called once, first."""
        ...

    async def receive(self, deliveries: Sequence[Incoming]) -> Sequence[State]:
        """Take what has come, in its order, one chunk at a time; return an outcome for each: `Accepted` or `Rejected`."""
        ...

    def closed(self) -> None:
        """The link is gone; called once, last."""
        ...


class Request(Struct, frozen=True):
    """A request to a node such as `$management`."""

    address: str
    connection_id: int
    message: Message
    operation: str
    """The application property `operation`."""
    kind: str = ""
    """The application property `type`."""
    permits: Callable[[str, frozenset[Right]], bool] = lambda _, __: True
    """Says whether the client holds one of the rights on an address, for nodes that serve several entities."""


class Reply(Struct, frozen=True):
    """The answer to a request. The wire sets correlation id and both spellings of the status' names."""

    status: int
    """As in HTTP: 200 and so on."""
    description: str = ""
    condition: str = ""
    """An error's symbol."""
    body: Any = None
    """The AMQP value that is the message's body."""
    application_properties: dict[str, Any] = {}


@runtime_checkable
class RequestEndpoint(Protocol):
    """Answers requests; the same endpoint stands behind both links of the pair."""

    async def answer(self, request: Request) -> Reply:
        """Answer one request. Requests of a link are answered one after the other; an `AmqpError` becomes a reply of 400."""
        ...


Endpoint = OutgoingEndpoint | IncomingEndpoint | RequestEndpoint


class Attachment(Struct, frozen=True):
    """How a node answers an attach. What is left out is echoed as the client sent it."""

    endpoint: Endpoint
    filters: dict[str, Any] | None = None
    """The source's filters in force, e.g. the session that was found."""
    properties: dict[str, Any] = {}
    max_message_size_bytes: int = 1024 * 1024
    reject_larger: bool = False
    """A larger message is rejected, as in Service Bus, and the link goes on; else it ends the link."""
    offered_capabilities: tuple[str, ...] = ()


class Node(Protocol):
    """Something with an address that links can be attached to."""

    def rights(self, direction: Direction) -> frozenset[Right]:
        """Return the rights of which one is needed; empty where none is. `MANAGE` implies the others."""
        ...

    async def attach(self, request: AttachRequest) -> Attachment:
        """Return what stands behind the new link; may wait (for a session), and is cancelled if the client goes.

        Raises:
            AmqpError: the attach is refused.
        """
        ...


Router = Callable[[str], Node | None]
"""Finds the node of an address, `HUB/Partitions/0`, `QUEUE/$management`; None where there is none: `amqp:not-found`."""
