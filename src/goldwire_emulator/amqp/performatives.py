"""The performatives of AMQP 1.0, SASL's too, and the composites that stand in them. Source: OASIS AMQP 1.0 parts 2, 3 and 5."""

from __future__ import annotations

from typing import Any

from msgspec import field

from goldwire_emulator.amqp.composite import Composite, as_is, fields, symbols
from goldwire_emulator.amqp.values import Symbol, Timestamp, UByte, UInt, ULong, UShort


class Error(Composite):
    """Why something was refused or ended. All three fields are always sent."""

    code = 0x1D
    symbol = "amqp:error:list"
    wire = (Symbol, str, fields)

    condition: str = ""
    description: str = ""
    info: dict[str, Any] = field(default_factory=dict)


class Open(Composite):
    """Begins a connection."""

    code = 0x10
    symbol = "amqp:open:list"
    wire = (str, str, UInt, UShort, UInt, symbols, symbols, symbols, symbols, fields)

    container_id: str = ""
    hostname: str | None = None
    max_frame_size: int = 0xFFFFFFFF
    channel_max: int = 0xFFFF
    idle_time_out: int | None = None
    """Milliseconds."""
    outgoing_locales: Any = None
    incoming_locales: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Begin(Composite):
    """Begins a session."""

    code = 0x11
    symbol = "amqp:begin:list"
    wire = (UShort, UInt, UInt, UInt, UInt, symbols, symbols, fields)

    remote_channel: int | None = None
    next_outgoing_id: int = 0
    incoming_window: int = 0
    outgoing_window: int = 0
    handle_max: int = 0xFFFFFFFF
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Source(Composite):
    """Where a link's messages come from."""

    code = 0x28
    symbol = "amqp:source:list"
    wire = (str, UInt, Symbol, UInt, bool, fields, Symbol, fields, as_is, symbols, symbols)

    address: str | None = None
    durable: int | None = None
    expiry_policy: str | None = None
    timeout: int | None = None
    dynamic: bool | None = None
    dynamic_node_properties: dict[str, Any] | None = None
    distribution_mode: str | None = None
    filters: dict[str, Any] | None = None
    default_outcome: Any = None
    outcomes: Any = None
    capabilities: Any = None


class Target(Composite):
    """Where a link's messages go."""

    code = 0x29
    symbol = "amqp:target:list"
    wire = (str, UInt, Symbol, UInt, bool, fields, symbols)

    address: str | None = None
    durable: int | None = None
    expiry_policy: str | None = None
    timeout: int | None = None
    dynamic: bool | None = None
    dynamic_node_properties: dict[str, Any] | None = None
    capabilities: Any = None


class Attach(Composite):
    """Attaches a link to a session."""

    code = 0x12
    symbol = "amqp:attach:list"
    wire = (
        str, UInt, bool, UByte, UByte, as_is, as_is, as_is, bool, UInt, ULong, symbols, symbols, fields,
    )  # fmt: skip

    name: str = ""
    handle: int = 0
    role: bool = False
    """True: the sender of this attach is the receiver."""
    snd_settle_mode: int = 2
    rcv_settle_mode: int = 0
    source: Source | None = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[str, Any] | None = None


class Flow(Composite):
    """Reports windows and credit."""

    code = 0x13
    symbol = "amqp:flow:list"
    wire = (UInt, UInt, UInt, UInt, UInt, UInt, UInt, UInt, bool, bool, fields)

    next_incoming_id: int | None = None
    incoming_window: int = 0
    next_outgoing_id: int = 0
    outgoing_window: int = 0
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False
    properties: dict[str, Any] | None = None


class Transfer(Composite):
    """Carries a message or a part of one."""

    code = 0x14
    symbol = "amqp:transfer:list"
    wire = (UInt, UInt, bytes, UInt, bool, bool, UByte, as_is, bool, bool, bool)

    handle: int = 0
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool = False
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


class Disposition(Composite):
    """Reports the state of deliveries."""

    code = 0x15
    symbol = "amqp:disposition:list"
    wire = (bool, UInt, UInt, bool, as_is, bool)

    role: bool = False
    first: int = 0
    last: int | None = None
    settled: bool = False
    state: Any = None
    batchable: bool = False


class Detach(Composite):
    """Ends a link."""

    code = 0x16
    symbol = "amqp:detach:list"
    wire = (UInt, bool, as_is)

    handle: int = 0
    closed: bool = False
    error: Error | None = None


class End(Composite):
    """Ends a session."""

    code = 0x17
    symbol = "amqp:end:list"
    wire = (as_is,)

    error: Error | None = None


class Close(Composite):
    """Ends a connection."""

    code = 0x18
    symbol = "amqp:close:list"
    wire = (as_is,)

    error: Error | None = None


class Received(Composite):
    """A delivery is under way; no end of it."""

    code = 0x23
    symbol = "amqp:received:list"
    wire = (UInt, ULong)

    section_number: int = 0
    section_offset: int = 0


class Accepted(Composite):
    """Taken; a broker's complete."""

    code = 0x24
    symbol = "amqp:accepted:list"
    wire = ()


class Rejected(Composite):
    """Refused; a broker's dead-letter."""

    code = 0x25
    symbol = "amqp:rejected:list"
    wire = (as_is,)

    error: Error | None = None


class Released(Composite):
    """Given back as if it had not been delivered."""

    code = 0x26
    symbol = "amqp:released:list"
    wire = ()


class Modified(Composite):
    """Given back with changes; a broker's abandon, or its defer when undeliverable here."""

    code = 0x27
    symbol = "amqp:modified:list"
    wire = (bool, bool, fields)

    delivery_failed: bool | None = None
    undeliverable_here: bool | None = None
    message_annotations: dict[str, Any] | None = None


State = Accepted | Rejected | Released | Modified | Received
"""What became of a delivery."""


class SaslMechanisms(Composite):
    """The mechanisms that the peer offers."""

    code = 0x40
    symbol = "amqp:sasl-mechanisms:list"
    wire = (symbols,)

    mechanisms: Any = ()


class SaslInit(Composite):
    """The mechanism that the client takes."""

    code = 0x41
    symbol = "amqp:sasl-init:list"
    wire = (Symbol, bytes, str)

    mechanism: str = ""
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslOutcome(Composite):
    """How the handshake ended; 0 is well."""

    code = 0x44
    symbol = "amqp:sasl-outcome:list"
    wire = (UByte, bytes)

    outcome: int = 0
    additional_data: bytes | None = None


class Header(Composite):
    """How a message is to be carried."""

    code = 0x70
    symbol = "amqp:header:list"
    wire = (bool, UByte, UInt, bool, UInt)

    durable: bool | None = None
    priority: int | None = None
    ttl: int | None = None
    """Milliseconds."""
    first_acquirer: bool | None = None
    delivery_count: int | None = None


class Properties(Composite):
    """A message's own properties."""

    code = 0x73
    symbol = "amqp:properties:list"
    wire = (
        as_is, bytes, str, str, str, as_is, Symbol, Symbol, Timestamp, Timestamp, str, UInt, str,
    )  # fmt: skip

    message_id: Any = None
    user_id: bytes | None = None
    to: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    correlation_id: Any = None
    content_type: str | None = None
    content_encoding: str | None = None
    absolute_expiry_time: int | None = None
    creation_time: int | None = None
    group_id: str | None = None
    group_sequence: int | None = None
    reply_to_group_id: str | None = None
