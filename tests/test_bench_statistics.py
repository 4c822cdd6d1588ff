"""Middle, spread and interval of noisy seconds, and the warnings made of them."""

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.bench.paired import fastest, paired
from crossgrad.bench.results import Row
from crossgrad.bench.statistics import (
    coverage,
    iqr,
    median,
    median_interval,
    noise_notes,
    quartiles,
    width_note,
)
from crossgrad.bench.text import ratio_digits, seconds_text

SAMPLES = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)
QUIET = [1 + 0.001 * (number % 5) for number in range(20)]


def row(samples: list[float], **fields: Any) -> Row:
    about = {"network": "784-100-10", "batch_size": 32, "dtype": "float32", "backend": "torch"}
    about |= {"variant": "eager", "device": "cpu", "phase": "step", **fields}
    return Row(**about, median=median(samples), rounds=len(samples), samples=tuple(samples))


@given(samples=SAMPLES)
def test_everything_lies_within_the_samples(samples: list[float]) -> None:
    low, high = median_interval(samples)
    first, third = quartiles(samples)
    assert min(samples) <= low <= median(samples) <= high <= max(samples)
    assert min(samples) <= first <= third <= max(samples)
    assert iqr(samples) == third - first


@given(samples=SAMPLES, seed=st.integers(0, 9))
def test_their_order_does_not_matter(samples: list[float], seed: int) -> None:
    shuffled = random.Random(seed).sample(samples, len(samples))
    assert median_interval(shuffled) == median_interval(samples)


def test_quartiles_of_a_known_sample() -> None:
    assert quartiles([1, 2, 3, 4, 5]) == (2, 4)  # NumPy's default too
    assert iqr([7.0]) == 0


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (15, 4), (25, 8), (100, 40), (2000, 956)]
)
def test_ranks_are_those_of_the_binomial_tables(count: int, rank: int) -> None:
    """David and Nagaraja's: for n = 15 the 4th and the 12th."""
    assert median_interval(list(range(1, count + 1))) == (rank, count + 1 - rank)


@pytest.mark.parametrize("count", range(6, 60))
def test_coverage_is_at_least_what_is_said_and_no_wider_than_needed(count: int) -> None:
    rank = int(median_interval(list(range(1, count + 1)))[0])

    def coverage(k: int) -> float:
        return 1 - 2 * sum(math.comb(count, below) for below in range(k)) / 2**count

    assert coverage(rank) >= 0.95 > coverage(rank + 1)


@pytest.mark.parametrize(
    ("draw", "centre"),
    [
        (lambda source: source.gauss(5, 1), 5.0),
        (lambda source: source.lognormvariate(0, 1), 1.0),
        (lambda source: source.paretovariate(1.1), 2 ** (1 / 1.1)),
    ],
    ids=["normal", "lognormal", "pareto"],
)
@pytest.mark.parametrize("count", [6, 15, 40])
def test_simulated_coverage(draw: Callable[[random.Random], float], centre: float, count: int) -> None:
    """2,000 intervals: 0.95 less three standard errors, 0.935, at least."""
    source = random.Random(count)
    hits = 0
    for _ in range(2000):
        low, high = median_interval([draw(source) for _ in range(count)])
        hits += low <= centre <= high
    assert hits >= 0.935 * 2000


def test_quiet_rows_make_no_notes() -> None:
    assert noise_notes([row(QUIET), row([1.0]), row([0.0] * 9)]) == []


def test_a_spread_is_named_with_its_row_and_figure() -> None:
    samples = [1.0, 1.3] * 10
    (note,) = noise_notes([row(samples)])
    assert note == (
        "torch:eager@cpu step of 784-100-10 (batch 32, float32): its rounds spread by 26 % "
        "(IQR over median): the machine was busy, or its calls differ"
    )
    assert iqr(samples) / median(samples) == pytest.approx(0.26, abs=0.01)


def test_a_few_rounds_may_be_noisy_too() -> None:
    (note,) = noise_notes([row([1.0, 1.1, 3.0])])
    assert "its rounds spread by 91 %" in note


def test_what_is_faster_than_the_limit_is_told() -> None:
    """A result that is handed out again takes no time; a limit measured in a busy moment is none."""
    (note,) = noise_notes([row([1.0] * 9, limit_share=1.6), row([1.0] * 9, limit_share=1.2)])
    assert "it took 62 % of the least time that this machine was found to need" in note
    assert note.endswith("not all of it is computed; the same, less so, of 1 other row")
    (note,) = noise_notes([row([1.0] * 9, limit_share=5414)])
    assert note.endswith(
        "it took 1/5,414 of the least time that this machine was found to need: "
        "not all of it is computed, and nothing is held against it as the fastest"
    )
    assert "caches" not in note
    (note,) = noise_notes([row([1.0] * 9, limit_share=1.2, batch_size=1)])
    assert note.endswith("the step found matrices still in the caches, or not all of it is computed")
    assert noise_notes([row([1.0] * 9, limit_share=1.05)]) == []


def test_a_drift_is_told_with_its_direction() -> None:
    (slower,) = noise_notes([row(QUIET[:10] + [1.05 * sample for sample in QUIET[10:]])])
    (faster,) = noise_notes([row([1.05 * sample for sample in QUIET[:10]] + QUIET[10:])])
    assert "its second half took 5 % more than its first" in slower
    assert "its second half took 5 % less than its first" in faster


def test_a_drift_within_each_process_is_told() -> None:
    """As of an engine that becomes slow after some thousand steps, in each process anew."""
    tiring = [1.0, 1.001, 0.999, 1.002, 1.0, 1.001, 2.0, 2.001, 1.999, 2.002, 2.0, 2.001] * 5
    told = [note for note in noise_notes([row(tiring, processes=5)]) if "second half" in note]
    assert len(told) == 1
    assert (
        "took 100 % more than its first, in each process: the machine changed meanwhile, or the eng"
        in told[0]
    )


@pytest.mark.parametrize(("rounds", "processes"), [(6, 6), (12, 6), (6, 1)])
def test_any_number_of_rounds_a_process_is_looked_at(rounds: int, processes: int) -> None:
    assert noise_notes([row([1.0] * rounds, processes=processes)]) == []


def test_a_small_drift_is_no_news_however_sure() -> None:
    assert noise_notes([row(QUIET[:10] + [1.01 * sample for sample in QUIET[10:]])]) == []


def test_far_outliers_are_told_by_their_share() -> None:
    (note,) = noise_notes([row([*QUIET[:18], 9.0, 9.0])])
    assert "10 % of its rounds lie far out" in note
    assert noise_notes([row([*QUIET[:19], 9.0])]) == []


def test_independent_rounds_seldom_seem_to_drift() -> None:
    source = random.Random(1)
    quiet = [row([source.gauss(1, 0.04) for _ in range(15)]) for _ in range(500)]
    told = [note for one in quiet for note in noise_notes([one]) if "second half" in note]
    assert len(told) <= 10


def test_many_noisy_rows_make_one_note_of_the_worst() -> None:
    rows = [row([1.0, 1.2 + 0.1 * number] * 10, network=f"{number}-1") for number in range(1, 10)]
    (note,) = noise_notes(rows)
    assert "of 9-1 " in note
    assert note.endswith("; the same, less so, of 8 other rows")


@pytest.mark.parametrize(
    ("samples", "processes", "said"),
    [
        (
            [1.0, 2.0, 3.0],
            1,
            ["75 %, not 95 %: they are the extremes of 3"],
        ),
        ([1.0] * 20, 2, ["50 %, not 95 %: they are the extremes of 2"]),
        ([1.0] * 20, 5, []),
        ([1.0] * 6, 1, []),
    ],
)
def test_intervals_that_cover_less_than_they_are_called_are_told(
    samples: list[float], processes: int, said: list[str]
) -> None:
    found = width_note([row(samples, processes=processes)])
    assert found == [f"the medians' intervals cover {figures} processes or rounds" for figures in said]
    assert coverage([row(samples, processes=processes)]) == (said[0].split(",")[0] if said else "95 %")


def test_the_median_is_the_standard_librarys() -> None:
    assert median([3.0, 1.0, 2.0, 10.0]) == statistics.median([3.0, 1.0, 2.0, 10.0]) == 2.5


def test_ratios_of_one_run_are_taken_round_by_round() -> None:
    """A machine that slows down threefold within the run, and hits both alike."""
    moods = [1 + n / 10 for n in range(20)]
    source = random.Random(2)
    fast = row([mood * source.gauss(1, 0.01) for mood in moods])
    slow = row([1.05 * mood * source.gauss(1, 0.01) for mood in moods])
    found = paired(slow, fast)
    assert found is not None
    assert found.low < 1.05 < found.high < 1.07
    assert found.verdict() == "slower"
    again = paired(row([mood * source.gauss(1, 0.01) for mood in moods]), fast)
    assert again is not None
    assert again.verdict() != "slower"
    assert paired(row([1.0]), row([1.0, 2.0])) is None
    assert fastest([slow, fast]) is fast


def test_the_fastest_is_not_beaten_within_rounds() -> None:
    """Rounds are told apart by the machine more than engines are: the least median may be another's."""
    ours, theirs = row([1.0, 2.0, 10.0]), row([0.9, 4.0, 9.0])
    assert ours.median < theirs.median
    assert fastest([ours, theirs]) is theirs
    thirds = [row([1, 2, 3]), row([2, 3, 1]), row([3, 1, 1.9])]  # each beaten by another
    assert fastest(thirds) is thirds[2]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.9996e-3, "1.00 ms"),
        (0.9994e-3, "999 µs"),
        (99.96e-6, "100 µs"),
        (9.996, "10.0 s"),
        (1.234e-9, "1.23 ns"),
        (0.0312e-9, "0.031 ns"),
        (None, "-"),
    ],
)
def test_times_have_three_digits_at_the_ends_of_their_units_too(seconds: float | None, said: str) -> None:
    assert seconds_text(seconds) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.0804, "1.080"),
        (1.52, "1.52"),
        (3.6, "3.60"),
        (0.000312, "0.000312"),
        (0.0123, "0.0123"),
        (1310.2, "1,310"),
        (8.69e7, "8.69e+07"),
    ],
)
def test_ratios_have_as_many_digits_as_they_mean(ratio: float, said: str) -> None:
    assert ratio_digits(ratio) == said
