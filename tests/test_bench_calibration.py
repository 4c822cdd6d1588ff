"""How many calls make a round, by trials that may be disturbed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.bench.calibration import MOST_CALLS, call_seconds, calls_next, calls_of

ROUND = 0.01
"""Seconds that a round is to take."""


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        ({1: [0.02], 8: [4e-5], 10: [5e-5] * 2, 100: [5e-4] * 2, 1000: [5e-3] * 2}, 5e-6),
        ({1: [0.02], 8: [0.168]}, 0.02),
        ({1: [0.4, 0.41]}, 0.4),
        ({1: [7.0]}, 7.0),
        ({1: [5e-6], 10: [5e-5], 100: [5e-4], 1000: [0.1, 5e-3]}, 5e-6),
    ],
    ids=["first-disturbed", "long", "longer", "surely-long", "last-disturbed"],
)
def test_what_disturbs_one_trial_does_not_decide_how_long_a_call_is(
    trials: dict[int, list[float]], found: float
) -> None:
    assert call_seconds(lambda calls: trials[calls].pop(0), ROUND) == pytest.approx(found)


@given(seconds=st.floats(1e-9, 1e3))
def test_calls_of_any_length_are_found_out(seconds: float) -> None:
    assert call_seconds(lambda calls: calls * seconds, ROUND) == pytest.approx(seconds)


def test_a_clock_that_stands_still_ends() -> None:
    assert call_seconds(lambda calls: 0.0, ROUND) > 0


@pytest.mark.parametrize(
    ("calls", "seconds", "following"),
    [(3, 0.005, 3), (3, 0.02, 3), (3, 0.0005, 30), (1, 0.0, 10), (40, 0.1, 4), (1, 5.0, 1), (2, 50.0, 1)],
)
def test_calls_of_a_round_are_counted_anew_where_they_were_far_off(
    calls: int, seconds: float, following: int
) -> None:
    assert calls_next(calls, seconds, ROUND) == following


@given(calls=st.integers(1, MOST_CALLS), seconds=st.floats(0, 1e6))
def test_there_is_always_a_call_and_never_too_many(calls: int, seconds: float) -> None:
    assert 1 <= calls_next(calls, seconds, ROUND) <= min(10 * calls, MOST_CALLS)
    assert 1 <= calls_of(max(seconds, 1e-9), ROUND) <= MOST_CALLS
