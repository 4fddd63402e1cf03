"""What Event Hubs and Service Bus have in common: where a namespace is, who we are, and what their errors mean."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Struct

from goldwire.clock import timestamp
from goldwire.errors import ConfigError
from goldwire.targets.base import Finding, Outcome, Throttled, Unavailable, Unknown
from goldwire.targets.clients.backplane import BackplaneSettings
from goldwire.targets.clients.extras import require
from goldwire.targets.settings import about

if TYPE_CHECKING:
    from azure.core.credentials import AzureSasCredential
    from azure.core.credentials_async import AsyncTokenCredential

BUSY_SECONDS = 4.0
"""How long the SDKs wait after `server-busy`; the services name no time of their own."""

_SILENCE = logging.NullHandler()

TOO_LARGE = "amqp:link:message-size-exceeded"

OF_THE_CONTENT = frozenset(
    {
        TOO_LARGE,
        "amqp:decode-error",
        "amqp:invalid-field",
        "com.microsoft:argument-error",
        "com.microsoft:argument-out-of-range",
    }
)
"""Refused for its content, but the service refuses a batch as a whole: sending each alone shows the one at fault."""

_REFUSED: dict[str, Outcome] = {
    "com.microsoft:server-busy": Throttled(BUSY_SECONDS),
    "amqp:resource-limit-exceeded": Unavailable("a quota is used up, since no consumer reads; look at the entity's size"),
    "com.microsoft:entity-disabled": Unavailable("the entity is disabled; enable it"),
    "amqp:unauthorized-access": Unavailable("the service does not let us send; grant Send, or mend the credential"),
    "com.microsoft:auth-failed": Unavailable("the service does not let us send; grant Send, or mend the credential"),
    "amqp:not-found": Unavailable("the entity does not exist; create it, or mend its name"),
    "amqp:not-allowed": Unavailable(
        "the entity does not allow it: mostly it has sessions, and the settings say that it has none"
    ),
    "com.microsoft:operation-cancelled": Unavailable("the service cancelled it"),
}


def host_of(namespace: str | None) -> str:
    """Return a namespace's full name; empty where there is none, and only a connection string knows it."""
    name = (namespace or "").removeprefix("sb://").strip("/")
    return name if "." in name or not name else f"{name}.servicebus.windows.net"


def _namespace_of(settings: Mapping[str, Any]) -> str:
    """Return the full name of the namespace that settings mean, also from a connection string; else nothing.

    As the SDKs do, whatever scheme stands before it is passed over; a service's own ports all lead to the same.
    """
    for name, pattern in (("namespace", _HOST), ("connection_string", _ENDPOINT)):
        found = pattern.search(settings[name]) if isinstance(settings[name], str) else None
        if found:
            host, port = host_of(found["host"]), found["port"]
            return host if port in _PORTS else f"{host}:{port}"
    return ""


_HOST = re.compile(r"^\s*(?:[a-z]+://)?(?P<host>[^/:;\s]+)(?::(?P<port>\d+))?", re.IGNORECASE)
_ENDPOINT = re.compile(r"(?:^|;)\s*Endpoint\s*=" + _HOST.pattern.removeprefix("^"), re.IGNORECASE)
_PORTS = frozenset((None, "443", "5671", "5672", "9093"))


class AzureSettings(BackplaneSettings, frozen=True, kw_only=True):
    """How a namespace of Event Hubs or Service Bus is reached."""

    namespace: Annotated[
        str | None,
        about(
            "The namespace, with or without `.servicebus.windows.net`; not needed beside `connection_string`.",
            examples=["mdm-prod"],
            destination=_namespace_of,
        ),
    ] = None
    connection_string: Annotated[
        str | None, about("With a key or a SAS token of a policy that has Send and nothing else.", secret=True)
    ] = None
    sas_token: Annotated[
        str | None, about("`SharedAccessSignature sr=…`: another program makes it, and it expires.", secret=True)
    ] = None
    identity: Annotated[
        Literal["default", "managed"],
        about(
            "Who we are to Entra where neither `connection_string` nor `sas_token` is given: `default`, whatever "
            "DefaultAzureCredential finds; `managed`, the machine's managed identity alone."
        ),
    ] = "default"
    managed_identity_client_id: Annotated[
        str | None, about("Which one, where a machine has several user-assigned identities.", advanced=True)
    ] = None
    transport: Annotated[Literal["amqp", "websocket"], about("`websocket`: AMQP through port 443, where 5671 is closed.")] = (
        "amqp"
    )
    endpoint_address: Annotated[
        str | None,
        about(
            "Connect to this address instead of the namespace's own, e.g. a gateway's; the name is still the namespace's.",
            examples=["sb://gateway.example:5671"],
            advanced=True,
        ),
    ] = None
    ca_file: Annotated[
        str | None, about("PEM file of certificate authorities to trust instead of the usual.", advanced=True, path=True)
    ] = None
    timeout_seconds: Annotated[
        float, about("Without the service's word by then, the outcome of a batch is unknown.", gt=0.1, le=3_600)
    ] = 20.0
    connect_timeout_seconds: Annotated[float, about("For connecting and authenticating.", gt=0.1)] = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.connection_string is not None and self.sas_token is not None:
            raise ValueError("set connection_string or sas_token, not both")
        if self.connection_string is None and not self.namespace:
            raise ValueError("set namespace, or connection_string")

    @property
    def host(self) -> str:
        """The namespace's full name; empty where only the connection string knows it."""
        return host_of(self.namespace)


def new_credential(settings: AzureSettings, name: str) -> AsyncTokenCredential | AzureSasCredential:
    """Return what authenticates where there is no connection string; nothing is asked for yet.

    Raises:
        ConfigError: a package is not installed.
    """
    _silence()
    used_by = f"target '{name}'"
    if settings.sas_token is not None:
        made: AzureSasCredential = require("azure.core.credentials", extra="azure", used_by=used_by).AzureSasCredential(
            settings.sas_token
        )
        return made
    identity: Any = require("azure.identity.aio", extra="azure", used_by=used_by)
    client_id = settings.managed_identity_client_id
    if settings.identity == "managed":
        found: AsyncTokenCredential = identity.ManagedIdentityCredential(**({"client_id": client_id} if client_id else {}))
    else:
        found = identity.DefaultAzureCredential(managed_identity_client_id=client_id)
    return found


def new_blob_credential(settings: AzureSettings, name: str) -> Any:
    """Return what authenticates to blobs as Entra knows us; for a client that blocks. Nothing is asked for yet.

    Raises:
        ConfigError: a package is not installed.
    """
    _silence()
    identity: Any = require("azure.identity", extra="azure", used_by=f"target '{name}'")
    client_id = settings.managed_identity_client_id
    if settings.identity == "managed":
        return identity.ManagedIdentityCredential(**({"client_id": client_id} if client_id else {}))
    return identity.DefaultAzureCredential(managed_identity_client_id=client_id)


def sas_end(settings: AzureSettings) -> float | None:
    """Return when the SAS token of the settings ends, in POSIX seconds; None where there is none or it does not say."""
    found = _SAS_END.search(settings.sas_token or settings.connection_string or "")
    return float(found[1]) if found else None


def sas_findings(settings: AzureSettings) -> list[Finding]:
    """Return the finding of a check about a SAS token that ends."""
    end = sas_end(settings)
    return [] if end is None else [Finding("credential", "note", f"the SAS token ends at {timestamp(end)}; renew it before")]


_SAS_END = re.compile(r"SharedAccessSignature .*?\bse=(\d{1,11})\b")


def client_options(settings: AzureSettings, transport_type: Any) -> dict[str, Any]:
    """Return the options of an SDK's client: it tries once, because trying again is the relay's work.

    Args:
        settings: checked.
        transport_type: the SDK's own enumeration.
    """
    websocket = settings.transport == "websocket"
    _silence()
    options: dict[str, Any] = {
        "retry_total": 0,
        "retry_backoff_factor": 0,
        "transport_type": transport_type.AmqpOverWebsocket if websocket else transport_type.Amqp,
    }
    if settings.endpoint_address is not None:
        options["custom_endpoint_address"] = settings.endpoint_address
    if settings.ca_file is not None:
        options["connection_verify"] = settings.ca_file
    return options


def _silence() -> None:
    # What goes wrong comes back as an outcome. A user who wants the SDKs' own log lines sets up logging; else they stay silent.
    logging.getLogger("azure").addHandler(_SILENCE)


class Refusal(Struct, frozen=True):
    """What an SDK's error means for a batch."""

    outcome: Outcome
    condition: str | None
    """The service's own, where it refused the batch; None where that is not certain."""


def refusal_of(error: BaseException) -> Refusal:
    """Read an SDK's error: only the service's answer to the message itself is certain.

    The SDKs wrap errors, and Event Hubs' tries a second time within one call. All that happened is in the chain of contexts;
    if any of it is not an answer to the message, the message may be written.
    """
    conditions = list(_answers(error))
    if not conditions or None in conditions:
        return Refusal(Unknown(f"no certain answer ({kind_of(error)})"), None)
    condition = str(conditions[0])
    known = _REFUSED.get(condition)
    if known is None and condition not in OF_THE_CONTENT:
        return Refusal(Unknown(f"no certain answer ({condition})"), None)
    return Refusal(known or Unavailable(f"refused ({condition})"), condition)


def kind_of(error: BaseException) -> str:
    """Return what kind of error it is, for people: the service's condition, or else the innermost error's type.

    An error's text is not used: it may repeat what was sent.
    """
    inner = type(error).__name__
    for one in _chain(error):
        condition = _condition(one)
        if condition:
            return condition
        if not isinstance(one, KeyError | AttributeError):
            inner = type(one).__name__
    return inner


def reason_of(error: BaseException) -> str:
    """Return why a namespace or an entity cannot be used, for people, with what to mend."""
    kind = kind_of(error)
    known = _REFUSED.get(kind)
    if isinstance(known, Unavailable):
        return known.reason
    names = {type(one).__name__ for one in _chain(error)}
    if names & _UNTRUSTED:
        return "the certificate of the service is not trusted; name its authority in ca_file"
    if names & {"ClientAuthenticationError", "CredentialUnavailableError"}:
        return "no token can be had; mend the credential of this machine"
    if is_forbidden(error):
        return "the service does not accept the credential for this entity; mend it, or grant Send"
    return f"not reachable ({_obstacle(error) or kind})"


def _obstacle(error: BaseException) -> str:
    """Return what kept a connection from being made, as far as the system or the other side says; else nothing.

    Numbers alone are read, see `kind_of`.
    """
    for one in reversed(list(_chain(error))):
        if isinstance(one, socket.gaierror):
            return f"its name has no address; {_MEND_THE_ADDRESS}"
        if type(one).__name__ == "WSServerHandshakeError":
            return f"what answers is no namespace, HTTP status {getattr(one, 'status', 0)}; {_MEND_THE_ADDRESS}"
        if isinstance(one, OSError) and not isinstance(one, ssl.SSLError) and one.errno:
            return os.strerror(one.errno)
    return ""


_MEND_THE_ADDRESS = "mend namespace or endpoint_address"


_UNTRUSTED = frozenset({"SSLCertVerificationError", "ClientConnectorCertificateError"})

_FORBIDDEN = frozenset({"AuthenticationError", "ServiceBusAuthenticationError", "ServiceBusAuthorizationError"})


def is_forbidden(error: BaseException) -> bool:
    """Say whether the service refused because the credential must not do that.

    The SDKs (5.15, 7.15) say so too where no connection is made to an `endpoint_address` over WebSockets, whatever the cause.
    """
    names = {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}
    return (
        kind_of(error) in {"amqp:unauthorized-access", "com.microsoft:auth-failed"}
        or "TokenAuthFailure" in names
        or bool(names & _FORBIDDEN and "ClientConnectorError" not in names)
    )


def is_for_people(error: BaseException) -> bool:
    """Say whether waiting mends nothing: an entity, a credential, a right or trust is missing."""
    names = {type(one).__name__ for one in _chain(error)}
    return kind_of(error) in {"amqp:not-found", "amqp:unauthorized-access", "com.microsoft:auth-failed"} or bool(
        names & {"TokenAuthFailure", "CredentialUnavailableError", *_UNTRUSTED}
    )


def explained(error: BaseException, what: str, reason: str | None = None) -> ConfigError | ConnectionError:
    """Return what `open` raises.

    Args:
        error: the SDK's.
        what: target and entity, as the text begins.
        reason: where more is known than the error says.
    """
    text = f"{what}: {reason or reason_of(error)}"
    return ConfigError(text) if is_for_people(error) else ConnectionError(text)


def _answers(error: BaseException) -> Iterator[str | None]:
    for one in _chain(error):
        kinds = {kind.__name__ for kind in type(one).__mro__}
        if "MessageException" in kinds:
            condition = _condition(one)
            yield condition if condition not in _OF_THE_CLIENT else None
        elif not kinds & {"EventHubError", "ServiceBusError", "KeyError", "AttributeError"}:
            yield None


_OF_THE_CLIENT = frozenset({"amqp:unknown-error", "amqp:client-error", "amqp:socket-error", ""})
"""Conditions that the SDKs make up themselves where the service said nothing."""


def _condition(error: BaseException) -> str:
    """Return the AMQP condition of an error of the SDKs' protocol library; empty for others."""
    found: Any = getattr(error, "condition", None)
    found = getattr(found, "value", found)
    return found.decode() if isinstance(found, bytes) else found if isinstance(found, str) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it, from the outermost to the first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
