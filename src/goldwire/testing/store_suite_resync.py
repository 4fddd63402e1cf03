"""The part of `StoreSuite` about resyncs: their records, and rows of the log that are addressed to one target."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from goldwire.changelog.ports.store import Store
from goldwire.changelog.resyncs import EffectCounts, Resend, Resync, owed
from goldwire.clock import timestamp
from goldwire.errors import FencedError, InputError, StoreCorruptError
from goldwire.testing.store_setting import NOON, Crash, StoreSetting, acquired, balanced, commit, crash_at, settle


def _resync(resync_id: str = "r1", target: str = "t", **other: object) -> Resync:
    return replace(Resync(resync_id, target, "stale", 2, "ann", timestamp(NOON), "tighter"), **other)


def _three(store: Store) -> int:
    """Commit a, b, a at 1 to 3, and acquire the target."""
    commit(store, ("a", 1), ("b", 1), ("a", 2))
    return acquired(store)


class ResyncSuite(StoreSetting):
    """What a resync may rely on."""

    def test_a_resync_s_record_keeps_everything(self, store: Store) -> None:
        epoch = _three(store)
        full = _resync(
            entities=("a",),
            planned=EffectCounts(1, 2, 3, 4, 5, 6),
            samples={"changes": ("a",)},
            turn=2,
            after="a",
            resent=7,
            upto=9,
        )
        store.add_resync(full, NOON)
        assert store.resyncs() == store.resyncs("t") == [full]
        assert store.open_resync("t") == store.newest_resync("t") == full
        assert store.resyncs("another") == []
        assert store.open_resync("another") is store.newest_resync("another") is None
        done = replace(full, state="done", ended_at=timestamp(NOON))
        assert store.resend(done, (), epoch, NOON) == done
        assert store.open_resync("t") is None
        assert store.newest_resync("t") == done

    def test_what_is_owed_is_what_all_resyncs_of_the_target_leave(self, store: Store) -> None:
        epoch = _three(store)
        acquired(store, "u")
        drawn = random.Random(11)
        answers = set()
        for number in range(300):
            planned = drawn.choice((None, EffectCounts(changes=drawn.randrange(4))))
            entities = drawn.choice(((), (), (), ("a",)))
            given = {"settings": drawn.choice((0, 0, 0, 2)), "state": drawn.choice(("open", "open", "held", "declined"))}
            scope, target = drawn.choice(("stale", "stale", "stale", "all")), drawn.choice(("t", "t", "u"))
            store.add_resync(_resync(f"r{number}", target, scope=scope, planned=planned, entities=entities, **given), NOON)
            for _ in range(drawn.randrange(3)):
                going = store.open_resync("t")
                if going is not None:
                    more = {"resent": going.resent + 1} if drawn.random() < 0.5 else {"state": "done"}
                    store.resend(replace(going, **more), (), epoch, NOON)
                answers.add(store.owed("t"))
                assert store.owed("t") == owed(store.resyncs("t"))
            if drawn.random() < 0.3:
                store.cancel_resync(f"r{number}", NOON)
            assert store.owed("t") == owed(store.resyncs("t"))
            assert store.owed("u") == owed(store.resyncs("u"))
        assert len(answers) > 4

    def test_a_target_has_one_open_resync(self, store: Store) -> None:
        _three(store)
        acquired(store, "u")
        for one in (_resync("z"), _resync("other", "u"), _resync("a")):
            store.add_resync(one, NOON + 3)
        assert [(one.id, one.state) for one in store.resyncs()] == [("z", "superseded"), ("other", "open"), ("a", "open")]
        assert store.resyncs()[0].ended_at == timestamp(NOON + 3)
        assert store.open_resync("t") == _resync("a")

    def test_a_resync_of_an_unknown_target_or_with_a_known_id_is_refused(self, store: Store) -> None:
        with pytest.raises(InputError, match="unheard"):
            store.add_resync(_resync("r1", "unheard"), NOON)
        _three(store)
        store.add_resync(_resync("r1", state="declined"), NOON)
        with pytest.raises(StoreCorruptError):
            store.add_resync(_resync("r1"), NOON)
        assert len(store.resyncs()) == 1

    def test_a_resync_that_comes_with_a_revision_is_of_that_revision(self, store: Store) -> None:
        _three(store)
        store.apply_revision("t", b"first", NOON)
        store.add_resync(_resync("old"), NOON)
        assert store.apply_revision("t", b"second", NOON + 3, _resync("new", revision=7)).revision == 2
        assert [(one.id, one.revision, one.state) for one in store.resyncs()] == [("old", 2, "superseded"), ("new", 2, "open")]
        store.apply_revision("t", b"second", NOON + 4, _resync("none"))  # no new revision, and nothing to send again
        assert len(store.resyncs()) == 2

    def test_what_has_ended_appends_nothing(self, store: Store) -> None:
        epoch = _three(store)
        store.add_resync(_resync(), NOON)
        ended = store.cancel_resync("r1", NOON + 5)
        assert ended is not None
        assert (ended.state, ended.ended_at) == ("cancelled", timestamp(NOON + 5))
        assert store.cancel_resync("r1", NOON + 6) is None
        assert store.resend(_resync(), [Resend("a", 2, 0)], epoch, NOON) is None
        assert store.position() == 3
        assert store.resyncs() == [ended]

    def test_an_older_relay_appends_nothing(self, store: Store) -> None:
        old = _three(store)
        store.add_resync(_resync(), NOON)
        store.acquire("t", "beginning")
        with pytest.raises(FencedError, match="target t"):
            store.resend(_resync(), [Resend("a", 2, 0)], old, NOON)
        assert store.position() == 3

    def test_the_newest_state_is_appended_as_a_new_version_for_one_target(self, store: Store) -> None:
        epoch = _three(store)
        store.add_resync(_resync(), NOON)
        before = store.history("a")[-1]
        kept = store.resend(_resync(after="b"), [Resend("a", 2, 0), Resend("b", 1, 0)], epoch, NOON + 60)
        assert kept == _resync(after="b", resent=2, upto=5)
        appended = store.history("a")[-1]
        assert appended == before._replace(
            seq=appended.seq, version=3, committed_at=timestamp(NOON + 60), correlation_id="resync:r1", addressed_to="t"
        )
        assert sorted(row.seq for row in store.heads()) == [4, 5]
        assert list(store.damages()) == []
        commit(store, ("a", 4))
        assert [row.version for row in store.history("a")] == [1, 2, 3, 4]

    def test_an_entity_that_has_moved_on_is_left_out(self, store: Store) -> None:
        epoch = _three(store)
        store.add_resync(_resync(), NOON)
        kept = store.resend(_resync(), [Resend("a", 1, 0), Resend("never", 1, 0)], epoch, NOON)
        assert kept == _resync()
        assert store.position() == 3

    def test_a_version_goes_above_what_the_target_holds(self, store: Store) -> None:
        epoch = _three(store)
        store.add_resync(_resync(), NOON)
        store.resend(_resync(), [Resend("a", 2, 9), Resend("b", 1, 1)], epoch, NOON)
        assert [row.version for row in store.history("a")] == [1, 2, 10]
        assert [row.version for row in store.history("b")] == [1, 2]
        assert list(store.damages()) == []
        assert store.first_rows(0, 5, 0, 9)[0] == [(1, "a"), (2, "b")]
        assert store.first_rows(3, 5, 3, 9)[0] == [(4, "a"), (5, "b")]
        commit(store, ("a", 11))

    @pytest.mark.parametrize("step", ["resend:after-log", "resend:before-commit"])
    def test_a_crash_leaves_neither_rows_nor_progress(self, path: Path, step: str) -> None:
        store = self.make_store(path)
        epoch = _three(store)
        store.add_resync(_resync(), NOON)
        store.close()
        store = self.make_store(path, crash_at(step))
        with pytest.raises(Crash):
            store.resend(_resync(after="z"), [Resend("a", 2, 0)], epoch, NOON)
        assert store.position() == 3
        assert store.open_resync("t") == _resync()
        store.close()

    @pytest.mark.parametrize("seed", range(5))
    def test_the_latest_agree_with_a_plain_model_where_rows_are_addressed(self, store: Store, seed: int) -> None:
        dice = random.Random(seed)
        rows: list[tuple[str, str | None]] = []
        versions: dict[str, int] = {}
        for target in "tu":
            acquired(store, target)
            store.add_resync(_resync(f"r-{target}", target), NOON)
        for _ in range(60):
            name, to = f"e{dice.randrange(9)}", dice.choice([None, None, "t", "u"])
            if to is None or name not in versions:
                to = None
                commit(store, (name, versions.get(name, 0) + 1))
            else:
                store.resend(_resync(f"r-{to}", to), [Resend(name, versions[name], 0)], 1, NOON)
            versions[name] = versions.get(name, 0) + 1
            rows.append((name, to))
        for _ in range(40):
            target = dice.choice("tu")
            after, upto = sorted(dice.choices(range(61), k=2))
            horizon = dice.randrange(upto, 61)
            newer = [{name for name, to in rows[seq:horizon] if to in (None, target)} for seq in range(61)]
            expected = [seq for seq in range(after + 1, upto + 1) if rows[seq - 1][0] not in newer[seq]]
            assert [row.seq for row in store.read_latest(target, after, upto, horizon, 100)[0]] == expected

    def test_what_is_addressed_to_others_is_counted_once_it_is_passed(self, store: Store) -> None:
        epoch = _three(store)
        acquired(store, "u")
        settle(store, 0, b"DDD", target="u")
        store.add_resync(_resync(), NOON)
        store.resend(_resync(), [Resend("a", 2, 0), Resend("b", 1, 0)], epoch, NOON)
        assert (store.counts("u").committed, store.counts("u").pending) == (3, 0)
        assert (store.counts("t").committed, store.counts("t").pending) == (5, 5)
        balanced(store, "u")
        balanced(store)
        store.declare("u", 1, 5, "every")
        settle(store, 3, b"FF", target="u")
        assert (store.counts("u").committed, store.counts("u").filtered) == (5, 2)
        balanced(store, "u")

    def test_what_is_addressed_to_another_is_no_part_of_a_past(self, store: Store) -> None:
        epoch = _three(store)
        acquired(store, "u")
        store.add_resync(_resync(), NOON)
        store.resend(_resync(), [Resend("b", 1, 0)], epoch, NOON)
        store.declare("u", 1, 4, "every")
        settle(store, 0, b"DDDF", target="u")
        assert [fate.row.seq for fate in store.pasts("u", ["b"])["b"].fates] == [2]

    def test_heads_come_by_page_and_by_name(self, store: Store) -> None:
        commit(store, ("a", 1), ("c", 1), ("b", 1), ("a", 2))
        assert [(row.entity_id, row.version) for row in store.head_page("", 2)] == [("a", 2), ("b", 1)]
        assert [row.entity_id for row in store.head_page("b", 2)] == ["c"]
        assert store.head_page("c", 2) == []
        assert sorted(row.seq for row in store.heads_of(["a", "c", "never"])) == [2, 4]
