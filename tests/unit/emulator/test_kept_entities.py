"""What the data folder keeps of entities: what the service fixes when an entity is made, and what may change."""

from __future__ import annotations

from contextlib import closing

import pytest

from goldwire_emulator.broker.entities import HubSettings, QueueSettings, SubscriptionSettings
from goldwire_emulator.broker.store import FILE_NAME, Store
from goldwire_emulator.errors import InputError, StoreCorruptError
from support.broker_world import message, texts, topic

PLAIN = QueueSettings(name="work")
FIX = "change it back, or give the entity another name, or another folder"


def subscribed(**settings):
    return topic("changes", SubscriptionSettings(name="north", **settings))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([PLAIN], [QueueSettings(name="Work", requires_session=True)], "queue 'Work': RequiresSession is true in Config.json"),
        ([QueueSettings(name="work", requires_session=True)], [PLAIN], "queue 'work': RequiresSession is false in Config.json"),
        ([PLAIN], [QueueSettings(name="work", duplicate_window_ms=1)], "queue 'work': RequiresDuplicateDetection is true"),
        ([topic("t")], [topic("t", duplicate_window_ms=1)], "topic 't': RequiresDuplicateDetection is true"),
        (
            [subscribed()],
            [subscribed(requires_session=True)],
            "subscription 'north' of topic 'changes': RequiresSession is true in Config.json, and false in its store",
        ),
        ([PLAIN], [topic("work")], "topic 'work': it is a queue in its store"),
    ],
)
def test_what_is_fixed_once_an_entity_is_made_cannot_change(world, before, after, said):
    opened(world, before).close()
    with pytest.raises(InputError) as refused:
        opened(world, after)
    assert said in str(refused.value)
    assert FIX in str(refused.value)
    opened(world, before).close()


def opened(world, entities):
    queues = [each for each in entities if isinstance(each, QueueSettings)]
    return world.open(*queues, topics=[each for each in entities if each not in queues], durable=True)


def test_everything_else_may_change(world):
    first = world.open(QueueSettings(name="work", duplicate_window_ms=60_000), topics=[subscribed()], durable=True)
    first.service_bus.entrance("work").send([message("a")])
    first.close()
    changed = QueueSettings(
        name="work",
        duplicate_window_ms=1,
        lock_ms=5_000,
        max_delivery_count=1,
        default_time_to_live_ms=9,
        dead_letter_expired=True,
    )
    second = world.open(changed, topics=[subscribed(lock_ms=5_000, forward_to="work")], durable=True)
    assert texts(second.service_bus.queue("work").receive(1)) == ["a"]


def test_an_entity_that_left_and_came_back_is_compared_since_its_messages_are_kept(world):
    world.open(PLAIN, durable=True).close()
    world.open(QueueSettings(name="other"), durable=True).close()
    with pytest.raises(InputError, match="queue 'work': RequiresSession"):
        world.open(QueueSettings(name="work", requires_session=True), durable=True)


def test_a_start_that_was_refused_leaves_nothing_behind(world):
    world.open(PLAIN, durable=True).close()
    with pytest.raises(InputError):
        world.open(QueueSettings(name="new"), QueueSettings(name="work", requires_session=True), durable=True)
    with pytest.raises(InputError):
        world.open(hubs=[HubSettings("hub", 2)], topics=[topic("work")], durable=True)
    world.open(QueueSettings(name="new", requires_session=True), PLAIN, hubs=[HubSettings("hub", 3)], durable=True)


def test_what_cannot_be_a_folder_of_data_is_told(tmp_path):
    (tmp_path / FILE_NAME).write_text("no database" * 1000)
    with pytest.raises(StoreCorruptError, match=r"azure\.sqlite: .*; restore a copy, or give another folder"):
        Store(tmp_path)
    (tmp_path / "odd" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(InputError, match="mend it, or give another folder"):
        Store(tmp_path / "odd")
    with pytest.raises(InputError, match="that is a file; give a folder"):
        Store(tmp_path / FILE_NAME)
    with pytest.raises(InputError, match="no folder can be made there"):
        Store(tmp_path / FILE_NAME / "below")


def to_format_2(store):
    store.database.execute("ALTER TABLE events RENAME COLUMN position TO place")
    store.database.execute("DROP INDEX message_positions")
    store.database.execute("CREATE UNIQUE INDEX message_places ON messages (entity, sequence)")
    store.database.execute("PRAGMA user_version = 2")


def test_a_folder_of_format_2_becomes_what_a_new_one_is_and_keeps_its_events(world, tmp_path):
    first = world.open(PLAIN, hubs=[HubSettings("hub", 1)], durable=True)
    first.service_bus.entrance("work").send([message("a")])
    first.close()
    with closing(Store(tmp_path)) as store:
        new = declared(store)
        row = (1, 0, 7, "key", b"payload")
        store.database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", row)
        to_format_2(store)
    with closing(Store(tmp_path)) as store:
        assert declared(store) == new
        assert store.database.execute("SELECT position, start, enqueued_at_ms, key, payload FROM events").fetchall() == [row]
    second = world.open(PLAIN, hubs=[HubSettings("hub", 1)], durable=True)
    assert texts(second.service_bus.queue("work").receive(1)) == ["a"]


def declared(store):
    """The tables and indexes of a store, and its format."""
    rows = store.database.execute("SELECT type, name, replace(sql, '\"', '') FROM sqlite_master ORDER BY type, name")
    return rows.fetchall(), store.database.execute("PRAGMA user_version").fetchone()


def test_a_folder_of_the_format_before_is_taken_over_with_its_entities_as_they_are_configured_now(world, tmp_path):
    first = world.open(PLAIN, durable=True)
    first.service_bus.entrance("work").send([message("a")])
    first.close()
    with closing(Store(tmp_path)) as store:
        to_format_2(store)
        store.database.execute("ALTER TABLE entities DROP COLUMN fixed")
        store.database.execute("PRAGMA user_version = 1")
    second = world.open(PLAIN, durable=True)
    assert texts(second.service_bus.queue("work").receive(1)) == ["a"]
    second.close()
    with pytest.raises(InputError, match="RequiresSession"):
        world.open(QueueSettings(name="work", requires_session=True), durable=True)
