"""What an error of a Kafka broker or of librdkafka means for the record it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldwire.target.base import Outcome, Throttled, Unavailable, Unknown

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

OF_THE_BATCH = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"})
"""Refused for its content, but a broker refuses a batch as a whole: whose fault it is shows when each goes alone."""

TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})

_NOT_WRITTEN = {
    "TOPIC_AUTHORIZATION_FAILED": "the user may not write to the topic; grant it Write on the topic",
    "CLUSTER_AUTHORIZATION_FAILED": "the user may not write idempotently; grant it Write on the topic or IdempotentWrite",
    "SASL_AUTHENTICATION_FAILED": "the broker does not accept the credentials; mend them",
    "_AUTHENTICATION": "the broker does not accept the credentials; mend them",
    "UNKNOWN_TOPIC_OR_PART": "the topic does not exist; create it",
    "_UNKNOWN_TOPIC": "the topic does not exist; create it",
    "_UNKNOWN_PARTITION": "the topic has lost a partition; look at the cluster",
    "TOPIC_EXCEPTION": "the topic's name is not valid; mend topic",
    "NOT_ENOUGH_REPLICAS": "too few replicas are in sync",
    "UNSUPPORTED_COMPRESSION_TYPE": "the broker does not take this compression; mend compression",
    "POLICY_VIOLATION": "a policy of the cluster forbids it",
    "_QUEUE_FULL": "the client's own queue is full",
}
"""Errors that the broker answers instead of writing, or with which the client does not even send.

Source: the table of error codes in the Kafka protocol guide; names as librdkafka has them. Errors that a later try may mend are
tried again by the client and end as a time-out, so they do not come up here.
"""


def outcome_of(error: KafkaError, *, first_try: bool) -> Outcome:
    """Return what to tell the relay; what is not known for certain is Unknown.

    Args:
        error: of the record.
        first_try: the client certainly sent the record once only. If it tried again, an earlier try may have been written, and
            the refusal is about the later one; the client knows, but its Python part does not tell.
    """
    name = error.name()
    if not first_try:
        return Unknown(f"a connection broke, and then: {_NOT_WRITTEN.get(name, _plain(name))}")
    if name == "THROTTLING_QUOTA_EXCEEDED":
        return Throttled()
    if name in _NOT_WRITTEN:
        return Unavailable(_NOT_WRITTEN[name])
    if name == "_MSG_TIMED_OUT":
        return Unknown("no word from the broker in time")
    return Unknown(f"the client gave up: {_plain(name)}")


def reason_of(error: KafkaError | None) -> str:
    """Return why a cluster cannot be used, for people."""
    if error is None:
        return "no broker answers"
    return _NOT_WRITTEN.get(error.name(), f"no broker answers ({_plain(error.name())})")


def _plain(name: str) -> str:
    return name.strip("_").lower().replace("_", " ")


def is_for_people(error: KafkaError) -> bool:
    """Say whether waiting mends nothing: somebody must change a setting, a right or the cluster."""
    return error.name() in {
        "TOPIC_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "_AUTHENTICATION",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_TOPIC",
        "TOPIC_EXCEPTION",
    }
