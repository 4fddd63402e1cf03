"""Topics: SQL filters, correlation filters, actions, and the copies that subscriptions take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldwire_emulator.broker import refusals
from goldwire_emulator.broker.entities import CorrelationFilter, RuleSettings, SubscriptionSettings
from goldwire_emulator.broker.rules import Rules
from goldwire_emulator.broker.sql_parser import parse_filter
from support.broker_world import message, texts, topic

CUSTOMER = message(
    "x",
    application={"region": "north", "amount": 12, "rate": 0.5, "vip": True, "Odd Name": "it's", "percent": "100%"},
    message_id="m-1",
    label="created",
    session_id="s",
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("1=1", True),
        ("1=0", False),
        ("TRUE = TRUE", True),
        ("region = 'north'", True),
        ("REGION='north' and user.amount>=12", True),
        ("sys.Label = 'created' AND sys.MessageId = 'm-1'", True),
        ("sys.subject = 'created'", True),
        ("sys.CorrelationId IS NULL", True),
        ("sys.SessionId <> 's'", False),
        ("amount + 3 * 2 = 18", True),
        ("(amount + 3) * 2 = 30", True),
        ("-amount < 0 AND 7 / 2 = 3 AND -7 / 2 = -3 AND -7 % 4 = -3 AND 7 / 2.0 = 3.5", True),
        ("rate * 4 = 2", True),
        ("vip = TRUE", True),
        ("vip", True),
        ("NOT vip", False),
        ("[Odd Name] = 'it''s'", True),
        ("\"Odd Name\" LIKE 'it_s'", True),
        ("region IN ('south', 'north')", True),
        ("region NOT IN ('south', 'east')", True),
        ("region LIKE 'n%h' AND region NOT LIKE '%x%'", True),
        (r"percent LIKE '100\%' ESCAPE '\'", True),
        (r"region LIKE 'n\%' ESCAPE '\'", False),
        ("EXISTS(region) AND NOT EXISTS(nothing)", True),
        ("nothing IS NULL AND region IS NOT NULL", True),
        ("nothing = 'x'", None),
        ("NOT nothing = 'x'", None),
        ("nothing = 'x' OR region = 'north'", True),
        ("nothing = 'x' AND region = 'south'", False),
        ("nothing NOT IN ('x')", None),
        ("amount = '12'", None),
        ("property('reg' + 'ion') = 'north' AND p('amount') = 12", True),
        ("amount > 1e1 AND amount < 1.3E1", True),
        ("newid() <> newid()", True),
    ],
)
def test_a_sql_filter_means_what_the_service_documents(sql, expected):
    assert parse_filter(sql)(CUSTOMER) is expected


@pytest.mark.parametrize(
    "sql", ["", "region =", "region = 'north", "sys.Nothing = 1", "region NOT 'x'", "f(1) = 1", "a = 1 b", "a = @p", "x" * 1025]
)
def test_sql_that_is_not_of_the_language_is_refused(sql):
    with pytest.raises(refusals.ArgumentError):
        parse_filter(sql)


names = st.sampled_from(["region", "amount", "vip", "nothing"])
constants = st.one_of(
    st.integers(-50, 50).map(str),
    st.booleans().map(lambda value: str(value).upper()),
    st.sampled_from(["'north'", "''", "NULL"]),
)
comparisons = st.builds(lambda a, sign, b: f"{a} {sign} {b}", names, st.sampled_from(["=", "<>", "<", ">="]), constants)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map(lambda text: f"NOT ({text})"),
        st.builds(lambda a, word, b: f"({a}) {word} ({b})", inner, st.sampled_from(["AND", "OR"]), inner),
    ),
    max_leaves=8,
)


@given(conditions, conditions)
def test_de_morgan_holds_with_unknown_too(one, two):
    left, right = parse_filter(f"NOT (({one}) AND ({two}))"), parse_filter(f"NOT ({one}) OR NOT ({two})")
    assert left(CUSTOMER) is right(CUSTOMER)


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_otherwise_than_by_a_refusal(text):
    try:
        parse_filter(text)(CUSTOMER)
    except refusals.ArgumentError:
        return


def test_a_correlation_filter_wants_every_property_equal():
    rules = Rules([RuleSettings("r", correlation=CorrelationFilter({"label": "created"}, {"region": "north", "amount": 12}))])
    assert rules.copies(CUSTOMER) == [CUSTOMER]
    assert rules.copies(message("x", label="created", application={"region": "north"})) == []
    assert rules.copies(message("x", application={"region": "north", "amount": 12})) == []


def test_an_action_changes_the_copy_that_its_rule_takes():
    action = "SET region = region + 'ern'; SET sys.Label = 'routed'; REMOVE amount; SET twice = amount * 2; SET flag = rate * 2"
    (copy,) = Rules([RuleSettings("r", action=action)]).copies(CUSTOMER)
    assert copy.system["label"] == "routed"
    assert "amount" not in copy.application
    assert (copy.application["region"], copy.application["flag"], copy.application["twice"]) == ("northern", 1.0, None)
    assert copy.edits.removed == ("amount",)


def test_rules_without_action_make_one_copy_and_each_with_action_one_more():
    rules = Rules([RuleSettings("a"), RuleSettings("b"), RuleSettings("c", action="SET n = 1"), RuleSettings("d", sql="1=0")])
    assert [copy.application.get("n") for copy in rules.copies(CUSTOMER)] == [None, 1]


def test_subscriptions_take_what_their_rules_select(world):
    north = SubscriptionSettings(name="north", rules=(RuleSettings("r", sql="region = 'north'"),))
    bus = world.open(topics=[topic("events", north, SubscriptionSettings(name="all"))]).service_bus
    bus.entrance("events").send([message("n", application={"region": "north"}), message("s", application={"region": "south"})])
    assert texts(bus.queue("events/Subscriptions/north").receive(9)) == ["n"]
    taken = bus.queue("events/subscriptions/all").receive(9)
    assert [(each.payload, each.sequence_number, each.origin_sequence_number) for each in taken] == [(b"n", 1, 1), (b"s", 2, 2)]


def test_the_last_copy_takes_the_body_with_it(world):
    bus = world.open(topics=[topic("t", SubscriptionSettings(name="a"), SubscriptionSettings(name="b"))]).service_bus
    bus.entrance("t").send([message("x")])
    database = bus.context.store.database
    bus.queue("t/subscriptions/a").receive(1, delete=True)
    assert database.execute("SELECT count(*) FROM bodies").fetchone() == (1,)
    bus.queue("t/subscriptions/b").receive(1, delete=True)
    assert database.execute("SELECT count(*) FROM bodies").fetchone() == (0,)


def test_rules_can_be_added_and_removed_and_outlive_a_restart(world):
    settings = topic("t", SubscriptionSettings(name="s"))
    first = world.open(topics=[settings], durable=True)
    subscription = first.service_bus.subscriptions["t/subscriptions/s"]
    subscription.remove_rule("$default")
    subscription.add_rule(RuleSettings("big", sql="amount > 10"))
    with pytest.raises(refusals.AlreadyExistsError):
        subscription.add_rule(RuleSettings("BIG"))
    with pytest.raises(refusals.NotFoundError):
        subscription.remove_rule("other")
    first.close()
    second = world.open(topics=[settings], durable=True)
    second.service_bus.entrance("t").send(
        [message("small", application={"amount": 1}), message("b", application={"amount": 11})]
    )
    assert texts(second.service_bus.queue("t/subscriptions/s").receive(9, delete=True)) == ["b"]
    second.close()
    changed = topic("t", SubscriptionSettings(name="s", rules=(RuleSettings("all"),)))
    third = world.open(topics=[changed], durable=True).service_bus
    assert [rule.name for rule in third.subscriptions["t/subscriptions/s"].rules.settings()] == ["all"]


def test_a_scheduled_message_of_a_topic_is_filtered_when_it_is_due(world):
    north = SubscriptionSettings(name="north", rules=(RuleSettings("r", sql="region = 'north'"),))
    bus = world.open(topics=[topic("t", north)]).service_bus
    bus.entrance("t").schedule(
        [
            message("n", application={"region": "north"}, due_at_ms=world.now_ms + 1000),
            message("s", due_at_ms=world.now_ms + 1000),
        ]
    )
    assert bus.queue("t/subscriptions/north").receive(9) == []
    world.pass_time(2)
    assert texts(bus.queue("t/subscriptions/north").receive(9)) == ["n"]


def test_a_subscription_with_sessions_dead_letters_what_has_none(world):
    bus = world.open(topics=[topic("t", SubscriptionSettings(name="s", requires_session=True))]).service_bus
    bus.entrance("t").send([message("with", session_id="x"), message("without")])
    assert texts(bus.queue("t/subscriptions/s").peek(0, 9)) == ["with"]
    assert texts(bus.queue("t/subscriptions/s/$deadletterqueue").receive(9)) == ["without"]


def test_a_topic_with_duplicate_detection_swallows_the_second(world):
    bus = world.open(topics=[topic("t", SubscriptionSettings(name="s"), duplicate_window_ms=5000)]).service_bus
    bus.entrance("t").send([message("a", message_id="1"), message("a", message_id="1")])
    assert len(bus.queue("t/subscriptions/s").receive(9)) == 1
