"""`$cbs`: where a client puts the tokens that give it rights on this connection.

Source: the draft AMQP Claims-based Security of OASIS, as the SDKs implement it.
"""

from __future__ import annotations

from collections.abc import Callable

from goldwire_emulator.amqp.claims import Authority, Claim, Claims
from goldwire_emulator.amqp.endpoint import (
    AmqpError,
    Attachment,
    AttachRequest,
    Direction,
    Reply,
    Request,
    Right,
)

ADDRESS = "$cbs"
_ACCEPTED = 202
_UNAUTHORIZED = 401


class CbsNode:
    """The node of one connection; also its endpoint.

    Args:
        authority: verifies the tokens.
        claims: of the connection; takes what they give.
        changed: called when a token was taken.
    """

    def __init__(self, authority: Authority, claims: Claims, changed: Callable[[Claim], None]) -> None:
        self._authority = authority
        self._claims = claims
        self._changed = changed

    def rights(self, _: Direction) -> frozenset[Right]:
        """Return no right, since a client gets its rights here."""
        return frozenset()

    async def attach(self, _: AttachRequest) -> Attachment:
        """Return itself."""
        return Attachment(self)

    async def answer(self, request: Request) -> Reply:
        """Take a token, or say with status 401 why not."""
        if request.operation != "put-token":
            return Reply(400, f"$cbs knows put-token, not {request.operation!r}")
        token, audience = request.message.value, request.message.application_properties.get("name")
        if not isinstance(token, str) or not isinstance(audience, str):
            return Reply(400, "put-token needs a token as its body and the audience as `name`")
        try:
            claim = self._authority.verify(token, request.kind, audience)
        except AmqpError as error:
            return Reply(_UNAUTHORIZED, error.description)
        self._claims.add(claim)
        self._changed(claim)
        return Reply(_ACCEPTED, "Accepted")
