from math import inf
from random import Random

import pytest

from goldwire.relay.pace import Breaker, DeadLetterCap, Throttle, backoff_seconds
from goldwire.relay.settings import DeliverySettings


def test_backoff_doubles_with_jitter_and_stays_below_its_limit():
    settings = DeliverySettings(backoff_seconds=1.0, backoff_limit_seconds=60.0)
    for failures in range(1, 40):
        full = min(2.0 ** (failures - 1), 60.0)
        waits = {backoff_seconds(settings, failures, Random(seed)) for seed in range(20)}
        assert all(full / 2 <= wait <= full for wait in waits)
        assert len(waits) > 1


def test_backoff_of_a_huge_count_does_not_overflow():
    assert backoff_seconds(DeliverySettings(), 10**9, Random(1)) <= 300.0


def breaker(failures: int = 3) -> Breaker:
    return Breaker(DeliverySettings(breaker_failures=failures, backoff_seconds=1.0), Random(1))


def test_the_breaker_opens_after_failures_in_a_row():
    it = breaker(3)
    it.failed(0.0)
    it.failed(0.0)
    it.succeeded()
    it.failed(0.0)
    it.failed(0.0)
    assert it.closed
    it.failed(0.0)
    assert not it.closed
    assert it.resting(0.1)
    assert not it.enter(0.1)


def test_a_rested_target_is_probed_by_one_send_alone():
    it = breaker(1)
    it.failed(0.0)
    later = it.rest_seconds(0.0)
    assert it.enter(later)
    assert not it.enter(later)
    it.succeeded()
    assert it.closed
    assert it.enter(later)


def test_a_failed_probe_doubles_the_rest():
    it = breaker(1)
    it.failed(0.0)
    first = it.rest_seconds(0.0)
    assert it.enter(first)
    it.failed(first)
    assert it.rest_seconds(first) > first * 0.9


def test_failures_that_were_in_flight_when_the_rest_began_do_not_lengthen_it():
    it = breaker(1)
    it.failed(0.0)
    rest = it.rest_seconds(0.0)
    for _ in range(100):
        it.failed(0.0)
    assert it.rest_seconds(0.0) == rest


@pytest.mark.parametrize(("now", "wait"), [(10.0, 42.0), (0.0, 0.25)])
def test_a_target_that_asks_for_a_time_gets_it(now, wait):
    it = breaker(5)
    it.asked_to_wait(now, wait)
    assert it.rest_seconds(now) == pytest.approx(wait)


def test_of_two_times_that_a_target_asks_for_the_later_one_counts():
    for waits in ((42.0, 5.0), (5.0, 42.0)):
        it = breaker(5)
        for wait in waits:
            it.asked_to_wait(10.0, wait)
        assert it.rest_seconds(10.0) == pytest.approx(42.0)


def test_a_target_that_asks_to_wait_and_says_no_time_is_left_to_rest_at_once():
    it = breaker(5)
    it.asked_to_wait(10.0, None)
    assert not it.closed
    assert 0.5 <= it.rest_seconds(10.0) <= 1.0


def test_waits_asked_for_while_it_rests_do_not_make_the_next_rest_longer():
    it = breaker(1)
    for _ in range(8):
        it.asked_to_wait(0.0, 1.0)
    assert it.enter(1.0)
    it.failed(1.0)
    assert it.rest_seconds(1.0) <= 2.0


def test_after_a_success_the_rests_begin_short_again():
    it = breaker(1)
    now = 0.0
    for _ in range(8):
        it.failed(now)
        now += it.rest_seconds(now)
        assert it.enter(now)
    it.succeeded()
    it.failed(now)
    assert it.rest_seconds(now) <= 1.0


def test_the_time_without_success_is_counted_from_the_first_failure():
    it = breaker(5)
    assert it.failing_seconds(7.0) == 0.0
    it.failed(10.0)
    it.asked_to_wait(20.0, 1.0)
    assert it.failing_seconds(30.0) == 20.0
    it.succeeded()
    assert it.failing_seconds(40.0) == 0.0


def test_the_time_without_success_is_forgotten_when_nothing_waits_and_the_rest_goes_on():
    it = breaker(1)
    it.failed(10.0)
    rest = it.rest_seconds(10.0)
    it.nothing_waits()
    assert it.failing_seconds(30.0) == 0.0
    assert it.rest_seconds(10.0) == rest > 0.0
    it.failed(40.0)
    assert it.failing_seconds(45.0) == 5.0


def test_the_cap_admits_a_few_dead_letters_and_then_no_more():
    cap = DeadLetterCap(DeliverySettings(dead_letter_ratio=0.1, dead_letter_minimum=3))
    assert [cap.admits_dead() for _ in range(5)] == [True, True, True, False, False]


def test_the_cap_is_a_share_of_the_last_thousand():
    cap = DeadLetterCap(DeliverySettings(dead_letter_ratio=0.01, dead_letter_minimum=1))
    cap.delivered(5_000)
    assert [cap.admits_dead() for _ in range(11)].count(True) == 10
    cap.delivered(1_000)
    assert cap.admits_dead()


def test_as_many_may_be_dead_as_the_share_says():
    cap = DeadLetterCap(DeliverySettings(dead_letter_ratio=0.5, dead_letter_minimum=1))
    cap.delivered(2)
    assert [cap.admits_dead() for _ in range(3)] == [True, True, False]


def test_a_throttle_lets_one_go_at_once_and_keeps_what_is_not_used_for_a_second():
    it = Throttle(4.0)
    assert it.allowance(0.0) == 1.0
    it.spend(1)
    assert (it.wait_seconds(0.0), it.wait_seconds(0.125), it.wait_seconds(0.25)) == (0.25, 0.125, 0.0)
    assert it.allowance(100.0) == 4.0
    it.spend(6)
    assert it.wait_seconds(100.0) == 0.75


def test_less_than_one_a_second_is_a_rate_too():
    it = Throttle(0.5)
    assert it.allowance(0.0) == 1.0
    it.spend(1)
    assert (it.wait_seconds(0.0), it.wait_seconds(1.0), it.allowance(2.0)) == (2.0, 1.0, 1.0)


def test_without_a_rate_all_may_go():
    it = Throttle(None)
    it.spend(1_000)
    assert (it.allowance(0.0), it.wait_seconds(0.0)) == (inf, 0.0)
