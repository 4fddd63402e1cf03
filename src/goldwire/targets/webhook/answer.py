"""What a receiver's answer means for the events that were sent. It passes on nothing of the body but the outcomes."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from goldwire.targets.base import DELIVERED, Delivered, Duplicate, Outcome, Rejected, Throttled, Unavailable, Unknown
from goldwire.targets.clients.http import Reply, retry_after_seconds

SPEAKS_OF_THE_BODY = frozenset({400, 409, 413, 422})
"""Refusals of what was sent. Every other 4xx is about the address, the credentials or the moment: it would hit every event."""

_REMOTE_ID_CHARACTERS = 512

_FIELDS_BYTES = 64 * 1024

_PAGE_BEGINNINGS = (b"<!doctype html", b"<html")


class _Result(Struct):
    status: str
    id: str | None = None


class _Results(Struct):
    results: list[_Result]


_decode = msgspec.json.Decoder(_Results).decode


def outcomes_of(
    reply: Reply, count: int, *, now: float, expects_results: bool, on_conflict: str, on_page: str
) -> list[Outcome]:
    """Return an outcome for each event of a request.

    Args:
        reply: the answer.
        count: how many events were sent.
        now: POSIX seconds.
        expects_results: a 2xx must list an outcome for each event.
        on_conflict: what 409 means: `duplicate` or `reject`.
        on_page: what a web page means that comes with 2xx: `unknown` or `delivered`.
    """
    if 200 <= reply.status < 300:  # noqa: PLR2004 - RFC 9110
        if expects_results:
            return _results(reply, count)
        if on_page == "unknown" and _is_page(reply):
            return [Unknown(f"a web page answers, no receiver: {reply.described()}; mend `url`, or set `on_page`")] * count
        return [DELIVERED] * count
    if reply.status == 400 and _wants_certificate(reply):  # noqa: PLR2004
        reason = f"the receiver does not accept the client certificate; mend `certificate_file`: {reply.described()}"
        return [Unavailable(reason)] * count
    return [_refusal(reply, now, on_conflict)] * count


def named_fields(reply: Reply, known: Collection[str]) -> list[str]:
    """Return which of these attributes a refusal names as the ones at fault; of its body no other word is taken over.

    Looked at are the names of members and whole texts of JSON, e.g. `{"errors": {"email": …}}`, `{"field": "email"}` and the
    JSON pointers of RFC 9457.
    """
    try:
        document = msgspec.json.decode(reply.body[:_FIELDS_BYTES])
    except (msgspec.DecodeError, RecursionError):
        return []
    found: set[str] = set()
    waiting: list[Any] = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found.update(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str):
            found.add(re.split(r"[/.]", one)[-1])
    return sorted(found & set(known))


def _is_page(reply: Reply) -> bool:
    """Distinguish a page from a receiver whose `ok` merely has the media type text/html, as in many frameworks."""
    return reply.body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_BEGINNINGS)


def _wants_certificate(reply: Reply) -> bool:
    """Recognise nginx, which answers 400 with a page of its own to a client certificate that is missing or not accepted.

    The page's words are those for its codes 495 and 496 (src/http/ngx_http_special_response.c).
    """
    return _is_page(reply) and b" SSL certificate " in reply.body[:1000]


def _refusal(reply: Reply, now: float, on_conflict: str) -> Outcome:
    described, status = reply.described(), reply.status
    wait_seconds = retry_after_seconds(reply, now)
    if status == 429 or (status == 503 and wait_seconds is not None):  # noqa: PLR2004 - RFC 6585, RFC 9110
        return Throttled(wait_seconds)
    if status == 409 and on_conflict == "duplicate":  # noqa: PLR2004
        return Duplicate()
    if status in SPEAKS_OF_THE_BODY:
        return Rejected(f"the receiver refuses the event: {described}")
    if status >= 500 or status == 408:  # noqa: PLR2004
        return Unknown(f"the receiver failed: {described}", counted=status > _LAST_REGISTERED)
    if status in _HINTS:
        return Unavailable(f"{_HINTS[status]}: {described}")
    return Unavailable(f"the receiver refuses the request with a code of its own: {described}", counted=True)


GONE = 410
"""The receiver wants nothing more: the target stops."""

_LAST_REGISTERED = 511
"""The highest code that RFC 6585 and the register of IANA know; those above are a proxy's or a receiver's own."""

_OF_ALL_REQUESTS = (402, 406, 411, 412, 414, 415, 416, 417, 421, 423, 424, 425, 426, 428, 431, 451)

_HINTS = {
    **dict.fromkeys(range(300, 400), "the receiver redirects, which is not followed; set `url` to its final address"),
    401: "the receiver does not accept the credentials; mend `bearer_token`, `headers` or `signing_secrets`",
    403: "the receiver does not accept the credentials; mend `bearer_token`, `headers` or `signing_secrets`",
    404: "no receiver answers at this address; mend `url`",
    405: "no receiver takes a POST at this address; mend `url`",
    407: "the proxy asks for credentials",
    GONE: "the receiver is gone for good; mend `url`, or remove the target",
    **dict.fromkeys(_OF_ALL_REQUESTS, "the receiver refuses the request"),
}
"""What would hit every event: it kills none."""


def _results(reply: Reply, count: int) -> list[Outcome]:
    try:
        results = _decode(reply.body).results
    except msgspec.DecodeError:
        return [Unknown(f"no results in the answer: {reply.described()}")] * count
    if len(results) != count:
        return [Unknown(f"the results do not match the events, {len(results)} for {count}: {reply.described()}")] * count
    return [_result(result) for result in results]


def _result(result: _Result) -> Outcome:
    remote_id = result.id if result.id is None or len(result.id) <= _REMOTE_ID_CHARACTERS else None
    match result.status:
        case "ok":
            return Delivered(remote_id)
        case "duplicate":
            return Duplicate(remote_id)
        case "rejected":
            return Rejected("the receiver's result for this event is: rejected")
        case "throttled":
            return Throttled()
        case "unavailable":
            return Unavailable("the receiver's result for this event is: unavailable")
        case _:
            return Unknown("the receiver's result for this event is none of ok, duplicate, rejected, throttled, unavailable")
