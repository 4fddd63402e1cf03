"""A target that holds what its store never made is found out, and a resync of everything mends it."""

import shutil

import pytest

from goldwire.changelog.resyncs import Resend, Resync
from goldwire.changelog.sqlite.store import SqliteStore
from goldwire.clock import timestamp
from goldwire.contract.spec import ContractSpec
from goldwire.errors import TargetStoppedError
from goldwire.event.chain import verify
from goldwire.relay.connection import StoreCall
from goldwire.targets.base import DELIVERED, Duplicate, Rejected, TakenEvent
from goldwire.testing.store_setting import Crash


class KeepingTarget:
    """Refuses what is not newer, and says what it holds; `shows` lets it say so also when it is opened."""

    batch_limit = 100

    def __init__(self, *, shows=False):
        self.events = {}
        self.lines = []
        self.sent = []
        if shows:
            self.newest = self._newest

    async def open(self):
        pass

    async def close(self):
        pass

    async def send(self, items):
        return [self._take(item.event) for item in items]

    async def held_versions(self, items):
        held = [self.events.get(item.event.entity_id) for item in items]
        return [one.version if one is not None else None for one in held]

    async def _newest(self, limit):
        newest = sorted(self.events.values(), key=lambda event: event.timestamp, reverse=True)[:limit]
        return [TakenEvent(event.entity_id, event.version, event.hash) for event in newest]

    def _take(self, event):
        self.sent.append((event.entity_id, event.version))
        held = self.events.get(event.entity_id)
        if held is not None and held.version >= event.version:
            return Duplicate(None, TakenEvent(held.entity_id, held.version, held.hash))
        self.events[event.entity_id] = event
        self.lines.append(event.body)
        return DELIVERED


@pytest.fixture
def kept(world):
    world.target = KeepingTarget()
    return world


def restore(world, **versions):
    world.store.close()
    for ending in ("-wal", "-shm"):
        world.path.with_name(world.path.name + ending).unlink(missing_ok=True)
    shutil.copy(world.path.with_suffix(".kept"), world.path)
    world.store = SqliteStore(world.path, durable=False)
    world.versions.update(versions)


def city(world, name, value):
    world.commit((name, {"city": value, "name": name}))


def older_store(world, *, lost=("Rome",)):
    """Deliver Oslo, back up, deliver what is lost, restore."""
    city(world, "a", "Oslo")
    city(world, "b", "Oslo")
    world.run()
    world.store.close()
    shutil.copy(world.path, world.path.with_suffix(".kept"))
    world.store = SqliteStore(world.path, durable=False)
    for value in lost:
        city(world, "a", value)
        world.run()
    restore(world, a=1)


def resync(world, **fields):
    record = Resync("r1", "t", "all", world.store.newest_revision("t"), "ann", timestamp(world.clock.now()), **fields)
    world.store.add_resync(record, world.clock.now())
    world.store.stop("t", None)


def cities(world):
    return {name: event.body.decode().split('"value":"')[1].split('"')[0] for name, event in world.target.events.items()}


def stops(world, match):
    with pytest.raises(TargetStoppedError, match=match):
        world.run()


def test_the_same_version_with_another_hash_is_no_duplicate(kept):
    older_store(kept)
    city(kept, "a", "Lima")
    stops(kept, "version 2 with another content than the log")
    counts = kept.store.counts("t")
    assert (counts.delivered, counts.pending) == (2, 1)
    assert "it holds what this store did not send" in kept.store.cursor("t").stopped
    assert kept.balanced()
    assert kept.recorder.registry.get_sample_value("goldwire_diverged_total", {"target": "t"}) == 1


def test_a_target_that_is_ahead_of_the_log_holds_no_duplicate(kept):
    older_store(kept, lost=("Rome", "Bonn"))
    city(kept, "a", "Lima")
    stops(kept, "version 3, where the log has 2")
    assert (cities(kept)["a"], kept.target.events["a"].version) == ("Bonn", 3)
    assert kept.store.counts("t").pending == 1
    assert kept.balanced()


def test_a_version_that_the_log_has_reached_again_and_not_sent_yet_is_no_duplicate(kept):
    """What the target holds under it was never sent by this store."""
    older_store(kept, lost=("Rome", "Bonn"))
    for value in ("Lima", "Cork", "Kyiv"):
        city(kept, "a", value)
    stops(kept, "version 3 with another content than the log")
    resync(kept)
    kept.run()
    assert cities(kept) == {"a": "Kyiv", "b": "Oslo"}
    assert kept.balanced()


def test_a_person_who_lets_it_run_does_not_make_it_a_delivery(kept):
    older_store(kept)
    city(kept, "a", "Lima")
    stops(kept, "another content")
    kept.store.stop("t", None)
    stops(kept, "another content")
    assert kept.store.counts("t").pending == 1


@pytest.mark.parametrize("lost", [("Rome",), ("Rome", "Bonn")])
def test_a_resync_of_everything_mends_it_and_the_chain_stays_whole(kept, lost):
    older_store(kept, lost=lost)
    city(kept, "a", "Lima")
    stops(kept, "did not send")
    resync(kept)
    kept.run()
    assert cities(kept) == {"a": "Lima", "b": "Oslo"}
    assert kept.balanced()
    assert verify(kept.target.lines)[1] == []
    kept.versions["a"] = kept.store.heads_of(["a"])[0].version
    city(kept, "a", "Cork")
    kept.run()
    assert verify(kept.target.lines)[1] == []


def test_a_deletion_that_the_target_took_for_a_duplicate_is_sent_again_above_what_it_holds(kept):
    older_store(kept)
    kept.commit(("a", None))
    stops(kept, "another content")
    resync(kept)
    kept.run()
    assert kept.target.events["a"].deleted
    assert kept.target.events["a"].version == 3
    assert kept.balanced()
    assert verify(kept.target.lines)[1] == []


@pytest.mark.parametrize("turn", [1, 2])
def test_what_the_log_brings_once_a_resync_has_come_past_it_is_sent_above_what_is_held(kept, turn):
    """The target holds an entity that the store has not made yet: it makes it again while the resync is on its way."""

    class Ingesting(StoreCall):
        done = False

        async def __call__(self, function, *args):
            found = await super().__call__(function, *args)
            if function.__name__ == "resend" and args[0].turn == turn and args[0].after >= "b" * (turn == 1) and not self.done:
                self.done = True
                city(kept, "a", "Lima")
            return found

    city(kept, "b", "Oslo")
    kept.run()
    kept.store.close()
    shutil.copy(kept.path, kept.path.with_suffix(".kept"))
    kept.store = SqliteStore(kept.path, durable=False)
    for value in ("Oslo", "Rome"):
        city(kept, "a", value)
        kept.run()
    restore(kept, a=0)
    resync(kept)
    kept.call = Ingesting()
    kept.run()
    assert kept.call.done
    assert cities(kept) == {"a": "Lima", "b": "Oslo"}
    assert kept.target.events["a"].version == 3
    assert kept.balanced()
    assert verify(kept.target.lines)[1] == []


def test_a_resync_of_that_entity_mends_it_too(kept):
    older_store(kept)
    city(kept, "a", "Lima")
    stops(kept, "another content")
    resync(kept, entities=("a",))
    kept.run()
    assert cities(kept) == {"a": "Lima", "b": "Oslo"}


def test_a_resync_of_another_entity_does_not_let_it_pass(kept):
    older_store(kept)
    city(kept, "a", "Lima")
    stops(kept, "another content")
    resync(kept, entities=("b",))
    stops(kept, "another content")
    assert cities(kept)["a"] == "Rome"
    assert kept.store.counts("t").pending >= 1
    assert kept.balanced()


def test_what_was_sent_and_not_settled_is_a_duplicate_whatever_came_after_it(kept, monkeypatch):
    """A relay that dies after its sends: the next one sends them again, the older ones too."""

    def dies(_):
        raise Crash

    city(kept, "a", "Oslo")
    city(kept, "a", "Rome")
    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "settle", dies)
        with pytest.raises(Crash):
            kept.run()
    assert kept.target.events["a"].version == 2
    kept.run()
    assert kept.target.sent == [("a", 1), ("a", 2)] * 2
    assert kept.store.cursor("t").stopped is None
    assert kept.balanced()


@pytest.fixture
def showing(world):
    world.target = KeepingTarget(shows=True)
    return world


def test_an_older_store_is_noticed_when_the_target_is_opened(showing):
    older_store(showing)
    sent = len(showing.target.sent)
    stops(showing, "version 2, where the log has 1")
    assert len(showing.target.sent) == sent
    resync(showing)
    showing.run()
    assert cities(showing) == {"a": "Oslo", "b": "Oslo"}


def test_it_is_noticed_at_opening_also_where_the_log_has_reached_that_version_again(showing):
    older_store(showing)
    city(showing, "a", "Lima")
    sent = len(showing.target.sent)
    stops(showing, "did not send")
    assert len(showing.target.sent) == sent


def test_a_target_that_holds_what_it_was_sent_is_opened(showing):
    city(showing, "a", "Oslo")
    showing.run()
    city(showing, "a", "Rome")
    showing.run()
    showing.store.rewind("t", 0)
    showing.run()
    assert cities(showing) == {"a": "Rome"}


def test_what_was_there_before_this_store_delivered_anything_says_nothing(showing):
    city(showing, "z", "Oslo")
    showing.run()
    restored = showing.path.with_name("new.db")
    showing.store.close()
    showing.store = SqliteStore(restored, durable=False)
    showing.versions.clear()
    showing.contract(ContractSpec(golden=False))
    city(showing, "a", "Rome")
    showing.run()
    assert showing.store.cursor("t").stopped is None


def test_a_target_that_lost_what_it_was_sent_is_not_called_ahead(showing):
    city(showing, "a", "Oslo")
    showing.run()
    older = showing.target.events["a"]
    city(showing, "a", "Rome")
    showing.run()
    showing.target.events["a"] = older
    showing.run()
    assert showing.store.cursor("t").stopped is None


def passed_over(showing):
    """Restore an older store in which the resync of another target then takes the entity past the version that is held."""
    older_store(showing, lost=("Rome", "Bonn"))
    other = showing.store.acquire("u", "beginning")
    record = Resync("ru", "u", "all", 0, "ann", timestamp(showing.clock.now()))
    showing.store.add_resync(record, showing.clock.now())
    assert showing.store.resend(record, [Resend("a", 1, 4)], other.epoch, showing.clock.now()).resent == 1
    showing.versions["a"] = 5


def test_a_version_that_the_log_lacks_is_noticed_also_where_another_targets_resync_went_past_it(showing):
    passed_over(showing)
    sent = len(showing.target.sent)
    stops(showing, "version 3, which the log does not have")
    assert len(showing.target.sent) == sent
    resync(showing)
    showing.run()
    assert cities(showing) == {"a": "Oslo", "b": "Oslo"}
    assert showing.target.events["a"].version == 6
    showing.run()
    assert showing.store.cursor("t").stopped is None


def test_what_a_resync_has_yet_to_send_above_it_stops_the_target_no_more_once_the_resync_has_ended(showing):
    """The answers are lost, or the event is refused: the resync is done, and the target holds the old version still."""
    passed_over(showing)
    stops(showing, "did not send")
    resync(showing)
    showing.target._take, taking = lambda _: Rejected("too large"), showing.target._take
    showing.run()
    assert [one.state for one in showing.store.resyncs("t")] == ["done"]
    assert showing.target.events["a"].version == 3
    showing.target._take = taking
    showing.run()
    assert showing.store.cursor("t").stopped is None


def test_what_no_resync_can_send_above_it_stops_the_target_no_more_once_one_has_judged_it(showing):
    """The entity is selected no more, and nothing is sent for that."""
    passed_over(showing)
    stops(showing, "did not send")
    showing.contract(ContractSpec(golden=False, where="attributes.city.value == 'Kyiv'"))
    resync(showing)
    showing.run()
    assert showing.target.events["a"].version == 3
    showing.run()
    assert showing.store.cursor("t").stopped is None
