"""Two runs of a function on the same numbers: what may differ between them, and what may not."""

from itertools import pairwise

import numpy as np
import pytest

from crossgrad.repeated import REORDERING, difference, first_difference

EPS = float(np.finfo(np.float32).eps)
NAN, INF = np.nan, np.inf

SAME = {
    "bits": ([1, 2], [1, 2]),
    "nan": ([NAN, 2], [NAN, 2]),
    "infinite": ([INF, -INF, 2], [INF, -INF, 2]),
    "reordered-sums": ([1, 2], [1, 2 + REORDERING * EPS]),
    "reordered-beside-nan": ([NAN, 2], [NAN, 2 + REORDERING * EPS]),
    "empty": ([], []),
}
OTHER = {
    "far": ([1, 2], [1, 3], "[1]: 2, then 3"),
    "far-beside-nan": ([NAN, 1, 2], [NAN, 1, 7], "[2]: 2, then 7"),
    "far-beside-infinity": ([INF, 1, 2], [INF, 1, 7], "[2]: 2, then 7"),
    "nan-then": ([0, 1], [NAN, 1], "[0]: 0, then nan"),
    "nan-before": ([NAN, 1], [0, 1], "[0]: nan, then 0"),
    "infinity-then": ([0, 1], [0, INF], "[1]: 1, then inf"),
    "another-infinity": ([INF, 1], [-INF, 1], "[0]: inf, then -inf"),
    "nan-for-infinity": ([INF], [NAN], "[0]: inf, then nan"),
    "another-shape": ([1, 2], [1, 2, 3], " has shape (2,), then (3,)"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_what_is_the_same(one: list[float], other: list[float]) -> None:
    assert difference("dW", np.array(one), np.array(other), EPS) is None


@pytest.mark.parametrize(("one", "other", "said"), OTHER.values(), ids=OTHER)
def test_what_differs_is_told_with_its_place(one: list[float], other: list[float], said: str) -> None:
    told = difference("dW", np.array(one, np.float32), np.array(other, np.float32), EPS)
    assert told is not None
    assert f"dW{said}; seed" in told


@pytest.mark.parametrize(("one", "other"), [*pairwise([{"dW": np.ones(2)}, {}, {"dW": np.ones(2)}])])
def test_what_one_of_two_runs_gives_is_told(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert "only one of them gives dW" in str(first_difference(one, other, EPS))


@pytest.mark.parametrize(
    ("times", "adds_up"), [(2, True), (10, True), (1.5, False), (0.5, False), (-1, False)]
)
def test_gradients_that_add_up_are_told(times: float, adds_up: bool) -> None:
    first = np.array([0.3, -2.0, 5.0], np.float32)
    told = difference("dW", first, first * np.float32(times), EPS)
    assert told is not None
    assert (f"{times} times the first: gradients add up, set them to zero" in told) == adds_up
    assert ("keep no state" in told) != adds_up
