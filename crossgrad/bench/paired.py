"""Two engines of one run, round by round: both had each round's moods of the machine.

A round gives every engine a turn within a second or so. What the machine does
over minutes divides out of the ratio within a round, so that this tells engines
apart where their times alone, or two runs, cannot. What stays with a process,
as where its arrays lie in memory, does not: that shows between processes only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .results import Row
from .statistics import median, median_interval, middles_of

BEYOND = 0.02
"""Slower from here: one engine in two processes differs by less in most runs (``benchmarks/honesty.py``)."""

ASTRAY = 5
"""One process in so many may tell otherwise: two of twenty pairs of equal engines were 9 % apart."""


@dataclass(frozen=True)
class Paired:
    """The median of the rounds' ratios, and its 95 % interval; of several processes, of their medians.

    Attributes
    ----------
    above
        What the ratio is above: the interval's lower end, or what all processes but those astray have.
    """

    ratio: float
    low: float
    high: float
    above: float

    @property
    def is_slower(self) -> bool:
        """Whether it is longer beyond doubt, and by more than code's place in memory makes."""
        return self.above > 1 and self.ratio > 1 + BEYOND


def paired(row: Row, other: Row) -> Paired | None:
    """How many times as long `row` took as `other` in the same rounds; None if a round is missing."""
    alike = (len(row.samples), row.processes) == (len(other.samples), other.processes)
    if not alike or not all(value > 0 for value in other.samples):
        return None
    ratios = [mine / theirs for mine, theirs in zip(row.samples, other.samples, strict=True)]
    if not ratios:
        return None
    middles = middles_of(ratios, row.processes)
    low, high = median_interval(middles)
    above = low if row.processes == 1 else sorted(middles)[row.processes // ASTRAY]
    return Paired(median(middles), low, high, above)


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the least median."""
    return min(rows, key=lambda row: row.median, default=None)
