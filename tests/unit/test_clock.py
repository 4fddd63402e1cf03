"""Recorded times keep their order, whatever the machine's clock does."""

from __future__ import annotations

from goldwire.clock import RisingClock, SystemClock, just_after, seconds, timestamp


class SetClock(SystemClock):
    """Shows what it is set to."""

    def __init__(self, now: float) -> None:
        self.shown = now

    def now(self) -> float:
        return self.shown


def test_a_recorded_time_is_read_back_to_the_microsecond() -> None:
    assert seconds(timestamp(1_800_000_000.123457)) == 1_800_000_000.123457


def test_a_rising_clock_shows_the_time_of_the_other_one_while_that_rises() -> None:
    other = SetClock(1_800_000_000.0)
    clock = RisingClock(other, 0.0)
    assert clock.now() == 1_800_000_000.0
    other.shown += 5.0
    assert clock.now() == 1_800_000_005.0


def test_a_rising_clock_goes_on_from_where_it_was_when_the_other_one_is_set_back() -> None:
    other = SetClock(1_800_000_000.0)
    clock = RisingClock(other, 1_800_086_400.0)
    times = [timestamp(1_800_086_400.0), *[timestamp(clock.now()) for _ in range(1_000)]]
    assert times == sorted(set(times)), "each is later than the one before, also as text"
    assert times[-1] < timestamp(1_800_086_401.0)
    other.shown = 1_800_086_500.0
    assert clock.now() == 1_800_086_500.0


def test_a_rising_clock_can_be_kept_above_what_is_learnt_later() -> None:
    clock = RisingClock(SetClock(1_800_000_000.0), 0.0)
    clock.keep_above(1_800_086_400.0)
    assert timestamp(clock.now()) > timestamp(1_800_086_400.0)
    clock.keep_above(0.0)
    assert timestamp(clock.now()) > timestamp(1_800_086_400.0)


def test_the_moment_just_after_another_is_later_as_text_too() -> None:
    assert just_after("2026-12-31T23:59:59.999999Z") == "2027-01-01T00:00:00.000000Z"
    assert just_after("0001-01-01T00:00:00.000000Z") == "0001-01-01T00:00:00.000001Z"
    assert just_after("9999-12-31T23:59:59.999999Z") == "9999-12-31T23:59:59.999999Z", "there is none"
