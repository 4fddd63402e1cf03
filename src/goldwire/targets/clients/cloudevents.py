"""An event as CloudEvents 1.0 has it: its attributes, and one JSON object of them with the event as `data`.

Facts of the specification, https://github.com/cloudevents/spec/tree/v1.0.2: `spec.md` section 3 (attributes),
`formats/json-format.md` sections 3 and 4 (structured mode, batch), `extensions/` (partitioning, distributed tracing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Final

from goldwire.event.sealed import SealedEvent
from goldwire.targets.settings import about

STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
"""Content type of one event in structured mode."""

BATCH: Final = "application/cloudevents-batch+json; charset=utf-8"
"""Content type of an array of events."""

_PATH_SIGN = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_AUTHORITY = (
    r"//(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?(?=[/?#]|\Z)"
)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_URI_REFERENCE = re.compile(
    rf"(?:{_SCHEME}|(?![^/?#]*:))(?:{_AUTHORITY}|(?!//))"
    rf"(?:{_PATH_SIGN}|/)*(?:\?(?:{_PATH_SIGN}|[/?])*)?(?:\#(?:{_PATH_SIGN}|[/?])*)?"
)
"""`URI-reference` of RFC 3986, appendix A, but for the inside of an IP address in brackets."""

_HAS_SCHEME = re.compile(_SCHEME).match

CloudEventsSource = (
    Annotated[
        str,
        about(
            "`source` of CloudEvents, a URI reference; without it `/goldwire/` and the target's name. Each target needs one of "
            "its own, because `source` and `id` together name an event.",
            examples=["https://example.com/mdm"],
            advanced=True,
        ),
    ]
    | None
)

CloudEventsDataSchema = (
    Annotated[
        str,
        about(
            "`dataschema` of CloudEvents, a URI: where you publish what `goldwire schema TARGET` prints; else there is none.",
            examples=["https://example.com/schemas/customers-1.json"],
            advanced=True,
        ),
    ]
    | None
)


def check_uris(source: str | None, data_schema: str | None) -> None:
    """Check the two settings of CloudEvents.

    Raises:
        ValueError: one is not what its attribute has to be; the text names the setting.
    """
    # Section 3.1.1: a URI reference that is not empty. Readers drop or refuse an event without one.
    if source is not None and not _is_uri_reference(source):
        raise ValueError(
            "cloudevents_source must be a URI reference (RFC 3986), such as https://example.com/mdm or /mdm; "
            "percent-encode blanks and signs that are not ASCII, or leave it out"
        )
    if data_schema is not None and not (_is_uri_reference(data_schema) and _HAS_SCHEME(data_schema)):
        raise ValueError(
            "cloudevents_dataschema must be a URI (RFC 3986) with its scheme, such as https://example.com/customers.json; "
            "percent-encode blanks and signs that are not ASCII, or leave it out"
        )


def source_of(target: str, source: str | None) -> str:
    """Return the `source` of a target's events.

    Args:
        target: its name.
        source: of the settings.
    """
    return source or f"/goldwire/{target}"


def cloudevents_attributes(
    event: SealedEvent, *, id_: str, source: str, key: str, traceparent: str, data_schema: str | None = None
) -> dict[str, str]:
    """Return the attributes of an event but for `datacontenttype`; all are texts, and none is empty.

    They are made of the event and the target's settings alone, so that a resend has the same ones.
    Extensions are the documented `partitionkey` and `traceparent`, and headers and members of the wire format, by their names
    there as far as a name may be: lower-case letters and digits.

    Args:
        event: the event.
        id_: its message id.
        source: unique together with the id.
        key: its partition key.
        traceparent: its trace context.
        data_schema: a URI of the event's schema.
    """
    found = {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": f"goldwire.{event.event_type}",
        "dataschema": data_schema,
        "subject": f"{event.entity_type}.{event.event_type}",
        "time": event.timestamp,
        "partitionkey": key,
        "correlationid": event.correlation_id,
        "traceparent": traceparent,
        "classification": event.classification,
        "retentiondays": "" if event.retention_days is None else str(event.retention_days),
        "version": str(event.version),
        "hash": f"sha256:{event.hash.hex()}",
    }
    return {name: value for name, value in found.items() if value}


def structured(attributes: Mapping[str, str], body: bytes) -> bytes:
    """Return the JSON object of one event. Its own bytes stay as they were sealed: a reader may verify its hash from `data`.

    Args:
        attributes: as `cloudevents_attributes` returns them.
        body: the event.
    """
    head = json.dumps({**attributes, "datacontenttype": "application/json"}, ensure_ascii=False, separators=(",", ":"))
    return b"".join((head[:-1].encode(), b',"data":', body, b"}"))


def _is_uri_reference(text: str) -> bool:
    return bool(text) and _URI_REFERENCE.fullmatch(text) is not None
