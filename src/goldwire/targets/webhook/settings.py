"""How a `webhook` target is configured."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import field

from goldwire.targets.clients.cloudevents import CloudEventsDataSchema, CloudEventsSource, check_uris
from goldwire.targets.clients.http import is_loopback
from goldwire.targets.settings import Settings, about
from goldwire.targets.webhook.signature import Signer


class WebhookSettings(Settings, frozen=True):
    """Where and how a `webhook` target posts."""

    url: Annotated[
        str,
        about("Where to POST.", examples=["https://example.com/golden", "${env:RECEIVER_URL}"], url=True, pattern="^https?://"),
    ]
    batch: Annotated[
        Literal["single", "array"], about("`single`: one event a request; `array`: a JSON array of events a request.")
    ] = "single"
    envelope: Annotated[
        Literal["event", "cloudevents-structured", "cloudevents-binary", "cloudevents-batch"],
        about(
            "`event`: the body is the event as sealed. `cloudevents-structured`: a CloudEvents 1.0 object with the event as "
            "`data`. `cloudevents-binary`: the body is the event, the CloudEvents attributes are headers. `cloudevents-batch`: "
            "a JSON array of such objects, at most `array_size`."
        ),
    ] = "event"
    cloudevents_source: CloudEventsSource = None
    cloudevents_dataschema: CloudEventsDataSchema = None
    array_size: Annotated[int, about("The most events in one array.", ge=1, le=1_000)] = 100
    answer: Annotated[
        Literal["status", "results"],
        about(
            "`status`: any 2xx means that all events of the request are taken. `results`: a 2xx must carry "
            '{"results":[{"status":"ok"},…]}, one for each event, of ok, duplicate, rejected, throttled or unavailable.'
        ),
    ] = "status"
    on_conflict: Annotated[
        Literal["reject", "duplicate"],
        about("What 409 means: the event is refused, or the receiver held this version or a newer one already."),
    ] = "reject"
    on_page: Annotated[
        Literal["unknown", "delivered"],
        about(
            "What a web page with a 2xx means, where `answer` is `status`: `unknown`, so that the event is sent again, because "
            "log-in pages and wrong addresses answer so; `delivered`, for a receiver that really answers in HTML.",
            advanced=True,
        ),
    ] = "unknown"
    signing_secrets: Annotated[
        tuple[str, ...],
        about(
            "Each `whsec_` and base64. Several while the receiver moves from one to the next: it accepts any signature.",
            examples=[["${env:WEBHOOK_SECRET}"]],
            secret=True,
        ),
    ] = ()
    bearer_token: Annotated[str | None, about("Sent as `Authorization: Bearer …`.", secret=True)] = None
    headers: Annotated[dict[str, str], about("Further headers.", examples=[{"x-api-key": "${env:KEY}"}], secret=True)] = field(
        default_factory=dict
    )
    idempotency_header: Annotated[
        str | None, about("Header that repeats the webhook-id, for receivers that look there.", examples=["Idempotency-Key"])
    ] = None
    connections: Annotated[int, about("Requests of one send that are under way at once.", ge=1, le=1_000)] = 16
    timeout_seconds: Annotated[float, about("For one request, from connecting to the last byte of the answer.", gt=0)] = 20.0
    connect_timeout_seconds: Annotated[float, about("For connecting alone.", gt=0, advanced=True)] = 5.0
    answer_limit_bytes: Annotated[int, about("A longer answer counts as none.", ge=1_000, advanced=True)] = 1_000_000
    plain_http: Annotated[
        bool, about("Allow http:// to another machine: everything can then be read on the way.", advanced=True)
    ] = False
    ca_file: Annotated[
        str | None,
        about("PEM file of certificate authorities to trust beside those of this machine.", advanced=True, path=True),
    ] = None
    certificate_file: Annotated[
        str | None,
        about(
            "PEM file of the client certificate, for a receiver that asks for one (mutual TLS): first the certificate itself, "
            "then those that lead to its authority.",
            examples=["certificates/goldwire.pem"],
            path=True,
        ),
    ] = None
    key_file: Annotated[
        str | None, about("PEM file of that certificate's key; without it the key is in `certificate_file`.", path=True)
    ] = None
    key_password: Annotated[
        str | None, about("Opens the key, where it is encrypted.", examples=["${env:WEBHOOK_KEY_PASSWORD}"], secret=True)
    ] = None

    def __post_init__(self) -> None:
        if self.url.startswith("http://") and not self.plain_http and not is_loopback(self.url):
            raise ValueError("url must begin with https://, unless plain_http is true")
        if self.batch == "array" and self.envelope in {"cloudevents-structured", "cloudevents-binary"}:
            raise ValueError(
                f"batch: array does not go with envelope: {self.envelope}; several CloudEvents a request are "
                "envelope: cloudevents-batch"
            )
        if self.certificate_file is None and (self.key_file is not None or self.key_password is not None):
            raise ValueError("key_file and key_password need certificate_file")
        if self.certificate_file is not None and not self.url.startswith("https://"):
            raise ValueError("certificate_file is shown over https:// alone; mend url, or remove certificate_file")
        check_uris(self.cloudevents_source, self.cloudevents_dataschema)
        Signer(self.signing_secrets)
        token = self.bearer_token or ""
        if not (token.isascii() and token.isprintable()):
            raise ValueError("bearer_token has characters that a header cannot carry, such as a line break")
        for name, value in self.headers.items():
            if not _is_header(name) or not (value.isascii() and value.isprintable()):
                raise ValueError("headers: a name or a value has characters that a header cannot carry")

    @property
    def in_arrays(self) -> bool:
        """Whether one request carries several events."""
        return self.batch == "array" or self.envelope == "cloudevents-batch"


def _is_header(name: str) -> bool:
    return bool(name) and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
