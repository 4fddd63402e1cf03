from __future__ import annotations

from typing import Any

import pytest

from goldwire.targets.kafka.check import DescribedTopic, findings_of
from goldwire.targets.kafka.settings import KafkaSettings

SAFE = {"max.message.bytes": "1048588", "min.insync.replicas": "2", "cleanup.policy": "delete"}


def states(found: DescribedTopic, **settings: Any) -> dict[str, str]:
    findings = findings_of(found, KafkaSettings(bootstrap_servers=("b:1",), topic="golden", **settings), "message_bytes_max")
    return {finding.subject: finding.state for finding in findings}


def test_a_topic_as_it_should_be_needs_nothing() -> None:
    found = states(DescribedTopic(frozenset({"WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}), 3, SAFE))
    assert found == {"rights": "ok", "replicas": "ok", "message size": "ok"}


@pytest.mark.parametrize(
    ("operations", "state"),
    [({"DESCRIBE"}, "fix"), ({"WRITE", "DESCRIBE"}, "ok"), ({"WRITE", "DESCRIBE", "READ", "ALTER_CONFIGS"}, "note")],
)
def test_rights_are_write_and_nothing_more(operations: set[str], state: str) -> None:
    assert states(DescribedTopic(frozenset(operations), 3, SAFE))["rights"] == state


@pytest.mark.parametrize(
    ("told", "settings", "subject", "state"),
    [
        ({}, {"message_bytes_max": 2_000_000}, "message size", "fix"),
        ({"min.insync.replicas": "1"}, {}, "replicas in sync", "note"),
        ({"cleanup.policy": "compact,delete"}, {}, "clean-up", "note"),
    ],
)
def test_what_does_not_fit_is_said(told: dict[str, str], settings: dict[str, Any], subject: str, state: str) -> None:
    assert states(DescribedTopic(None, 3, {**SAFE, **told}), **settings)[subject] == state


def test_an_empty_record_after_a_deletion_suits_a_compacted_topic() -> None:
    assert "clean-up" not in states(DescribedTopic(None, 3, {**SAFE, "cleanup.policy": "compact"}), null_after_delete=True)


def test_what_is_not_told_is_not_praised() -> None:
    assert states(DescribedTopic()) == {"rights": "note", "topic's settings": "note"}
    assert states(DescribedTopic(None, 1, SAFE))["replicas"] == "note"
