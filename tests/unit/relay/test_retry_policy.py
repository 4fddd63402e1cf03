from random import Random

from goldwire.changelog.rows import LogRow
from goldwire.clock import timestamp
from goldwire.relay.pace import DeadLetterCap
from goldwire.relay.retry_policy import RetryPolicy, first_attempt
from goldwire.relay.settings import DeliverySettings
from goldwire.targets.base import Rejected, Throttled, Unavailable, Unknown

LONG_AGO = timestamp(0.0)
ROW = LogRow(1, "e", "Customer", 1, "live", timestamp(0.0), "c", b"{}", "", None)


class StoppedClock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, delay_seconds: float) -> None:
        self.time += delay_seconds


def policy(clock: StoppedClock, **settings: object) -> RetryPolicy:
    made = DeliverySettings(**{"max_attempts": 3, **settings})
    return RetryPolicy(made, DeadLetterCap(made), clock, Random(1))


def test_a_rejected_event_is_dead_at_once():
    dead = policy(StoppedClock()).decide(first_attempt(ROW), Rejected("no such column"), LONG_AGO)
    assert (dead.state, dead.reason, dead.attempts, dead.ambiguous) == ("dead", "no such column", 1, False)


def test_what_was_not_attempted_is_due_at_once_and_may_still_have_arrived_before():
    clock = StoppedClock()
    before = first_attempt(ROW)._replace(ambiguous=True, attempts=2, strikes=1, due_at=3.0)
    assert policy(clock).decide(before, None, LONG_AGO) == before._replace(due_at=clock.time)


def test_an_outage_kills_nothing_however_long_it_lasts():
    clock = StoppedClock()
    it = policy(clock)
    delivery = first_attempt(ROW)
    for _ in range(100):
        delivery = it.decide(delivery, Unavailable("connection refused"), LONG_AGO)
        clock.time += 60
    assert (delivery.state, delivery.attempts, delivery.strikes) == ("retrying", 100, 0)


def test_an_event_that_fails_while_others_are_taken_is_dead_after_its_attempts():
    clock = StoppedClock()
    it = policy(clock)
    delivery = first_attempt(ROW)
    states = []
    for _ in range(3):
        it.note_answer()
        delivery = it.decide(delivery, Unknown("HTTP 500"), LONG_AGO)
        states.append(delivery.state)
        clock.time += 60
    assert states == ["retrying", "retrying", "dead"]
    assert "gave up after 3 attempts: HTTP 500" in delivery.reason


def test_an_item_of_which_a_target_that_works_says_that_it_fails_is_dead_after_its_attempts():
    clock = StoppedClock()
    it = policy(clock)
    delivery = first_attempt(ROW)
    states = []
    for _ in range(3):
        delivery = it.decide(delivery, Unavailable("a rule of the table", counted=True), LONG_AGO)
        states.append(delivery.state)
        clock.time += 60
    assert states == ["retrying", "retrying", "dead"]
    assert "gave up after 3 attempts: a rule of the table" in delivery.reason


def test_an_unknown_outcome_stays_ambiguous_until_it_ends():
    it = policy(StoppedClock())
    delivery = it.decide(first_attempt(ROW), Unknown("timeout"), LONG_AGO)
    assert it.decide(delivery, Unavailable("connection refused"), LONG_AGO).ambiguous


def test_a_throttled_event_waits_as_long_as_it_was_told_and_gets_no_strike():
    clock = StoppedClock()
    it = policy(clock)
    it.note_answer()
    delivery = it.decide(first_attempt(ROW), Throttled(17.0), LONG_AGO)
    assert (delivery.due_at, delivery.strikes, delivery.ambiguous) == (1_017.0, 0, False)


def test_what_was_not_attempted_keeps_its_count_and_is_due_at_once():
    clock = StoppedClock()
    delivery = policy(clock).decide(first_attempt(ROW), None, LONG_AGO)
    assert (delivery.attempts, delivery.due_at, delivery.last_attempt_at) == (0, 1_000.0, None)


def test_past_the_cap_deliveries_stay_retrying_and_the_target_is_to_stop():
    it = policy(StoppedClock(), dead_letter_minimum=2, dead_letter_ratio=0.5)
    states = [it.decide(first_attempt(ROW), Rejected("wrong table"), LONG_AGO).state for _ in range(4)]
    assert states == ["dead", "dead", "retrying", "retrying"]
    assert it.stop is not None
    assert "wrong table" in it.stop


def test_the_waits_grow_also_in_an_outage_and_the_first_attempt_is_remembered():
    clock = StoppedClock()
    it = policy(clock)
    delivery = first_attempt(ROW)
    waits = []
    for _ in range(5):
        delivery = it.decide(delivery, Unavailable("connection refused"), LONG_AGO)
        waits.append(delivery.due_at - clock.time)
        clock.time += 60
    assert all(full / 2 <= wait <= full for wait, full in zip(waits, (1, 2, 4, 8, 16), strict=True))
    assert (delivery.first_attempt_at, delivery.last_attempt_at) == (timestamp(1_000.0), timestamp(1_240.0))


def test_what_the_cap_keeps_from_dying_is_due_at_once():
    it = policy(StoppedClock(), dead_letter_minimum=1, dead_letter_ratio=0.5)
    judged = [it.decide(first_attempt(ROW), Rejected("wrong table"), LONG_AGO) for _ in range(2)]
    assert [(one.state, one.due_at) for one in judged] == [("dead", 0.0), ("retrying", 1_000.0)]


def test_what_is_kept_back_stops_the_target_for_the_first_reason_or_is_looked_at_again_later():
    it = policy(StoppedClock(), backoff_seconds=7.0)
    assert it.keep_back(first_attempt(ROW), "later", stop=False).due_at == 1_007.0
    assert it.stop is None
    for reason in ("too many removals", "too many changes"):
        kept = it.keep_back(first_attempt(ROW)._replace(state="pending"), reason)
        assert (kept.state, kept.due_at, kept.attempts) == ("retrying", 1_000.0, 0)
    assert it.stop == "too many removals"


def test_nothing_dies_once_the_target_has_to_stop():
    it = policy(StoppedClock(), dead_letter_minimum=5)
    it.keep_back(first_attempt(ROW), "too many removals")
    assert it.decide(first_attempt(ROW), Rejected("no"), LONG_AGO).state == "retrying"
    assert it.hold_back(first_attempt(ROW), "no result").state == "retrying"
    assert it.stop == "too many removals"
