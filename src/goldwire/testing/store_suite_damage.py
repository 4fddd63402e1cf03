"""The part of `StoreSuite` about damage: a row that is not what was written is never read as if it were."""

# ruff: noqa: D102 - a test's name is its documentation

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from goldwire.capture.fact import ExternalId
from goldwire.changelog.ports.store import Store
from goldwire.changelog.replays import Replay, Selection
from goldwire.changelog.resyncs import Resync
from goldwire.changelog.rows import DELIVERED, Closing
from goldwire.clock import timestamp
from goldwire.errors import StoreCorruptError
from goldwire.mastering.workspace import StoredRecord, Workspace
from goldwire.testing.store_setting import NOON, StoreSetting, acquired, change, commit, control, opened, settle

LOG_READS: dict[str, Callable[[Store], Any]] = {
    "read": lambda store: store.read(0, 9, 9),
    "read_latest": lambda store: store.read_latest("crm", 0, 9, 9, 9),
    "rows": lambda store: store.rows([2]),
    "versions": lambda store: store.versions([("b", 1)]),
    "history": lambda store: store.history("b"),
    "heads": lambda store: list(store.heads()),
    "heads of a type": lambda store: list(store.heads("Customer")),
    "pasts": lambda store: store.pasts("t", ["b"]),
    "position_before": lambda store: store.position_before("2999"),
}
CONTROL_READS: dict[str, Callable[[Store], Any]] = {
    "controls": lambda store: store.controls("t", ["b"]),
    "all_controls": lambda store: list(store.all_controls("t")),
    "pasts": lambda store: store.pasts("t", ["b"]),
}
LOG_DAMAGE = {
    "state": 'state = CAST(\'{"of":"b","version":7}\' AS BLOB)',
    "kind": "kind = 'lire'",
    "version of another": "changed = 'nume'",
    "time": "committed_at = '2027-01-15T08:00:00.000001Z'",
    "correlation": "correlation_id = 'run-3'",
    "merged into": "merged_into = ''",
    "type": "entity_type = 'Custumer'",
    "checksum": "checksum = checksum + 1",
    "no text": "changed = CAST(x'fffe' AS TEXT)",
}
CONTROL_DAMAGE = {
    "hash": "hash = zeroblob(32)",
    "previous hash": "previous_hash = zeroblob(32)",
    "presence": "presence = 'out'",
    "version": "version = 3",
    "revision": "revision = 2",
    "remote id": "remote_id = 'x'",
    "checksum": "checksum = 0",
    "no text": "settled_at = CAST(x'fffe' AS TEXT)",
}


RECORD_DAMAGE = {  # the checksum is written too: a statement that leaves it alone is taken for older code
    "body": "body = CAST('[]' AS BLOB), checksum = checksum + 1",
    "type": "entity_type = 'Custumer', checksum = checksum + 1",
    "match keys": "match_keys = zeroblob(16), checksum = checksum + 1",
    "checksum": "checksum = checksum + 1",
    "no text": "entity_type = CAST(x'fffe' AS TEXT), checksum = checksum + 1",
    "no text, without a checksum": "entity_type = CAST(x'fffe' AS TEXT), checksum = NULL",
}


def _damage_log(what: str) -> str:
    return f"UPDATE log SET {LOG_DAMAGE[what]} WHERE seq = 2"  # noqa: S608 - from the literals above


def _damage_control(what: str) -> str:
    of_b = "slot & 1099511627775 = (SELECT no FROM entity WHERE entity_id = 'b')"
    return f"UPDATE control SET {CONTROL_DAMAGE[what]} WHERE {of_b}"  # noqa: S608 - from the literals above


class DamageSuite(StoreSetting):
    """What everything may rely on: what is read is what was written."""

    @pytest.fixture
    def filled(self, path: Path) -> Path:
        """The path of a store with three rows in the log, all settled, one control row each."""
        with closing(self.make_store(path)) as store:
            commit(store, ("a", 1), ("b", 1), ("c", 1))
            acquired(store)
            rows = [control(entity_id, 1, seq) for seq, entity_id in enumerate("abc", 1)]
            settle(store, 0, bytes([DELIVERED] * 3), controls=rows)
        return path

    @pytest.mark.parametrize("read", LOG_READS)
    @pytest.mark.parametrize("damage", LOG_DAMAGE)
    def test_a_damaged_row_of_the_log_stops_every_read_with_its_name(self, filled: Path, damage: str, read: str) -> None:
        self.tamper(filled, _damage_log(damage))
        with closing(self.make_store(filled)) as store:
            with pytest.raises(StoreCorruptError, match=r"position 2\b.*entity b.*goldwire store check"):
                LOG_READS[read](store)
            [found] = [each for each in store.damages() if each.part == "log"]
        assert found.where == "position 2 (entity b, version 1)"

    @pytest.mark.parametrize("damage", LOG_DAMAGE)
    def test_a_damaged_head_is_not_mastered_on(self, filled: Path, damage: str) -> None:
        self.tamper(filled, _damage_log(damage))
        with closing(self.make_store(filled)) as store:
            if "kind" in damage or damage in {"merged into", "type"}:  # what a head holds itself is found by the check
                assert {each.part for each in store.damages()} == {"log", "heads"}
                return
            with pytest.raises(StoreCorruptError, match=r"position 2\b.*entity b"), store.ingest(NOON) as workspace:
                workspace.entities(["a", "b"])

    def test_nothing_is_committed_after_a_damaged_row(self, filled: Path) -> None:
        self.tamper(filled, "UPDATE log SET committed_at = '9' WHERE seq = 3")
        with closing(self.make_store(filled)) as store:
            with pytest.raises(StoreCorruptError, match="position 3"), store.ingest(NOON) as workspace:
                workspace.commit_changes([change("d", 1)])
            assert store.position() == 3

    @pytest.mark.parametrize("read", CONTROL_READS)
    @pytest.mark.parametrize("damage", CONTROL_DAMAGE)
    def test_a_damaged_control_row_stops_every_read_with_its_name(self, filled: Path, damage: str, read: str) -> None:
        self.tamper(filled, _damage_control(damage))
        with closing(self.make_store(filled)) as store:
            with pytest.raises(StoreCorruptError, match=r"target t\b.*entity b.*goldwire store check"):
                CONTROL_READS[read](store)
            assert [(each.part, each.where) for each in store.damages()] == [("control", "target t, entity b")]

    def test_a_control_row_in_the_slot_of_another_is_noticed(self, filled: Path) -> None:
        self.tamper(filled, "UPDATE control SET slot = slot + 8 WHERE seq = 3")
        self.tamper(filled, "UPDATE control SET slot = slot + 1 WHERE seq = 2")
        with closing(self.make_store(filled)) as store, pytest.raises(StoreCorruptError, match="entity c"):
            store.controls("t", ["c"])

    @pytest.mark.parametrize("kind", ["ersaed", "live"])
    def test_an_erasure_that_is_none_any_more_is_noticed_before_a_replay(self, path: Path, kind: str) -> None:
        with closing(self.make_store(path)) as store:
            commit(store, ("a", 1))
            with store.ingest(NOON) as workspace:
                workspace.commit_changes([change("a", 2, kind="erased"), change("a", 3)])
            acquired(store)
            settle(store, 0, b"DSD")
            assert store.erased_since(["a"], 0) == {"a"}
        self.tamper(path, f"UPDATE log SET kind = '{kind}' WHERE seq = 2")  # noqa: S608 - from the literals above
        with closing(self.make_store(path)) as store:
            with pytest.raises(StoreCorruptError, match="position 2 "):
                store.pasts("t", ["a"])
            with pytest.raises(StoreCorruptError, match="position 2 "):
                store.erased_since(["a"], 0)

    def test_a_whole_store_has_no_damage_and_every_row_is_looked_at(self, filled: Path) -> None:
        seen: dict[str, tuple[int, int]] = {}
        with closing(self.make_store(filled)) as store:
            found = list(store.damages(lambda part, done, total: seen.__setitem__(part, (done, total))))
        assert found == []
        assert {part: seen[part] for part in ("file", "log", "heads", "control", "delivered", "ledger")} == {
            "file": (1, 1), "log": (3, 3), "heads": (1, 1), "control": (3, 3), "delivered": (1, 1), "ledger": (1, 1),
        }  # fmt: skip

    @pytest.mark.parametrize("entity_id", ["a", "b", "c"])
    def test_a_control_row_that_is_gone_is_named(self, filled: Path, entity_id: str) -> None:
        of_it = f"(SELECT no FROM entity WHERE entity_id = '{entity_id}')"  # noqa: S608 - from the literals above
        self.tamper(filled, f"DELETE FROM control WHERE slot & 1099511627775 = {of_it}")  # noqa: S608 - the same
        with closing(self.make_store(filled)) as store:
            [found] = store.damages()
        assert (found.part, found.where) == ("control", f"target t, entity {entity_id}")
        assert found.text.startswith("missing, but version 1 was delivered at position")

    def test_the_control_row_of_a_delivery_that_ended_late_is_missed_too(self, path: Path) -> None:
        with closing(self.make_store(path)) as store:
            commit(store, ("a", 1), ("b", 1))
            acquired(store)
            settle(store, 0, b"OF", opened=[opened(1, "a")])
            settle(store, 2, b"", closed=[Closing(1, DELIVERED)], controls=[control("a", 1, 1)])
            assert list(store.damages()) == []
        self.tamper(path, "DELETE FROM control")
        with closing(self.make_store(path)) as store:
            assert [(each.part, each.where) for each in store.damages()] == [("control", "target t, entity a")]

    def test_a_control_row_of_an_older_version_than_was_delivered_is_named(self, path: Path) -> None:
        with closing(self.make_store(path)) as store:
            commit(store, ("a", 1), ("a", 2))
            acquired(store)
            settle(store, 0, b"DD", controls=[control("a", 1, 1)])
            [found] = store.damages()
        assert (found.where, found.text) == (
            "target t, entity a",
            "it is of version 1, but version 2 was delivered at position 2",
        )

    def test_a_head_that_is_gone_is_named(self, filled: Path) -> None:
        self.tamper(filled, "DELETE FROM entity WHERE entity_id = 'c'")
        with closing(self.make_store(filled)) as store:
            found = {(each.part, each.where) for each in store.damages()}
        assert ("heads", "entity c") in found

    @pytest.mark.parametrize("table", ["record", "entity"])
    def test_a_numbered_row_that_is_gone_is_noticed(self, path: Path, table: str) -> None:
        with closing(self.make_store(path)) as store:
            with store.ingest(NOON) as workspace:
                workspace.commit_changes([change(name, 1) for name in "abc"])
                workspace.save_records([StoredRecord(ExternalId("crm", name), "Customer", name, b"{}") for name in "abc"])
            assert list(store.damages()) == []
        self.tamper(path, f"DELETE FROM {table} WHERE no = 2")  # noqa: S608 - from the literals above
        with closing(self.make_store(path)) as store:
            found = {(each.part, each.where): each.text for each in store.damages()}
        assert found["numbers", table] == "there are 2 rows for the numbers 1 to 3, so some were deleted"

    @pytest.mark.parametrize("damage", RECORD_DAMAGE)
    def test_a_damaged_record_is_named_and_not_mastered_on(self, path: Path, damage: str) -> None:
        refs = [ExternalId("crm", name) for name in "abc"]
        with closing(self.make_store(path)) as store:
            with store.ingest(NOON) as workspace:
                workspace.commit_changes([change(ref.id, 1) for ref in refs])
                workspace.save_records([StoredRecord(ref, "Customer", ref.id, b"{}") for ref in refs])
            with store.ingest(NOON) as workspace:  # one changes, one moves, one does both
                workspace.save_records(
                    [StoredRecord(refs[0], "Customer", "a", b"[]"), StoredRecord(refs[1], "Customer", "c", b"{}")]
                )
                workspace.save_records([StoredRecord(refs[2], "Customer", "a", b"[]")])
            assert list(store.damages()) == []
        self.tamper(path, f"UPDATE record SET {RECORD_DAMAGE[damage]} WHERE id = 'b'")  # noqa: S608 - from the literals above
        with closing(self.make_store(path)) as store:
            assert [(each.part, each.where) for each in store.damages()] == [("records", "record crm/b")]
            reads: tuple[Callable[[Workspace], Any], ...] = (
                lambda workspace: workspace.records(refs),
                lambda workspace: workspace.records_of(["a", "c"]),
            )
            for read in reads:
                with (
                    pytest.raises(StoreCorruptError, match=r"record crm/b.*goldwire store check"),
                    store.ingest(NOON) as workspace,
                ):
                    read(workspace)

    @pytest.mark.parametrize("damage", ["entity_no = 3, checksum = checksum + 1", "entity_no = 99, checksum = checksum + 1"])
    def test_a_record_that_is_given_to_another_entity_or_to_none_is_not_looked_up_by(self, path: Path, damage: str) -> None:
        with closing(self.make_store(path)) as store, store.ingest(NOON) as workspace:
            workspace.commit_changes([change(name, 1) for name in "abc"])
            workspace.save_records([StoredRecord(ExternalId("crm", name), "Customer", name, b"{}") for name in "abc"])
        self.tamper(path, f"UPDATE record SET {damage} WHERE id = 'b'")  # noqa: S608 - from the literals above
        with closing(self.make_store(path)) as store:
            assert store.find_entity("crm", "a") == "a"
            assert store.find_entity("crm", "d") is None
            with pytest.raises(StoreCorruptError, match=r"record crm/b.*goldwire store check"):
                store.find_entity("crm", "b")

    def test_records_without_a_checksum_are_counted_and_are_no_damage(self, path: Path) -> None:
        with closing(self.make_store(path)) as store:
            with store.ingest(NOON) as workspace:
                workspace.commit_changes([change(name, 1) for name in "abc"])
                workspace.save_records([StoredRecord(ExternalId("crm", name), "Customer", name, b"{}") for name in "abc"])
            assert store.records_without_checksum() == 0
            with store.ingest(NOON) as workspace:
                workspace.save_records([StoredRecord(ExternalId("crm", "a"), "Person", "b", b"[]")])  # another one of another
            assert store.records_without_checksum() == 0
        self.tamper(path, "UPDATE record SET checksum = NULL WHERE id <> 'b'")
        with closing(self.make_store(path)) as store:
            assert (store.records_without_checksum(), list(store.damages())) == (2, [])

    @pytest.mark.parametrize("record", ["x'7b'", "x'fffe'"])
    def test_the_record_of_a_replay_that_cannot_be_read_is_named(self, filled: Path, record: str) -> None:
        with closing(self.make_store(filled)) as store:
            store.add_replay(Replay("r1", "t", Selection(after=0, upto=3), "ann", timestamp(NOON), "lost its disk"))
        self.tamper(filled, f"UPDATE replay SET record = {record}")  # noqa: S608 - from the literals above
        with closing(self.make_store(filled)) as store:
            for read in (store.replays, lambda: store.open_replay("t"), lambda: store.cancel_replay("r1", NOON)):
                with pytest.raises(StoreCorruptError, match=r"record of replay r1 is not what was written"):
                    read()
            assert [(each.part, each.where) for each in store.damages()] == [("replays", "replay r1")]

    @pytest.mark.parametrize("record", ["x'7b'", "x'fffe'"])
    def test_the_record_of_a_resync_that_cannot_be_read_is_named(self, filled: Path, record: str) -> None:
        with closing(self.make_store(filled)) as store:
            store.add_resync(Resync("r1", "t", "all", 1, "ann", timestamp(NOON)), NOON)
        self.tamper(filled, f"UPDATE resync SET record = {record}")  # noqa: S608 - from the literals above
        with closing(self.make_store(filled)) as store:
            for read in (store.resyncs, lambda: store.open_resync("t"), lambda: store.cancel_resync("r1", NOON)):
                with pytest.raises(StoreCorruptError, match=r"record of resync r1 is not what was written"):
                    read()
            assert [(each.part, each.where) for each in store.damages()] == [("resyncs", "resync r1")]

    def test_an_empty_store_has_no_damage(self, store: Store) -> None:
        assert list(store.damages()) == []

    def test_a_missing_position_is_named(self, filled: Path) -> None:
        self.tamper(filled, "DELETE FROM log WHERE seq = 2")
        with closing(self.make_store(filled)) as store:
            found = {(each.part, each.where) for each in store.damages()}
        assert found == {("log", "position 2"), ("heads", "entity b"), ("ledger", "target t")}

    def test_a_head_that_is_not_the_newest_version_is_named(self, filled: Path) -> None:
        self.tamper(filled, "UPDATE entity SET version = 2 WHERE entity_id = 'c'")
        with closing(self.make_store(filled)) as store:
            assert [(each.part, each.where) for each in store.damages()] == [("heads", "entity c")]

    @pytest.mark.parametrize("counter", ["delivered", "filtered", "superseded"])
    def test_a_counter_that_differs_from_the_recount_is_named(self, filled: Path, counter: str) -> None:
        self.tamper(filled, f"UPDATE target_cursor SET {counter} = {counter} + 1")  # noqa: S608 - from the literals above
        with closing(self.make_store(filled)) as store:
            [found] = store.damages()
        assert (found.part, found.where) == ("ledger", "target t")
        assert counter in found.text
