"""The part of `StoreSuite` about ingest: one transaction, gapless positions, records, match keys, heads."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import random
from pathlib import Path

import pytest

from goldwire.changelog.ports.store import Store
from goldwire.changelog.rows import IntakeTotals
from goldwire.clock import just_after, timestamp
from goldwire.errors import StoreBusyError, StoreCorruptError
from goldwire.mastering.workspace import KeyOwner, StoredEntity
from goldwire.testing.store_setting import NOON, Crash, StoreSetting, change, commit, crash_at, record, ref

KEYS = [bytes([number]) * 16 for number in range(10)]


class IngestSuite(StoreSetting):
    """What mastering may rely on."""

    def test_positions_start_at_one_and_have_no_gaps(self, store: Store) -> None:
        assert store.position() == 0
        commit(store, ("a", 1), ("b", 1))
        commit(store, ("a", 2))
        assert [row.seq for row in store.read(0, 100, 100)] == [1, 2, 3]
        assert store.position() == 3

    def test_the_key_of_entity_ids_is_made_with_the_store_and_stays(self, path: Path, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            key = workspace.entity_key()
        again = self.make_store(path)
        with again.ingest(NOON) as workspace:
            assert workspace.entity_key() == key
        again.close()
        assert len(key) == 32

    def test_another_store_has_another_key(self, path: Path, store: Store) -> None:
        other = self.make_store(path.with_name("another.db"))
        with store.ingest(NOON) as workspace, other.ingest(NOON) as its_workspace:
            assert workspace.entity_key() != its_workspace.entity_key()
        other.close()

    def test_a_store_whose_key_is_lost_founds_nothing(self, path: Path, store: Store) -> None:
        self.tamper(path, "DELETE FROM store_secret")
        with pytest.raises(StoreCorruptError, match="restore"), store.ingest(NOON) as workspace:
            workspace.entity_key()

    def test_what_was_ever_taken_in_is_counted_in_the_transaction_that_takes_it_in(self, store: Store) -> None:
        def taken(source: str, now: float, *, fails: bool = False) -> None:
            with store.ingest(now) as workspace:
                workspace.note_intake(source, rows=5, rejected=2, versions=3, merges=1, unmerges=0)
                if fails:
                    raise ValueError("no")

        assert store.intake() == []
        taken("crm", NOON)
        taken("-", NOON)
        taken("crm", NOON + 60)
        with pytest.raises(ValueError, match="no"):
            taken("crm", NOON + 120, fails=True)
        assert store.intake() == [
            IntakeTotals("-", 5, 2, 3, 1, 0, timestamp(NOON)),
            IntakeTotals("crm", 10, 4, 6, 2, 0, timestamp(NOON + 60)),
        ]

    def test_a_rolled_back_ingest_leaves_nothing_and_no_gap(self, store: Store) -> None:
        commit(store, ("a", 1))

        def fail() -> None:
            with store.ingest(NOON) as workspace:
                workspace.save_records([record(1, "b")])
                workspace.replace_keys([(ref(1), [KEYS[0]])])
                workspace.commit_changes([change("b", 1)])
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            fail()
        assert store.position() == 1
        assert store.find_entity("crm", "1") is None
        with store.ingest(NOON) as workspace:
            assert workspace.key_owners([KEYS[0]]) == {}
            assert workspace.entities(["b"]) == {}
        commit(store, ("c", 1))
        assert [row.entity_id for row in store.read(0, 100, 100)] == ["a", "c"]

    @pytest.mark.parametrize("step", ["ingest:after-log", "ingest:before-commit"])
    def test_a_crash_inside_an_ingest_leaves_nothing(self, path: Path, step: str) -> None:
        self.make_store(path).close()
        store = self.make_store(path, crash_at(step))
        with pytest.raises(Crash):
            commit(store, ("a", 1))
        assert store.position() == 0
        store.close()
        reopened = self.make_store(path)
        assert reopened.position() == 0
        commit(reopened, ("a", 1))
        reopened.close()

    def test_a_crash_after_the_commit_keeps_it(self, path: Path) -> None:
        store = self.make_store(path, crash_at("ingest:after-commit"))
        with pytest.raises(Crash):
            commit(store, ("a", 1))
        assert store.position() == 1
        store.close()

    def test_each_commit_has_a_moment_of_its_own_also_when_the_clock_stands_or_goes_back(self, store: Store) -> None:
        for offset, number in ((0.0, 1), (0.0, 2), (-3600.0, 3), (60.0, 4)):
            commit(store, ("a", number), now=NOON + offset)
        times = [row.committed_at for row in store.history("a")]
        second = just_after(timestamp(NOON))
        assert times == [timestamp(NOON), second, just_after(second), timestamp(NOON + 60)]

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_a_version_must_be_the_heads_plus_one(self, store: Store, version: int) -> None:
        commit(store, ("a", 1))
        with pytest.raises(StoreCorruptError, match="entity a"):
            commit(store, ("b", 1), ("a", version))
        assert store.position() == 1

    def test_a_first_version_must_be_one(self, store: Store) -> None:
        with pytest.raises(StoreCorruptError, match="entity a"):
            commit(store, ("a", 2))

    def test_one_entity_may_rise_several_versions_in_one_commit(self, store: Store) -> None:
        commit(store, ("a", 1), ("a", 2), ("b", 1), ("a", 3))
        with store.ingest(NOON) as workspace:
            assert workspace.entities(["a"])["a"].version == 3
        assert [row.version for row in store.history("a")] == [1, 2, 3]

    def test_a_head_shows_the_newest_version_with_its_state(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 1), change("a", 2, kind="merged", merged_into="b", steward=b"s")])
            head = workspace.entities(["a", "missing"])
        expected = StoredEntity("a", "Customer", 2, "merged", "b", b"s", change("a", 2).state)
        assert head == {"a": expected}
        with store.ingest(NOON) as workspace:
            assert workspace.entities(["a"]) == {"a": expected}

    def test_the_steward_part_changes_without_a_version(self, store: Store) -> None:
        commit(store, ("a", 1))
        with store.ingest(NOON) as workspace:
            workspace.save_steward("a", b"approved")
            assert workspace.entities(["a"])["a"].steward == b"approved"
        assert store.position() == 1
        with store.ingest(NOON) as workspace:
            assert workspace.entities(["a"])["a"].steward == b"approved"

    def test_a_steward_part_needs_an_entity(self, store: Store) -> None:
        with pytest.raises(StoreCorruptError, match="entity missing"), store.ingest(NOON) as workspace:
            workspace.save_steward("missing", b"")
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "only-named")])
        with pytest.raises(StoreCorruptError, match="entity only-named"), store.ingest(NOON) as workspace:
            workspace.save_steward("only-named", b"")

    def test_an_entity_that_only_a_record_names_is_no_head(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "a")])
            assert workspace.records_of(["a"]) == {"a": [record(1, "a")]}
            assert workspace.entities(["a"]) == {}
        with store.ingest(NOON) as workspace:
            assert workspace.entities(["a"]) == {}
            assert workspace.commit_changes([change("a", 1)]) == 1
            assert workspace.entities(["a"])["a"].version == 1

    def test_records_are_found_in_the_same_transaction_and_later(self, store: Store) -> None:
        first, second = record(1, "a", b"one"), record(2, "a", b"two", system="billing")
        with store.ingest(NOON) as workspace:
            assert workspace.records([first.ref]) == {}
            workspace.save_records([first, second])
            assert workspace.records([first.ref, ref(9)]) == {first.ref: first}
            assert workspace.records_of(["a", "b"]) == {"a": [second, first]}
        with store.ingest(NOON) as workspace:
            assert workspace.records([first.ref, second.ref]) == {first.ref: first, second.ref: second}
            assert workspace.records_of(["a"]) == {"a": [second, first]}

    def test_a_record_is_replaced_and_may_move_to_another_entity(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "a", b"old")])
            workspace.commit_changes([change("a", 1)])
        with store.ingest(NOON) as workspace:
            moved = record(1, "b", b"new")
            workspace.save_records([moved])
            assert workspace.records_of(["a", "b"]) == {"b": [moved]}
            workspace.commit_changes([change("b", 1)])
        assert store.find_entity("crm", "1") == "b"
        assert store.find_entity("billing", "1") is None

    def test_ids_of_any_text_are_kept_apart(self, store: Store) -> None:
        ids = ["x", "X", "x ", "x\x00y", "ß", "ss", "é", "e\u0301", "'", "日本", "😀", "x" * 5000]
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(name, f"e{name}") for name in ids])
            workspace.commit_changes([change(f"e{name}", 1) for name in ids])
        with store.ingest(NOON) as workspace:
            assert {r.id for r in workspace.records([ref(name) for name in ids])} == set(ids)
            assert set(workspace.entities([f"e{name}" for name in ids])) == {f"e{name}" for name in ids}
        assert [store.find_entity("crm", name) for name in ids] == [f"e{name}" for name in ids]

    def test_more_ids_than_one_statement_takes(self, store: Store) -> None:
        count = 1203
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(number, f"e{number}") for number in range(count)])
            workspace.commit_changes([change(f"e{number}", 1) for number in range(count)])
        with store.ingest(NOON) as workspace:
            assert len(workspace.records([ref(number) for number in range(count)])) == count
            assert len(workspace.records_of([f"e{number}" for number in range(count)])) == count
            assert len(workspace.entities([f"e{number}" for number in range(count)])) == count
        assert len(store.rows(range(1, count + 1))) == count

    def test_a_key_counts_its_records_and_names_the_lowest_entity(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "m"), record(2, "z"), record(3, "c")])
            workspace.replace_keys([(ref(1), [KEYS[0], KEYS[1]]), (ref(2), [KEYS[0]]), (ref(3), [KEYS[0], KEYS[0]])])
            assert workspace.key_owners(KEYS) == {KEYS[0]: KeyOwner(3, "c"), KEYS[1]: KeyOwner(1, "m")}
        with store.ingest(NOON) as workspace:
            assert workspace.key_owners(KEYS) == {KEYS[0]: KeyOwner(3, "c"), KEYS[1]: KeyOwner(1, "m")}

    def test_replaced_keys_are_dropped(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "a"), record(2, "b")])
            workspace.replace_keys([(ref(1), [KEYS[0], KEYS[1]]), (ref(2), [KEYS[1]])])
        with store.ingest(NOON) as workspace:
            workspace.replace_keys([(ref(1), [KEYS[2]])])
            assert workspace.key_owners(KEYS) == {KEYS[1]: KeyOwner(1, "b"), KEYS[2]: KeyOwner(1, "a")}

    def test_keys_follow_a_record_that_moves(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_records([record(1, "b"), record(2, "c")])
            workspace.replace_keys([(ref(1), [KEYS[0]]), (ref(2), [KEYS[0]])])
        for entity_id, lowest in (("d", "c"), ("a", "a")):
            with store.ingest(NOON) as workspace:
                workspace.save_records([record(1, entity_id)])
                assert workspace.key_owners([KEYS[0]]) == {KEYS[0]: KeyOwner(2, lowest)}

    def test_keys_may_be_saved_before_their_record(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.replace_keys([(ref(1), [KEYS[0]])])
            workspace.save_records([record(1, "a")])
            assert workspace.key_owners([KEYS[0]]) == {KEYS[0]: KeyOwner(1, "a")}

    def test_keys_of_a_record_that_comes_later_count_from_then_on(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.replace_keys([(ref(1), [KEYS[0]])])
            workspace.save_records([record(2, "b")])
            workspace.replace_keys([(ref(2), [KEYS[0]])])
        with store.ingest(NOON) as workspace:
            assert workspace.key_owners([KEYS[0]]) == {KEYS[0]: KeyOwner(1, "b")}
            assert workspace.records([ref(1)]) == {}
            workspace.save_records([record(1, "a")])
            assert workspace.key_owners([KEYS[0]]) == {KEYS[0]: KeyOwner(2, "a")}

    @pytest.mark.parametrize("seed", range(5))
    def test_keys_agree_with_a_plain_model_whatever_happens_to_them(self, store: Store, seed: int) -> None:
        dice = random.Random(seed)
        model: dict[str, tuple[str, set[bytes]]] = {}
        for _ in range(30):
            with store.ingest(NOON) as workspace:
                for _ in range(dice.randrange(1, 6)):
                    number = str(dice.randrange(8))
                    entity_id, keys = model.get(number, ("", set[bytes]()))
                    if not entity_id or dice.random() < 0.5:
                        entity_id = f"e{dice.randrange(6)}"
                        workspace.save_records([record(number, entity_id)])
                    if dice.random() < 0.6:
                        keys = set(dice.sample(KEYS, dice.randrange(4)))
                        workspace.replace_keys([(ref(number), keys)])
                    model[number] = (entity_id, keys)
                    if dice.random() < 0.3:
                        assert workspace.key_owners(KEYS) == _owners(model)
            with store.ingest(NOON) as workspace:
                assert workspace.key_owners(KEYS) == _owners(model)

    def test_a_decision_that_was_carried_out_is_remembered(self, store: Store) -> None:
        first, second = b"1" * 16, b"2" * 16
        with store.ingest(NOON) as workspace:
            assert workspace.carried_out([first, second]) == set()
            workspace.save_carried_out([first])
            assert workspace.carried_out([first, second]) == {first}
        with store.ingest(NOON) as workspace:
            workspace.save_carried_out([first, second])
            assert workspace.carried_out([second, first]) == {first, second}

    def test_pairs_are_held_apart_until_they_are_dropped(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            workspace.save_apart([("a", "b"), ("b", "c"), ("x", "y"), ("a", "b")])
            assert workspace.apart(["b"]) == {("a", "b"), ("b", "c")}
        with store.ingest(NOON) as workspace:
            assert workspace.apart(["c", "y"]) == {("b", "c"), ("x", "y")}
            workspace.drop_apart([("b", "c")])
            assert workspace.apart(["a", "b", "c"]) == {("a", "b")}

    def test_living_entities_come_in_the_order_in_which_they_were_met(self, store: Store) -> None:
        with store.ingest(NOON) as workspace:
            assert (workspace.living(0, 10), workspace.newest_ordinal()) == ([], 0)
            workspace.commit_changes([change("z", 1), change("b", 1), change("a", 1), change("m", 1)])
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("b", 2, kind="deleted"), change("z", 2), change("k", 1)])
            workspace.save_records([record(1, "only-named")])
            found = workspace.living(0, 10)
            assert [(each.entity_id, each.entity_type) for each in found] == [(each, "Customer") for each in "zamk"]
            assert [each.ordinal for each in found] == sorted({each.ordinal for each in found})
            assert workspace.living(0, 2) == found[:2]
            assert workspace.living(found[1].ordinal, 10) == found[2:]
            assert workspace.living(found[-1].ordinal, 10) == []
            assert workspace.newest_ordinal() >= found[-1].ordinal

    def test_a_rehearsal_is_a_copy_that_leaves_nothing(self, path: Path, store: Store) -> None:
        commit(store, ("a", 1))
        before = set(path.parent.iterdir())
        with store.rehearsal() as copy:
            commit(copy, ("a", 2), ("b", 1))
            assert [row.version for row in copy.history("a")] == [1, 2]
            assert store.position() == 1
            commit(store, ("c", 1))
            assert copy.find_entity("crm", "1") is None
        assert [row.entity_id for row in store.read(0, 10, 10)] == ["a", "c"]
        assert set(path.parent.iterdir()) == before

    def test_nothing_else_may_use_the_store_object_while_an_ingest_is_open(self, store: Store) -> None:
        commit(store, ("a", 1))
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 2)])
            with pytest.raises(StoreBusyError, match="transaction"):
                store.read(0, 10, 10)
            with pytest.raises(StoreBusyError, match="transaction"):
                store.acquire("t", "now")
        assert store.position() == 2

    def test_another_store_object_sees_an_ingest_only_when_it_is_committed(self, path: Path, store: Store) -> None:
        other = self.make_store(path)
        with store.ingest(NOON) as workspace:
            workspace.commit_changes([change("a", 1)])
            assert other.position() == 0
        assert other.position() == 1
        other.close()


def _owners(model: dict[str, tuple[str, set[bytes]]]) -> dict[bytes, KeyOwner]:
    found: dict[bytes, KeyOwner] = {}
    for key in KEYS:
        entities = [entity_id for entity_id, keys in model.values() if key in keys]
        if entities:
            found[key] = KeyOwner(len(entities), min(entities))
    return found
