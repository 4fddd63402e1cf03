"""What an error of a Kafka broker means, as far as it is known."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from goldwire.targets.base import Unknown
from goldwire.targets.kafka.outcomes import outcome_of, reason_of

REFUSED = "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"
CUT = "sasl_plaintext://localhost:9092/bootstrap: Disconnected while requesting ApiVersion"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KafkaError(KafkaError._TRANSPORT, REFUSED), "nothing listens at the broker's address"),
        (KafkaError(KafkaError._TRANSPORT, CUT), "the broker cuts the connection"),
        (KafkaError(KafkaError._RESOLVE, "Failed to resolve"), "the host name of the broker is not known"),
        (KafkaError(KafkaError._AUTHENTICATION, "SASL authentication error"), "does not accept the credentials"),
        (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER), "has lost records that it had acknowledged"),
        (KafkaError(KafkaError._TRANSPORT, "something new"), "no broker answers (transport)"),
    ],
)
def test_a_cause_is_said_as_it_is_known_and_no_address_with_it(error: KafkaError, words: str) -> None:
    assert words in reason_of(error)
    assert "9092" not in reason_of(error)


def test_a_cause_that_is_not_known_is_not_guessed() -> None:
    assert reason_of(KafkaError(KafkaError._TRANSPORT, "something new")) == "no broker answers (transport)"


@pytest.mark.parametrize("code", [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID])
def test_a_broker_that_does_not_know_what_came_before_has_lost_it(code: int) -> None:
    outcome = outcome_of(KafkaError(code))
    assert isinstance(outcome, Unknown)
    assert outcome.lost


def test_an_outage_counts_no_attempt_and_an_unknown_answer_does() -> None:
    counted = {
        code: outcome_of(KafkaError(code)).counted  # type: ignore[union-attr]  # both have it
        for code in (KafkaError._TRANSPORT, KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT, KafkaError.UNKNOWN)
    }
    assert [code for code, is_counted in counted.items() if is_counted] == [KafkaError.UNKNOWN]
