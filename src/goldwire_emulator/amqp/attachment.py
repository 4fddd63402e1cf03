"""How a link comes to be: it routes the address, checks the right, asks the node, and answers the attach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from goldwire_emulator.amqp.claims import Claims
from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    Attachment,
    AttachRequest,
    Direction,
    IncomingEndpoint,
    Node,
    OutgoingEndpoint,
    RequestEndpoint,
    Right,
    Router,
)
from goldwire_emulator.amqp.link import IncomingLink, OutgoingLink
from goldwire_emulator.amqp.performatives import Attach, Source, Target
from goldwire_emulator.amqp.requests import Inbox, Outbox
from goldwire_emulator.amqp.session import Link, Session

_LOG = logging.getLogger(__name__)
_SETTLED = 1
"""The sender settle mode in which every delivery is settled at once."""


def address_of(uri: str | None) -> str:
    """Return the path in a terminus' address, which the SDKs write as a whole URI; its case is kept."""
    text = uri or ""
    if "://" in text:
        _, _, text = text.partition("://")[2].partition("/")
    return text.strip("/")


class Attaching:
    """Sees to the new links of one connection.

    Args:
        router: finds nodes.
        own_nodes: those that belong to the connection, by address in lower case, such as `$cbs`.
        claims: of the connection.
        connection_id: unique in this process.
        changed: called when a link with a right that expires was attached.
    """

    def __init__(
        self, router: Router, own_nodes: dict[str, Node], claims: Claims, connection_id: int, changed: Callable[[], None]
    ) -> None:
        self._router = router
        self._own_nodes = own_nodes
        self._claims = claims
        self._connection_id = connection_id
        self._changed = changed
        self._outboxes: list[Outbox] = []
        self.container_id = ""

    def __call__(self, session: Session, attach: Attach) -> asyncio.Task[None]:
        """Begin to attach a link."""
        return asyncio.get_running_loop().create_task(self._attach(session, attach))

    async def _attach(self, session: Session, attach: Attach) -> None:
        try:
            request = self._request(attach)
            node = self._node(request)
            expires_at = self._authorised(node, request)
            attachment = await node.attach(request)
            link = self._link(session, attach, request, attachment, expires_at)
        except AmqpError as error:
            session.refuse(attach, error)
        except Exception:  # noqa: BLE001 - whatever a node raises is answered, it does not end the server; it is logged
            _LOG.exception("the attach of %s failed", attach.name)
            session.refuse(attach, AmqpError("amqp:internal-error", "the emulator failed; its log says why"))
        else:
            session.open_link(_answer(attach, attachment), link)
            self._changed()

    def _request(self, attach: Attach) -> AttachRequest:
        source, target = attach.source or Source(), attach.target or Target()
        if not isinstance(source, Source) or not isinstance(target, Target):
            raise AmqpError("amqp:not-implemented", "transactions are not part of the emulator")
        return AttachRequest(
            address=address_of(source.address if attach.role else target.address),
            direction=Direction.OUTGOING if attach.role else Direction.INCOMING,
            link_name=attach.name,
            connection_id=self._connection_id,
            container_id=self.container_id,
            source=source,
            target=target,
            properties=attach.properties or {},
            desired_capabilities=_several(attach.desired_capabilities),
            settled=attach.snd_settle_mode == _SETTLED,
        )

    def _node(self, request: AttachRequest) -> Node:
        node = self._own_nodes.get(request.address.lower()) or self._router(request.address)
        if node is None:
            text = f"The messaging entity '{request.address}' could not be found."
            raise AmqpError("amqp:not-found", text)
        return node

    def _authorised(self, node: Node, request: AttachRequest) -> float:
        rights = node.rights(request.direction)
        expires_at = self._claims.until(request.address, rights)
        if expires_at is None:
            named = " or ".join(sorted(right.value for right in rights))
            text = f"Unauthorized access. '{named}' claim(s) are required to perform this operation on '{request.address}'."
            raise AmqpError("amqp:unauthorized-access", text)
        return expires_at

    def _link(
        self, session: Session, attach: Attach, request: AttachRequest, attachment: Attachment, expires_at: float
    ) -> Link:
        endpoint: Any = attachment.endpoint
        if isinstance(endpoint, RequestEndpoint):
            endpoint = self._half(request, endpoint)
        if attach.role:
            assert isinstance(endpoint, OutgoingEndpoint), "a node answers an attach with an endpoint of its direction"
            return OutgoingLink(endpoint, session, attach.handle, request, expires_at)
        assert isinstance(endpoint, IncomingEndpoint), "a node answers an attach with an endpoint of its direction"
        return IncomingLink(
            endpoint,
            session,
            attach.handle,
            request,
            expires_at,
            max_message_size_bytes=attachment.max_message_size_bytes,
            reject_larger=attachment.reject_larger,
        )

    def _half(self, request: AttachRequest, endpoint: RequestEndpoint) -> Inbox | Outbox:
        if request.direction is Direction.INCOMING:
            return Inbox(request.address, self._connection_id, endpoint, self._outbox, self._permits)
        outbox = Outbox(request.address, request.target.address, self._outboxes.remove)
        self._outboxes.append(outbox)
        return outbox

    def _permits(self, address: str, rights: frozenset[Right]) -> bool:
        return self._claims.until(address, rights) is not None

    def _outbox(self, address: str, reply_to: str | None) -> Outbox | None:
        """Return the link that a request names for its answer; without a name that fits, the newest on the same node."""
        fitting = [one for one in self._outboxes if one.address.lower() == address.lower()]
        named = [one for one in fitting if reply_to is not None and one.reply_to == reply_to]
        return next(reversed(named or fitting), None)


def _several(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _answer(attach: Attach, attachment: Attachment) -> Attach:
    """Return the peer's half of an attach: the client's own words, but for what the node changed."""
    source = attach.source or Source()
    if attachment.filters is not None:
        source.filters = attachment.filters
    return Attach(
        name=attach.name,
        handle=attach.handle,
        role=not attach.role,
        snd_settle_mode=attach.snd_settle_mode,
        rcv_settle_mode=attach.rcv_settle_mode,
        source=source,
        target=attach.target or Target(),
        initial_delivery_count=0 if attach.role else None,
        max_message_size=attachment.max_message_size_bytes,
        offered_capabilities=attachment.offered_capabilities or None,
        properties=attachment.properties or None,
    )
