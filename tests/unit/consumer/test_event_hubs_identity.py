"""Which hub it is, and where a checkpoint says that it is another."""

from datetime import UTC, datetime, timedelta, timezone

from goldwire_consumer.adapter.event_hubs_identity import beyond_its_end, identity_of

MADE = datetime(2026, 11, 20, 9, 0, 0, 125_000, tzinfo=UTC)


def hub(moment):
    return {"eventhub_name": "h", "created_at": moment, "partition_ids": ["0"]}


def test_a_hub_is_known_by_the_moment_it_was_made_however_the_sdk_writes_that():
    same = {
        identity_of(hub(moment)) for moment in (MADE, MADE.replace(tzinfo=None), MADE.astimezone(timezone(timedelta(hours=-5))))
    }
    assert len(same) == 1
    assert identity_of(hub(MADE + timedelta(milliseconds=1))) not in same


def test_a_checkpoint_beyond_the_last_event_is_of_another_hub():
    rows = [{"partition_id": id_, "sequence_number": sequence} for id_, sequence in (("0", 9), ("1", 4), ("2", 5), ("9", 7))]
    assert beyond_its_end(rows, {"0": 9, "1": -1, "2": 4}) == ["1", "2"]
    assert beyond_its_end([], {"0": -1}) == []
