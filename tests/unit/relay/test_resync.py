"""A revision reaches what the target holds: sent again in order, as new versions, counted by the ledger."""

import pytest

from goldwire.changelog.resyncs import Resync
from goldwire.clock import timestamp
from goldwire.contract.spec import ContractSpec
from goldwire.relay.contract_revisions import ContractRevisions
from goldwire.relay.resync import LOOK_SECONDS, RevisionEffects
from goldwire.targets.base import DELIVERED, Rejected, Unknown

ROME = "a.city == 'Rome'"
OSLO = "a.city == 'Oslo'"


def ask(world, scope="stale", **fields):
    revision = world.store.newest_revision("t")
    resync = Resync(fields.pop("id", "r1"), "t", scope, revision, "ann", timestamp(world.clock.now()), **fields)
    world.store.add_resync(resync, world.clock.now())


def record(world, resync_id="r1"):
    return next(one for one in world.store.resyncs("t") if one.id == resync_id)


def holds(world):
    """What a target that keeps the newest version holds: entity to its values."""
    held = {}
    for body in world.target.bodies:
        if body["eventType"] == "EntityDeleted":
            held.pop(body["entityId"], None)
        else:
            held[body["entityId"]] = {name: entry["value"] for name, entry in body["changes"]["attributes"].items()}
    return held


def begin(world, spec=None, **settings):
    world.contract(spec or ContractSpec(golden=False))
    world.commit(("a", {"city": "Rome", "name": "Ann"}), ("b", {"city": "Oslo", "name": "Bob"}))
    world.commit(("c", {"city": "Rome", "name": "Cy"}))
    world.run(**settings)


@pytest.mark.parametrize("mode", ["every", "latest"])
def test_a_tightened_mask_reaches_all_that_was_delivered(world, mode):
    begin(world, mode=mode)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.run(mode=mode)
    assert {entity: values["name"] for entity, values in holds(world).items()} == dict.fromkeys("abc", "REDACTED")
    assert (record(world).state, record(world).resent) == ("done", 3)
    assert world.balanced()
    assert world.store.counts("t").delivered == 6


def test_what_is_sent_again_is_a_new_version_that_follows_in_the_chain(world):
    begin(world)
    before = {body["entityId"]: body for body in world.target.bodies}
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.run()
    for body in world.target.bodies[3:]:
        old = before[body["entityId"]]
        assert (body["version"], body["previousHash"], body["payload"]) == (old["version"] + 1, old["hash"], "full")
    world.versions["a"] += 1
    world.commit(("a", {"city": "Ulm", "name": "Ann"}))
    world.run()
    assert world.target.bodies[-1]["version"] == 3


def test_the_pages_of_a_resync_follow_one_another_without_a_pause(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    begun = world.clock.monotonic()
    world.run()
    assert record(world).state == "done"
    assert world.clock.monotonic() - begun < LOOK_SECONDS


def test_without_a_resync_nothing_is_sent_again(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    world.run()
    assert len(world.target.sent) == 3


def test_what_leaves_goes_before_what_enters(world):
    begin(world, ContractSpec(golden=False, where=ROME, deselect=True))
    assert sorted(holds(world)) == ["a", "c"]
    world.contract(ContractSpec(golden=False, where=OSLO, deselect=True))
    ask(world)
    world.run()
    assert holds(world) == {"b": {"city": "Oslo", "name": "Bob"}}
    assert [body["eventType"] for body in world.target.bodies[2:]] == ["EntityDeleted", "EntityDeleted", "EntityChanged"]
    assert world.balanced()


def test_only_what_looks_different_is_sent_again(world):
    begin(world, ContractSpec(golden=False, where=ROME, deselect=True))
    world.contract(ContractSpec(golden=False, deselect=True))
    ask(world)
    world.run()
    assert world.target.sent[2:] == [("b", 2)]


def test_everything_is_sent_again_where_that_is_asked_for(world):
    begin(world)
    ask(world, scope="all")
    world.run()
    assert sorted(world.target.sent[3:]) == [("a", 2), ("b", 2), ("c", 2)]
    assert [body["hash"] for body in world.target.bodies[:3]] == [body["previousHash"] for body in world.target.bodies[3:]]


def test_a_delta_contract_sends_everything_again_whole(world):
    begin(world, ContractSpec(golden=False, payload="delta"))
    ask(world, scope="all")
    world.run()
    assert sorted(world.target.sent[3:]) == [("a", 2), ("b", 2), ("c", 2)]
    assert {body["payload"] for body in world.target.bodies[3:]} == {"full"}
    world.versions["a"] += 1
    world.commit(("a", {"city": "Ulm", "name": "Ann"}))
    world.run()
    assert world.target.bodies[-1]["payload"] == "delta"
    assert world.balanced()


def test_a_target_that_is_always_behind_is_resynced_too(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    source = iter(range(200))

    def one_more(_item):
        """Answer, and let one more change come in, so that the log is never read to its end."""
        number = next(source, None)
        if number is not None:
            world.commit((f"live-{number}", {"city": "Ulm", "name": "Liv"}))
        return DELIVERED

    world.target.answer = one_more
    world.commit(("live", {"city": "Ulm", "name": "Liv"}))
    world.run(chunk_size=1)
    sent = [entity for entity, _ in world.target.sent]
    assert max(sent.index("live-150"), 3) > max(index for index, entity in enumerate(sent) if entity in "abc")
    assert {entity: values["name"] for entity, values in holds(world).items() if entity in "abc"} == dict.fromkeys(
        "abc", "REDACTED"
    )
    assert record(world).state == "done"
    assert world.balanced()


def test_what_the_revision_before_still_seals_is_sent_before_it_is_sent_again(world):
    begin(world)
    world.commit(("d", {"city": "Bonn", "name": "Dee"}))
    epoch = world.store.acquire("t", "beginning").epoch
    world.store.declare("t", epoch, 4, "every")
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.run()
    assert [version for entity, version in world.target.sent if entity == "d"] == [1, 2]
    assert {values["name"] for values in holds(world).values()} == {"REDACTED"}


def test_a_resync_waits_until_the_revision_before_has_sealed_all_that_it_seals(world):
    begin(world)
    world.commit(*[(entity, {"city": "Bonn", "name": entity}) for entity in "defg"])
    epoch = world.store.acquire("t", "beginning").epoch
    world.store.declare("t", epoch, 7, "every")
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.run(chunk_size=1)
    assert {values["name"] for values in holds(world).values()} == {"REDACTED"}
    assert sorted(holds(world)) == list("abcdefg")
    assert record(world).resent == 7


def test_what_the_revision_before_will_still_seal_is_judged_and_what_the_newest_seals_is_not(world, compile_revision):
    begin(world)
    world.commit(("d", {"city": "Bonn", "name": "Dee"}))
    world.store.declare("t", world.store.acquire("t", "beginning").epoch, 4, "every")
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    world.commit(("e", {"city": "Bonn", "name": "Eve"}))
    contracts = ContractRevisions("t", compile_revision)
    contracts.refresh(world.store.revisions("t"))
    effects = RevisionEffects(world.store.cursor("t"), contracts)
    judged = {one.row.entity_id: one.effect for one in effects.of(world.store.heads_of(["d", "e"]), {}, {})}
    assert judged == {"d": "enters", "e": "same"}


def test_what_left_and_could_not_come_back_is_sent_again_under_the_same_revision(world):
    begin(world, ContractSpec(golden=False, where=ROME, deselect=True))
    world.commit(("a", {"city": "Oslo", "name": "Ann"}))
    world.run()
    assert sorted(holds(world)) == ["c"]
    world.target.answer = lambda _: Rejected("no")
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run()
    world.store.discard("t", [letter.seq for _, letter in world.store.dead_letters("t")], world.clock.now())
    world.target.answer = lambda _: DELIVERED
    world.target.bodies.pop()
    ask(world)
    world.run()
    assert holds(world)["a"] == {"city": "Rome", "name": "Ann"}


def test_what_was_sent_again_under_a_contract_of_deltas_is_replayed(world):
    begin(world, ContractSpec(golden=False, payload="delta"))
    ask(world, scope="all")
    world.run()
    world.replay()
    world.run()
    assert world.replayed().state == "done"
    assert len(world.target.sent) == 12
    assert world.balanced()


def test_what_may_have_arrived_without_an_answer_is_followed_by_what_the_contract_says_now(world):
    begin(world)
    world.target.answer = lambda item: Unknown("timed out") if item.event.entity_id == "d" else DELIVERED
    world.commit(("d", {"city": "Bonn", "name": "Dee"}), ("e", {"city": "Bonn", "name": "Eve"}))
    world.run(max_attempts=1)
    [(_, letter)] = world.store.dead_letters()
    assert letter.ambiguous
    world.contract(ContractSpec(golden=False, where="a.city != 'Bonn'", deselect=True))
    ask(world)
    world.run(max_attempts=1)
    assert record(world).state == "done"
    world.target.answer = lambda _: DELIVERED
    world.store.redrive("t", [letter.seq], world.clock.now())
    world.run(max_attempts=1)
    assert [body["eventType"] for body in world.target.bodies if body["entityId"] == "d"][-2:] == [
        "EntityChanged",
        "EntityDeleted",
    ]
    assert set(holds(world)) == {"a", "b", "c"}
    assert world.balanced()


def test_single_entities_are_sent_again(world):
    begin(world)
    ask(world, scope="all", entities=("c", "a", "nobody"))
    world.run()
    assert world.target.sent[3:] == [("a", 2), ("c", 2)]


def test_a_target_that_is_ahead_of_the_store_is_reached_by_a_higher_version(world):
    class AheadTarget(type(world.target)):
        """Holds version 7 of one entity, which the store does not know of."""

        async def held_versions(self, items):
            return [7 if item.event.entity_id == "a" else None for item in items]

    world.target = AheadTarget()
    begin(world)
    ask(world, scope="all")
    world.run()
    assert sorted(world.target.sent[3:]) == [("a", 8), ("b", 2), ("c", 2)]
    assert list(world.store.damages()) == []
    ask(world, scope="all", id="r2")
    world.run()
    assert sorted(world.target.sent[6:]) == [("a", 9), ("b", 3), ("c", 3)]


def test_live_changes_go_in_between_and_are_not_sent_twice(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    world.commit(("a", {"city": "Bonn", "name": "Ann"}))
    ask(world)
    world.run()
    assert sorted(world.target.sent[3:]) == [("a", 2), ("b", 2), ("c", 2)]


def test_what_is_rejected_is_a_dead_letter_and_can_be_redriven(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.target.answer = lambda item: Rejected("no") if item.event.entity_id == "b" else DELIVERED
    world.run()
    [(_, letter)] = world.store.dead_letters("t")
    assert (letter.entity_id, letter.version, record(world).state) == ("b", 2, "done")
    world.target.answer = lambda _: DELIVERED
    world.store.redrive("t", [letter.seq], world.clock.now())
    world.run()
    assert holds(world)["b"]["name"] == "REDACTED"
    assert world.balanced()


def test_a_cancelled_resync_sends_what_it_had_appended_and_no_more(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    assert world.store.cancel_resync("r1", world.clock.now()).state == "cancelled"
    assert world.store.cancel_resync("r1", world.clock.now()) is None
    world.run()
    assert len(world.target.sent) == 3


def test_a_newer_one_takes_the_place_of_an_open_one(world):
    begin(world)
    world.contract(ContractSpec(golden=False, masks={"name": "redact"}))
    ask(world)
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    ask(world, id="r2")
    world.run()
    assert [record(world, name).state for name in ("r1", "r2")] == ["superseded", "done"]
    assert holds(world)["a"] == {"city": "Rome"}
    assert len(world.target.sent) == 6


def test_another_target_receives_nothing_of_it(world):
    begin(world)
    world.store.apply_revision("u", world.store.revisions("t")[-1].document, world.clock.now())
    ask(world, scope="all")
    world.run()
    before = len(world.target.sent)
    world.run_other("u")
    assert sorted(world.target.sent[before:]) == [("a", 1), ("b", 1), ("c", 1)]
    counts = world.store.counts("u")
    assert (counts.delivered, counts.filtered, counts.superseded, counts.pending) == (3, 3, 0, 0)


def test_a_target_that_began_with_now_is_not_sent_what_was_there_before(world):
    world.commit(("old", {"city": "Rome"}))
    world.run(start="now")
    world.commit(("new", {"city": "Oslo"}))
    world.run(start="now")
    world.contract(ContractSpec(golden=False, masks={"city": "redact"}))
    ask(world)
    world.run(start="now")
    assert world.target.sent == [("new", 1), ("new", 2)]


def test_a_replay_after_a_resync_proves_all_that_was_sent(world):
    begin(world)
    world.contract(ContractSpec(golden=False, attributes=("city",)))
    ask(world)
    world.run()
    world.replay()
    world.run()
    assert world.replayed().tally.unconfirmed == 0
    assert world.replayed().tally.newest_only == 0


def test_what_may_have_arrived_under_an_older_revision_is_followed_by_what_the_newest_one_shows(world):
    """No control row says so: its only delivery is a dead letter whose answer never came."""
    world.contract(ContractSpec(golden=False, deselect=True))
    world.target.answer = lambda _: Unknown("no answer", counted=True)
    world.commit(("a", {"city": "Rome", "name": "Ann"}))
    world.run(max_attempts=1)
    assert world.store.dead_letters("t")[0][1].ambiguous
    world.contract(ContractSpec(golden=False, deselect=True, where=OSLO))
    ask(world)
    world.target.answer = lambda _: DELIVERED
    world.run()
    assert record(world).state == "done"
    world.store.redrive("t", [1], world.clock.now())
    world.run()
    assert holds(world) == {}
    assert world.target.bodies[-1]["reason"] == "deselected"
    assert world.balanced()
