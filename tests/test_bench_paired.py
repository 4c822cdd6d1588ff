"""Engines of one run in one process each: how often chance alone makes one slower."""

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest

from crossgrad.bench.baseline import Baseline, over_baseline
from crossgrad.bench.paired import paired
from crossgrad.bench.statistics import median_interval

from .test_bench_compare import results, row

Noise = Callable[[random.Random, int], list[float]]
"""Logarithms of what one engine alone had in each of so many rounds."""

PAIRS = 1500


def even(source: random.Random, rounds: int) -> list[float]:
    return [source.gauss(0, 0.1) for _ in range(rounds)]


def interrupted(source: random.Random, rounds: int) -> list[float]:
    """An interruption only takes time, and some take much."""
    return [source.gauss(0, 0.1) + 0.1 * source.paretovariate(2) for _ in range(rounds)]


def lasting(source: random.Random, rounds: int) -> list[float]:
    """What disturbs one engine and not the other, for some five rounds."""
    found = [source.gauss(0, 0.1)]
    while len(found) < rounds:
        found.append(0.8 * found[-1] + 0.6 * source.gauss(0, 0.1))
    return found


def verdicts(noise: Noise, rounds: int, level: float = 1.0) -> Counter[str]:
    """Of an engine that takes so many times as long as another, in moods that both had."""
    source = random.Random(rounds)
    found: Counter[str] = Counter()
    for _ in range(PAIRS):
        moods = [source.gauss(0, 0.3) for _ in range(rounds)]
        mine, theirs = (
            row([math.exp(mood + own) for mood, own in zip(moods, noise(source, rounds), strict=True)])
            for _ in range(2)
        )
        slower = mine.model_copy(update={"samples": tuple(level * seconds for seconds in mine.samples)})
        ratio = paired(slower, theirs)
        assert ratio is not None
        found[ratio.verdict()] += 1
    return found


@pytest.mark.parametrize("rounds", [2, 3, 6, 15, 60])
@pytest.mark.parametrize("noise", [even, interrupted])
def test_chance_sets_no_equal_engines_apart(noise: Noise, rounds: int) -> None:
    """In 2 of 100 pairs at most, where noise is so large that 2 % are nothing: the interval decides alone."""
    found = verdicts(noise, rounds)
    assert found["slower"] + found["faster"] <= 0.02 * PAIRS


def test_nor_does_what_lasts_some_rounds() -> None:
    """Student's interval of the rounds themselves would set 3 of 10 pairs apart."""
    found = verdicts(lasting, 60)
    assert found["slower"] + found["faster"] <= 0.04 * PAIRS


@pytest.mark.parametrize("rounds", [15, 60])
def test_five_percent_are_found_in_quiet_rounds(rounds: int) -> None:
    found = verdicts(lambda source, count: [0.05 * each for each in interrupted(source, count)], rounds, 1.05)
    assert found["slower"] >= 0.95 * PAIRS


def test_what_is_shown_is_the_medians_interval_and_what_is_published_the_surer_one() -> None:
    """Three rounds: their extremes hold the median with 75 %."""
    mine, theirs = row([1.03, 1.05, 1.04]), row([1.0, 1.0, 1.0], backend="jax")
    shown = paired(mine, theirs)
    assert shown is not None
    assert (shown.low, shown.high) == median_interval([1.03, 1.05, 1.04])
    told = over_baseline(results(mine, theirs), Baseline("jax", "manual", None)).baseline
    assert told is not None
    (ratio,) = told.rows
    assert (ratio.low, ratio.high) == (shown.above, shown.below)
    assert (ratio.low, ratio.high) == pytest.approx((0.984, 1.099), abs=1e-3)


def test_one_round_tells_nothing() -> None:
    assert paired(row([2.0]), row([1.0])) is None
