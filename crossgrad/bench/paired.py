"""Two engines of one run, round by round: both had each round's moods of the machine.

A round gives every engine a turn within a second or so. What the machine does
over minutes divides out of the ratio within a round, so that this tells engines
apart where their times alone, or two runs, cannot. What stays with a process,
as where its arrays lie in memory, does not: that shows between processes only.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

from .ratios import LARGEST, exp, student
from .results import Row
from .rules import BEYOND, Verdict, judge
from .statistics import blocks_of, median, median_interval, middles_of

ASTRAY = 5
"""One process in so many may tell otherwise: what stays with a process is worth some per cent."""


@dataclass(frozen=True)
class Paired:
    """The median of the rounds' ratios, and its 95 % interval; of several processes, of their medians.

    Attributes
    ----------
    above, below
        Between what the ratio surely is: a 98 % interval of the processes' mean without those astray,
        which a busy machine, that sets them apart, makes wide; or Student's 99 % interval of blocks of
        the only one's rounds.
    """

    ratio: float
    low: float
    high: float
    above: float
    below: float

    def verdict(self, beyond: float = BEYOND) -> Verdict:
        """Whether it is longer beyond doubt, and by more than a share."""
        return judge(self.ratio, self.above, self.below, self.ratio, beyond)


def paired(row: Row, other: Row) -> Paired | None:
    """How many times as long `row` took as `other` in the same rounds; None if one is missing, or alone."""
    alike = (len(row.samples), row.processes) == (len(other.samples), other.processes)
    if not alike or len(row.samples) < 2 or not all(value > 0 for value in other.samples):
        return None
    ratios = [
        min(max(mine / theirs, 1 / LARGEST), LARGEST)
        for mine, theirs in zip(row.samples, other.samples, strict=True)
    ]
    middles = middles_of(ratios, row.processes)
    low, high = median_interval(middles)
    blocks = blocks_of([math.log(value) for value in ratios], row.processes)
    return Paired(median(middles), low, high, *surely(blocks, row.processes // ASTRAY))


def surely(logs: Sequence[float], astray: int) -> tuple[float, float]:
    """An interval of the ratio from the logarithms' mean, without those that are astray.

    Of k of n logarithms kept, with W the variance of all n where those left out are drawn in to as far
    from the middle as the farthest kept lies,

        mean +- t * sqrt((n - 1) * W / (k * (k - 1))),

    t Student's 99 % for k - 1 degrees of freedom: the interval of a trimmed mean with its winsorised
    variance (Tukey and McLaughlin, Sankhya A 25, 1963; Yuen, Biometrika 61, 1974), but that the farthest
    are left out, whichever side they lie on, and only if they lie far (`_kept`). The plain variance of
    what is kept, as if nothing else had been there, would make an interval of 92 to 96 %. By this it is
    Student's 99 % where none may be left out, as of fewer than five; else 98 %, and 5 % are found with
    one astray too (``tests/test_bench_intervals.py`` holds both). All but one above 1 would not do: where
    noise alone sets five processes apart, that is so in 6 of 32 comparisons of equal engines.

    Nor would the extremes of three rounds of one process, which miss 1 in a quarter of such
    comparisons. By this 1 % of them, with 3 rounds or 60, are slower or faster; more only where what
    disturbs one engine alone lasts longer than a block (``tests/test_bench_paired.py``). What stays
    with the process shows beside others only.
    """
    middle = median(logs)
    kept = _kept(sorted(logs, key=lambda log: abs(log - middle)), astray)
    farthest = abs(kept[-1] - middle)
    drawn_in = [middle + max(-farthest, min(farthest, log - middle)) for log in logs]
    count, center = len(kept), fmean(kept)
    error = math.sqrt((len(logs) - 1) * variance(drawn_in) / (count * (count - 1)))
    spread = student(count - 1) * error
    return exp(center - spread), exp(center + spread)


def _kept(nearest_first: Sequence[float], astray: int) -> list[float]:
    """All but so many at most: those outside of what the nearer ones let expect.

    That is Student's 99 % prediction interval of one more draw, mean +- t * s * sqrt(1 + 1 / n).
    """
    sure = len(nearest_first) - astray
    kept = list(nearest_first[:sure])
    for log in nearest_first[sure:]:
        expected = student(len(kept) - 1) * stdev(kept) * math.sqrt(1 + 1 / len(kept))
        if abs(log - fmean(kept)) > expected:
            break
        kept.append(log)
    return kept


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row that no other was faster than within rounds, or if there is none, with the least median.

    The machine's moods between rounds can give the least median to another.
    """
    among = list(rows)

    def beaten(row: Row) -> bool:
        ratios = (paired(other, row) for other in among if other is not row)
        return any(found is not None and found.ratio < 1 for found in ratios)

    return min(among, key=lambda row: (beaten(row), row.median), default=None)
