"""Microsoft's Config.json: read as it is, and refused with the place that is wrong."""

from __future__ import annotations

import json

import pytest

from goldwire_emulator.broker.config import objections, parse_config, read_config
from goldwire_emulator.broker.durations import milliseconds
from goldwire_emulator.errors import InputError


def bus(queues=(), topics=()):
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": list(queues), "Topics": list(topics)}]}}


def hubs(*entities):
    return {"UserConfig": {"NamespaceConfig": [{"Type": "EventHub", "Name": "emulatorNs1", "Entities": list(entities)}]}}


QUEUE = {
    "Name": "queue.1",
    "Properties": {
        "DeadLetteringOnMessageExpiration": False,
        "DefaultMessageTimeToLive": "PT1H",
        "DuplicateDetectionHistoryTimeWindow": "PT20S",
        "ForwardDeadLetteredMessagesTo": "",
        "ForwardTo": "",
        "LockDuration": "PT1M",
        "MaxDeliveryCount": 3,
        "RequiresDuplicateDetection": True,
        "RequiresSession": False,
    },
}
RULES = [
    {
        "Name": "by-properties",
        "Properties": {
            "FilterType": "Correlation",
            "CorrelationFilter": {"ContentType": "application/text", "Label": "subject1", "Properties": {"prop3": "value3"}},
        },
    },
    {
        "Name": "by-sql",
        "Properties": {
            "FilterType": "Sql",
            "SqlFilter": {"SqlExpression": "sys.MessageId = '123456' AND userProp1 = 'value1'"},
            "Action": {"SqlExpression": "SET sys.To = 'Entity'"},
        },
    },
]


def test_the_shape_of_microsoft_s_service_bus_file_is_read():
    topic = {"Name": "topic.1", "Subscriptions": [{"Name": "subscription.1", "Rules": RULES}]}
    config = parse_config(json.dumps({**bus([QUEUE], [topic]), "$schema": "x"}))
    queue = config.queues[0]
    assert (queue.name, queue.lock_ms, queue.max_delivery_count, queue.duplicate_window_ms) == ("queue.1", 60_000, 3, 20_000)
    correlation, sql = config.topics[0].subscriptions[0].rules
    assert correlation.correlation.system == {"content_type": "application/text", "label": "subject1"}
    assert correlation.correlation.application == {"prop3": "value3"}
    assert (sql.sql[:13], sql.action) == ("sys.MessageId", "SET sys.To = 'Entity'")
    assert objections(config) == []


def test_the_shape_of_microsoft_s_event_hubs_file_is_read():
    config = parse_config(json.dumps(hubs({"Name": "eh1", "PartitionCount": "2", "ConsumerGroups": [{"Name": "cg1"}]})))
    assert (config.hubs[0].partition_count, config.hubs[0].consumer_groups) == (2, ("cg1",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "UserConfig"),
        (bus([{"Name": "q", "Properties": {"LockDurations": "PT1M"}}]), "LockDurations"),
        (bus([{"Name": "q", "Properties": {"LockDuration": "1 minute"}}]), "LockDuration: '1 minute'"),
        (bus([{"Name": "q", "Properties": {"LockDuration": "PT6M"}}]), "at most PT5M"),
        (bus([{"Name": "q", "Properties": {"LockDuration": "PT0S"}}]), "above zero"),
        (bus([{"Name": "q", "Properties": {"MaxDeliveryCount": 0}}]), "MaxDeliveryCount"),
        (bus([{"Name": "q", "Properties": {"ForwardTo": "nowhere"}}]), "'nowhere'"),
        (bus([{"Name": "q"}, {"Name": "Q"}]), "twice"),
        (bus([{"Name": "-q"}]), "'-q'"),
        (bus([{"Name": "q" * 261}]), "261 characters; give it up to 260"),
        (bus([{"Name": "t/subscriptions/s"}]), "address of a subscription"),
        (bus([{"Name": "x"}], [{"Name": "X"}]), "topic 'X': there is a queue of this name already"),
        (
            bus(topics=[{"Name": "t", "Subscriptions": [{"Name": "s"}, {"Name": "S"}]}]),
            "topic 't': subscription 'S': stands twice",
        ),
        (bus(topics=[{"Name": "t", "Subscriptions": [{"Name": "s" * 51}]}]), "up to 50"),
        (hubs({"Name": "h", "PartitionCount": "9" * 5000}), "PartitionCount"),
        (hubs({"Name": "h", "PartitionCount": 0}), "give 1 to 32"),
        (bus([{"Name": n, "Properties": {"ForwardTo": m}} for n, m in ("ab", "ba")]), "circle"),
        (bus([{"Name": "q", "Properties": {"ForwardTo": "r", "RequiresSession": True}}, {"Name": "r"}]), "exclude"),
        (bus(topics=[{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r"}]}]}]), "Properties"),
        (hubs({"Name": "h", "PartitionCount": "many"}), "'many'"),
        (hubs({"Name": "h", "PartitionCount": 33}), "33"),
        (hubs({"Name": "h", "PartitionCount": 2, "ConsumerGroups": [{"Name": "c"}, {"Name": "C"}]}), "'C'"),
        (
            {"UserConfig": {**hubs({"Name": "x", "PartitionCount": 1})["UserConfig"], **bus([{"Name": "X"}])["UserConfig"]}},
            "there is an event hub of this name",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_location(content, said):
    with pytest.raises(InputError, match=said):
        parse_config(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"FilterType": "Sql"}, "SqlExpression"),
        ({"FilterType": "Correlation"}, "at least one property"),
        ({"FilterType": "Correlation", "CorrelationFilter": {"Subject": "x"}}, r"CorrelationFilter\.Subject: there is no such"),
        ({"FilterType": "Correlation", "CorrelationFilter": {}}, "at least one property"),
        ({"FilterType": "Correlation", "CorrelationFilter": {"Label": 3}}, r"CorrelationFilter\.Label: expected text"),
        ({"FilterType": "Sql", "SqlFilter": {"SqlExpression": "a ="}}, "'s' of topic 't'"),
        ({"FilterType": "Regex"}, "Regex"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_location(properties, said):
    topic = {"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r", "Properties": properties}]}]}
    with pytest.raises(InputError, match=said):
        parse_config(json.dumps(bus(topics=[topic])))


def test_what_the_container_would_refuse_is_listed():
    properties = {"LockDuration": "PT1S", "MaxDeliveryCount": 20, "DefaultMessageTimeToLive": "PT2H"}
    found = objections(parse_config(json.dumps(bus([{"Name": "q", "Properties": properties}]))))
    assert len(found) == 3
    assert all("queue 'q'" in line for line in found)


def test_a_file_may_begin_with_the_mark_that_editors_on_windows_write(tmp_path):
    (tmp_path / "Config.json").write_text(json.dumps(bus([{"Name": "q"}])), encoding="utf-8-sig")
    assert [queue.name for queue in read_config(tmp_path / "Config.json").queues] == ["q"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json"):
        read_config(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(InputError, match=r"bad\.json"):
        read_config(tmp_path / "bad.json")


@pytest.mark.parametrize(("text", "length"), [("PT1M", 60_000), ("P1DT2H", 93_600_000), ("PT0.5S", 500)])
def test_durations_are_iso_8601(text, length):
    assert milliseconds(text) == length


@pytest.mark.parametrize("text", ["", "P", "PT", "1M", "PT1", "P1Y", "P1M", "PT-1S"])
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match="duration"):
        milliseconds(text)
