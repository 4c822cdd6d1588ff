"""What a few noisy seconds allow to say: middle, spread, the interval of the median, and warnings."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from ..words import counted
from .results import Row

BLOCKS = 5
"""Pieces of a process's rounds, as many as there are processes where calls are short."""

CONFIDENCE = 0.95
FEWEST = 6
"""Samples from which the extremes hold the median with 95 %: 1 - 2 / 2**6 = 0.969."""

SPREAD = 0.10
"""Of the median, from which the rounds' IQR is worth a warning."""

APART = 0.10
"""Of their median, by which an engine's processes may differ without a warning."""

DRIFT = 0.02
"""Of the first half's median: less is no news, however sure."""

OVER = 0.10
"""By which an engine may be faster than the machine's limit without a warning."""

IMPOSSIBLE = 2.0
"""Times as fast as the limit, from which an engine computes less than it should."""

FEW_SAMPLES = 8
"""Batch size up to which a step on the CPU mostly reads, and may find matrices still in the caches that bare
products, one after the other, do not."""

FAR, FAR_SHARE = 3.0, 0.10
"""A round is far out beyond so many IQR over the third quartile (Tukey 1977); a warning from such a share."""

Found = tuple[float, str]
"""How bad something is, and what it is, in words."""


def median(samples: Sequence[float]) -> float:
    """The middle of the samples, the mean of the middle two if their number is even."""
    return statistics.median(samples)


def middles_of(samples: Sequence[float], processes: int) -> list[float]:
    """What to take the median of, and its interval: each process's median, or the rounds of the only one.

    Rounds of one process share where its code and arrays lie in memory, and are off alike.
    """
    return list(samples) if processes == 1 else [median(part) for part in parts_of(samples, processes)]


def blocks_of(samples: Sequence[float], processes: int) -> list[float]:
    """What to take a variance of: each process's median, or those of consecutive pieces of the only one.

    The pieces' medians spread by sigma / sqrt(rounds a piece) if rounds are independent, and by more
    if what disturbs them lasts.
    """
    return [median(part) for part in parts_of(samples, processes if processes > 1 else BLOCKS)]


def parts_of(samples: Sequence[float], count: int) -> list[Sequence[float]]:
    """The samples in consecutive parts, as even as can be, none of them empty."""
    count = min(count, len(samples))
    ends = [round(number * len(samples) / count) for number in range(count + 1)] if count else []
    return [samples[start:end] for start, end in pairwise(ends)]


def quartiles(samples: Sequence[float]) -> tuple[float, float]:
    """First and third quartile: `statistics.quantiles`, method ``"inclusive"`` (Hyndman and Fan's type 7).

    Never outside of the samples, unlike ``"exclusive"``; of one sample, itself.
    """
    if len(samples) < 2:
        return samples[0], samples[0]
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    return first, third


def iqr(samples: Sequence[float]) -> float:
    """Third less first quartile."""
    first, third = quartiles(samples)
    return third - first


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the median, whatever the distribution.

    Of n samples in order, the k-th and the (n + 1 - k)-th hold the median with

        P = 1 - 2 P(B < k),  B ~ Binomial(n, 1/2),

    for as many of n independent samples lie below the median (David and
    Nagaraja, Order Statistics, 3rd edition 2003, section 7.1). k is the largest
    with P >= 95 %. Fewer than 6 samples have no such k: then it is the
    extremes, and P = 1 - 2**(1 - n), from 94 % of 5 samples down to 50 % of 2.

    Rounds of a busy machine follow each other and are not independent: the
    interval is of the median during this run, not of what another run will find.
    """
    ordered = sorted(samples)
    rank = _rank(len(ordered))
    return ordered[rank - 1], ordered[-rank]


@lru_cache
def _rank(count: int) -> int:
    """The k of `median_interval`, in whole numbers: floats would underflow from 1,075 samples."""
    allowed = 2**count * (100 - round(100 * CONFIDENCE))  # of P(B < k), times 200 * 2**count
    ways, below, rank = 1, 0, 0
    while 200 * (below + ways) <= allowed:
        below += ways
        ways = ways * (count - rank) // (rank + 1)
        rank += 1
    return max(rank, 1)


def noise_notes(rows: Iterable[Row]) -> list[str]:
    """Warnings of rows whose rounds were not quiet, in words; of each kind the worst row, then how many."""
    rows = [row for row in rows if row.samples and row.median > 0]
    many = [row for row in rows if len(row.samples) >= FEWEST]
    looks = ((rows, _spread), (rows, _apart), (many, _drift), (many, _far_out), (rows, _over_limit))
    return [note for rows_of, look in looks for note in _notes(rows_of, look)]


def width_note(rows: Iterable[Row]) -> list[str]:
    """How much the intervals cover that are called 95 %, where it is less than of five samples."""
    fewest = _fewest_middles(rows)
    if fewest >= FEWEST - 1:
        return []
    of = f"{fewest} processes or rounds" if fewest > 1 else "1 process or round"
    return [f"the medians' intervals cover {_coverage(fewest)}, not 95 %: they are the extremes of {of}"]


def coverage(rows: Iterable[Row]) -> str:
    """What the intervals of these medians cover at least, in words; five samples' 94 % are called 95 %."""
    fewest = _fewest_middles(rows)
    return "95 %" if fewest >= FEWEST - 1 else _coverage(fewest)


def _fewest_middles(rows: Iterable[Row]) -> int:
    return min((len(middles_of(row.samples, row.processes)) for row in rows if row.samples), default=FEWEST)


def _coverage(count: int) -> str:
    return _percent(1 - 2.0 ** (1 - count))


def _notes(rows: Sequence[Row], look: Callable[[Row], Found | None]) -> list[str]:
    found = [(row, seen) for row in rows if (seen := look(row)) is not None]
    if not found:
        return []
    worst, (_, what) = max(found, key=lambda entry: entry[1][0])
    more = len(found) - 1
    others = f"; the same, less so, of {counted(more, 'other row')}" if more else ""
    return [f"{worst.name}: {what}{others}"]


def _levelled(row: Row) -> list[float]:
    """The rounds, each over the median of its process: what is left if processes differ."""
    parts = parts_of(row.samples, row.processes)
    return [sample / (median(part) or 1.0) for part in parts for sample in part]


def _spread(row: Row) -> Found | None:
    spread = iqr(_levelled(row))
    if spread <= SPREAD:
        return None
    told = f"its rounds spread by {_percent(spread)} (IQR over median)"
    return spread, f"{told}: the machine was busy, or its calls differ"


def _apart(row: Row) -> Found | None:
    middles = middles_of(row.samples, row.processes)
    apart = (max(middles) - min(middles)) / median(middles)
    if row.processes == 1 or apart <= APART:
        return None
    told = f"its {row.processes} processes differ by {_percent(apart)}"
    return apart, f"{told}: ratios within rounds, with their intervals, tell more than times"


def _drift(row: Row) -> Found | None:
    """Halves whose medians' intervals do not meet; the middle one of an odd number is in neither.

    Halves of each process, where it has several rounds: processes that differ are told of by `_apart`.
    """
    parts = [part for part in parts_of(_levelled(row), row.processes) if len(part) > 1]
    if not parts:
        return None
    one = [sample for part in parts for sample in part[: len(part) // 2]]
    other = [sample for part in parts for sample in part[len(part) - len(part) // 2 :]]
    (low, high), (other_low, other_high) = median_interval(one), median_interval(other)
    before = median(one)
    if before == 0 or not (high < other_low or other_high < low):
        return None
    change = median(other) / before - 1
    if abs(change) <= DRIFT:
        return None
    return abs(change), (
        f"its second half took {_percent(abs(change))} {'more' if change > 0 else 'less'} than its first"
        f"{', in each process' if row.processes > 1 else ''}: the machine changed meanwhile, or the engine"
    )


def _far_out(row: Row) -> Found | None:
    rounds = _levelled(row)
    first, third = quartiles(rounds)
    beyond = third + FAR * (third - first)
    share = sum(sample > beyond for sample in rounds) / len(rounds)
    if share < FAR_SHARE:
        return None
    return share, (
        f"{_percent(share)} of its rounds lie far out (over {FAR:g} IQR above the third quartile): "
        "something interrupts the machine"
    )


def _over_limit(row: Row) -> Found | None:
    """The limit is measured too, and by other code: a little over it is noise."""
    share = row.limit_share or 0.0
    if share <= 1 + OVER:
        return None
    least = _percent(1 / share) if share < 100 else f"1/{share:,.0f}"
    told = f"it took {least} of the least time that this machine was found to need"
    if beyond_belief(row):
        return share, f"{told}: not all of it is computed, and nothing is held against it as the fastest"
    reads = row.batch_size <= FEW_SAMPLES and row.device == "cpu"
    cached = "the step found matrices still in the caches, " if reads else ""
    return share, f"{told}: the machine was busier as that was measured, {cached}or not all of it is computed"


def beyond_belief(row: Row) -> bool:
    """Whether a row is so far over the limit that no noise explains it."""
    return (row.limit_share or 0.0) >= IMPOSSIBLE


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
