"""Two engines of one run, round by round: both had each round's moods of the machine.

A round gives every engine a turn within a second or so. What the machine does
over minutes divides out of the ratio within a round, so that this tells engines
apart where their times alone, or two runs, cannot. What stays with a process,
as where its arrays lie in memory, does not: that shows between processes only.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from .ratios import LARGEST, exp, student
from .results import Row, Verdict
from .rules import BEYOND, judge
from .statistics import blocks_of, median, median_interval, middles_of

ASTRAY = 5
"""One process in so many may tell otherwise: two of twenty pairs of equal engines were 9 % apart."""


@dataclass(frozen=True)
class Paired:
    """The median of the rounds' ratios, and its 95 % interval; of several processes, of their medians.

    Attributes
    ----------
    above, below
        Between what the ratio surely is: Student's 99 % interval of the processes that are not astray,
        which a busy machine, that sets them apart, makes wide; or of blocks of the only one's rounds.
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
    return Paired(median(middles), low, high, *_surely(blocks, row.processes // ASTRAY))


def _surely(logs: Sequence[float], astray: int) -> tuple[float, float]:
    """Student's 99 % interval of the mean logarithm, without so many that lie farthest from the middle.

    All but one above 1 would not do: where noise alone sets five processes apart, that is so in
    6 of 32 comparisons of equal engines. By this, leaving some out included, 2 % of them are
    slower, whatever the noise, and 4 % if there are ten (``tests/test_bench_processes.py``).

    Nor would the extremes of three rounds of one process, which miss 1 in a quarter of such
    comparisons. By this 1 % of them, with 3 rounds or 60, are slower or faster; more only where what
    disturbs one engine alone lasts longer than a block (``tests/test_bench_paired.py``). What stays
    with the process shows beside others only.
    """
    middle = median(logs)
    kept = sorted(logs, key=lambda log: abs(log - middle))[: len(logs) - astray]
    spread = student(len(kept) - 1) * stdev(kept) / math.sqrt(len(kept))
    center = fmean(kept)
    return exp(center - spread), exp(center + spread)


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the least median."""
    return min(rows, key=lambda row: row.median, default=None)
