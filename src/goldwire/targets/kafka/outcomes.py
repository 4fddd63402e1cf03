"""What an error of a Kafka broker or of librdkafka means for the record it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire.targets.base import Outcome, Unavailable, Unknown

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

OF_THE_BATCH = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"})
"""Refused for its content, but a broker refuses a batch as a whole: sending each alone shows the one at fault."""

TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})

_CREDENTIALS = "the broker does not accept the credentials; mend them, or sasl where it wants another mechanism"
_NO_TOPIC = "the topic does not exist; create it"

LOSS = frozenset({"OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID"})
"""The broker does not know what came before although it acknowledged that: idempotent producers number what they write."""

_LOST = (
    "the broker has lost records that it had acknowledged, as after a lost disk or an election of a replica that was behind "
    "(out of order sequence)"
)

_OUTAGES = {
    "_RESOLVE": "the host name of the broker is not known",
    "_TIMED_OUT": "the broker gives no answer in time",
    "_ALL_BROKERS_DOWN": "none of the brokers can be reached",
}

_CAUSES = (
    ("connection refused", "nothing listens at the broker's address"),
    ("network is unreachable", "there is no route to the broker"),
    ("no route to host", "there is no route to the broker"),
    ("connection setup timed out", "connecting to the broker took too long"),
    ("timed out", "the broker gives no answer in time"),
    ("disconnected", "the broker cuts the connection; one that wants TLS or SASL does so where the settings say otherwise"),
)
"""Marks in librdkafka's own words, which hold addresses, and what they say."""

_FOR_PEOPLE = {
    "TOPIC_AUTHORIZATION_FAILED": "the user may not write to the topic; grant it Write on the topic",
    "CLUSTER_AUTHORIZATION_FAILED": "the user may not write idempotently; grant it Write on the topic or IdempotentWrite",
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "_AUTHENTICATION": _CREDENTIALS,
    "_SSL": "no TLS with the broker; mostly its certificate is not trusted: name its authority in ca_file. Some brokers also "
    "want a certificate of ours, see certificate_file",
    "UNKNOWN_TOPIC_OR_PART": _NO_TOPIC,
    "_UNKNOWN_TOPIC": _NO_TOPIC,
    "TOPIC_EXCEPTION": "the topic's name is not valid; mend topic",
}
"""Waiting mends nothing: a person must change a setting, a right or the cluster.

Source: the table of error codes in the Kafka protocol guide; names as librdkafka has them.
"""

_NEVER_WRITTEN = {
    "_QUEUE_FULL": "the client's own queue is full",
    "TOPIC_EXCEPTION": _FOR_PEOPLE["TOPIC_EXCEPTION"],
    "UNSUPPORTED_COMPRESSION_TYPE": "the broker does not take this compression; mend compression",
}
"""Not handed to the client, or refused for what the request says, so that no try of the same can have been taken."""


_REFUSED_NOW = {
    "POLICY_VIOLATION": "a policy of the cluster forbids it",
    "NOT_ENOUGH_REPLICAS": "too few replicas are in sync",
    "THROTTLING_QUOTA_EXCEEDED": "a quota of the cluster is used up",
}
"""Refused by the broker at this try; an earlier one may have been taken."""


def outcome_of(error: KafkaError) -> Outcome:
    """Return the outcome for the relay; what is not known for certain is Unknown.

    A refusal for a right, a quota or a missing topic is about the moment. The client may have sent the record before, on a
    connection that broke before the answer or to replicas that were late, and then it may be written. The client knows; its
    Python part reports neither that nor that a connection broke.
    """
    name = error.name()
    if name in LOSS:
        return Unknown(_LOST, lost=True)
    if name in _NEVER_WRITTEN:
        return Unavailable(_NEVER_WRITTEN[name])
    if name in _FOR_PEOPLE:
        return Unknown(_FOR_PEOPLE[name])
    if name in _REFUSED_NOW:
        return Unknown(_REFUSED_NOW[name])
    if name == "_MSG_TIMED_OUT":
        return Unknown("no word from the broker in time")
    # The broker's answer to what it has no code for is about this request; all others are about the moment.
    return Unknown(f"the client gave up: {_plain(name)}", counted=name == "UNKNOWN")


def reason_of(error: KafkaError) -> str:
    """Return why a cluster cannot be used, for people: what is known of it, and no guess."""
    name, words = error.name(), error.str().lower()
    if name in LOSS:
        return _LOST
    if name in _FOR_PEOPLE:
        return _FOR_PEOPLE[name]
    cause = next((said for mark, said in _CAUSES if mark in words), None) or _OUTAGES.get(name)
    return f"no broker answers ({_plain(name)}){f': {cause}' if cause else ''}"


def is_for_people(error: KafkaError) -> bool:
    """Return whether waiting mends nothing: a person must change a setting, a right or the cluster."""
    return error.name() in _FOR_PEOPLE


def _plain(name: str) -> str:
    return name.strip("_").lower().replace("_", " ")
