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

from .ratios import exp, student
from .results import Row, Verdict
from .rules import BEYOND, judge
from .statistics import median, median_interval, middles_of

ASTRAY = 5
"""One process in so many may tell otherwise: two of twenty pairs of equal engines were 9 % apart."""

SMALLEST, LARGEST = 1e-300, 1e300
"""Of a ratio: JSON has no infinity."""


@dataclass(frozen=True)
class Paired:
    """The median of the rounds' ratios, and its 95 % interval; of several processes, of their medians.

    Attributes
    ----------
    above, below
        Between what the ratio surely is. Of one process the interval; of several the 99 % interval of
        those that are not astray, which a busy machine, that sets them apart, makes wide.
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
    """How many times as long `row` took as `other` in the same rounds; None if a round is missing."""
    alike = (len(row.samples), row.processes) == (len(other.samples), other.processes)
    if not alike or not row.samples or not all(value > 0 for value in other.samples):
        return None
    ratios = [
        min(max(mine / theirs, SMALLEST), LARGEST)
        for mine, theirs in zip(row.samples, other.samples, strict=True)
    ]
    middles = middles_of(ratios, row.processes)
    low, high = median_interval(middles)
    surely = (low, high) if row.processes == 1 else _without_astray(middles)
    return Paired(median(middles), low, high, *surely)


def _without_astray(middles: Sequence[float]) -> tuple[float, float]:
    """Student's 99 % interval of the mean logarithm, without those that lie farthest from the middle.

    All but one above 1 would not do: where noise alone sets five processes apart, that is so in
    6 of 32 comparisons of equal engines. By this, leaving some out included, 2 % of them are
    slower, whatever the noise, and 4 % if there are ten (``tests/test_bench_processes.py``).
    """
    logs = [math.log(value) for value in middles]
    middle = median(logs)
    kept = sorted(logs, key=lambda log: abs(log - middle))[: len(logs) - len(logs) // ASTRAY]
    spread = student(len(kept) - 1) * stdev(kept) / math.sqrt(len(kept))
    center = fmean(kept)
    return exp(center - spread), exp(center + spread)


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the least median."""
    return min(rows, key=lambda row: row.median, default=None)
