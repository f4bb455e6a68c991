"""Turns at destinations, by a clock that the test turns."""

import math
from contextlib import ExitStack
from datetime import timedelta

from outcrop.jobs.queue import RetryLater
from outcrop.services.events.turns import Turns


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def pause(turns: Turns, delivery: str, rate_per_s: float = 2) -> float:
    """In seconds; 0 where it had its turn."""
    try:
        with turns.turn("api", delivery, rate_per_s):
            return 0
    except RetryLater as later:
        return later.after / timedelta(seconds=1)


def test_deliveries_of_a_moment_are_spread_at_the_rate_and_come_once_each() -> None:
    clock = Clock()
    turns = Turns(clock)
    pauses = [pause(turns, f"d{number}") for number in range(5)]
    assert pauses == [0, 0.5, 1, 1.5, 2]
    for number in range(1, 5):
        clock.now_s += 0.5
        assert pause(turns, f"d{number}") == 0, number


def test_who_comes_before_its_turn_keeps_its_place() -> None:
    clock = Clock()
    turns = Turns(clock)
    assert [pause(turns, one) for one in "abc"] == [0, 0.5, 1]
    clock.now_s += 0.25
    assert pause(turns, "b") == 0.25


def test_no_place_is_further_than_a_minute_away() -> None:
    turns = Turns(Clock())
    assert max(pause(turns, f"d{number}", 1) for number in range(200)) == 60


def test_few_are_with_a_destination_at_a_time() -> None:
    clock = Clock()
    turns = Turns(clock)
    with ExitStack() as running:
        for number in range(8):
            running.enter_context(turns.turn("api", f"d{number}", math.inf))
        first_s = pause(turns, "ninth", math.inf)
        clock.now_s += first_s
        second_s = pause(turns, "ninth", math.inf)
        clock.now_s += second_s
        assert min(first_s, second_s) > 0
    assert pause(turns, "ninth", math.inf) == 0


def test_a_destination_that_hangs_is_asked_one_at_a_time_and_rests_in_between() -> None:
    clock = Clock()
    turns = Turns(clock)
    with turns.turn("api", "first", 300):
        clock.now_s += 5
    assert pause(turns, "second", 300) == 10
    clock.now_s += 10
    with turns.turn("api", "second", 300):
        assert pause(turns, "third", 300) > 0


def test_destinations_do_not_wait_for_one_another() -> None:
    clock = Clock()
    turns = Turns(clock)
    with turns.turn("slow", "a", 1):
        clock.now_s += 5
        assert pause(turns, "b") == 0
