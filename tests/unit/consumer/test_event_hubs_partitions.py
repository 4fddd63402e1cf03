"""When a subscription to Event Hubs says that nothing comes of what is there."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from goldwire_consumer.adapter.event_hubs_partitions import Partitions


class Context(NamedTuple):
    partition_id: str
    fully_qualified_namespace: str = "ns"
    eventhub_name: str = "customers"
    consumer_group: str = "billing"


def state(last: int, *, is_empty: bool = False) -> dict[str, Any]:
    return {"last_enqueued_sequence_number": last, "is_empty": is_empty}


def reached(partition_id: str, sequence_number: int) -> dict[str, Any]:
    return {"partition_id": partition_id, "sequence_number": sequence_number}


@pytest.mark.parametrize(
    ("starting_position", "checkpoints", "looks", "complains"),
    [
        ("-1", [], [state(4)], True),
        ("-1", [], [state(-1, is_empty=True)], False),
        ("-1", [], [state(4, is_empty=True)], False),
        ("-1", [reached("0", 3)], [state(4)], True),
        ("-1", [reached("0", 4)], [state(4)], False),
        ("-1", [reached("1", 4)], [state(4)], True),
        ("-1", None, [state(4)], False),
        ("-1", None, [state(4), state(5)], True),
        ("-1", None, [state(-1, is_empty=True), state(0)], True),
        ("@latest", [], [state(4)], False),
        ("@latest", [], [state(4), state(5)], True),
        ({"0": "-1"}, [], [state(4)], True),
        ({"1": "-1"}, [], [state(4)], False),
    ],
)
def test_a_partition_that_holds_what_must_come_is_named(
    caplog: pytest.LogCaptureFixture, starting_position: Any, checkpoints: Any, looks: list[Any], complains: bool
) -> None:
    partitions = Partitions(starting_position)
    partitions.give(Context("0"), checkpoints)
    for look in looks:
        partitions.complain(30)
        assert caplog.text == "", "what came in this moment may be on its way"
        partitions.look("0", look)
    partitions.complain(30)
    assert ("partitions 0 hold events" in caplog.text) is complains
    assert [record.name for record in caplog.records] == ["goldwire_consumer"] * complains


def test_nothing_is_said_once_an_event_came_or_the_partition_is_another_subscribers(caplog: pytest.LogCaptureFixture) -> None:
    partitions = Partitions("-1")
    partitions.give(Context("0"), [])
    partitions.look("0", state(4))
    partitions.take(Context("0"))
    partitions.look("0", state(5))
    partitions.complain(30)
    partitions.give(Context("0"), [])
    partitions.look("0", state(4))
    partitions.silent = False
    partitions.complain(30)
    assert caplog.text == ""
