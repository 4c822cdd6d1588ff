"""How much slower, with an interval that holds for another run too, not only for these rounds.

Rounds of one run tell little of how far the next run will be off: on a shared
machine the medians of two runs differ by ten times what a bootstrap of their
rounds allows (docs/decisions/0005-slower-than-the-machine.md has the figures).
So two things are looked at besides.

The machine: each run times pure matrix products and a copy, which no engine's
code is part of. What they all changed by, the machine changed by; and as far
as they changed unlike each other, so may an engine without a cause of its own.

The blocks: a run in five pieces, in the order of time, or its processes. Their medians
spread by sigma / sqrt(rounds a block) if rounds are independent, and by as much as runs
do if the machine's moods are long; those of processes by what stays with a process too.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from .results import Limit, Results, Row
from .statistics import median, parts_of

BLOCKS = 5
LONGEST_LOG = 700.0
"""exp of more overflows."""

STUDENT = (63.66, 9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36)
"""0.995 quantiles of Student's t for 1, 2, ... degrees of freedom; two runs of five blocks have 8.

More count as 8. Of 99 %, not 95: a comparison has dozens of rows, and each is a chance to be wrong.
"""

Place = tuple[str, int, str, str]
"""Network, batch size, dtype and device: where a limit was measured."""


@dataclass(frozen=True)
class Machine:
    """What became of the machine between two runs.

    Attributes
    ----------
    changes
        Logarithm of its time over its time before, the mean of what was measured at each place.
    scatter
        On each device the standard deviation of all logarithms: by how much they disagree.
    """

    changes: Mapping[Place, float]
    scatter: Mapping[str, float]

    @classmethod
    def of(cls, a: Results, b: Results) -> "Machine":
        before, after = _limits(a), _limits(b)
        found = {
            place: logs for place in before if place in after and (logs := _logs(before[place], after[place]))
        }
        devices = dict.fromkeys(place[3] for place in found)
        everything = {
            device: [log for place, logs in found.items() if place[3] == device for log in logs]
            for device in devices
        }
        return cls(
            {place: statistics.fmean(logs) for place, logs in found.items()},
            {device: statistics.stdev(logs) for device, logs in everything.items() if len(logs) > 1},
        )

    def change(self, row: Row) -> float | None:
        return self.changes.get((row.network, row.batch_size, row.dtype, row.device))


@dataclass(frozen=True)
class Ratio:
    """Time over time before, relative to the machine's own where that is known, with a 99 % interval."""

    ratio: float
    low: float
    high: float


def ratio_of(a: Row, b: Row, machine: Machine) -> Ratio | None:
    """How many times longer `b` takes, relative to the machine; None without rounds to tell.

    With l the logarithm of the ratio of medians, m the machine's change and s its scatter,

        l - m  +-  t * sqrt(v_a + v_b + s**2),

    v the variance of a run's middle and t Student's for as many degrees of freedom as the blocks
    have. With V the variance of the logarithms of the block medians, v = V for blocks of one process:
    not divided by their number, because such a run is taken for one draw of the machine's moods.
    n processes are as many draws of what differs between them: v = pi/2 V/n, that of a median of n.
    """
    before, after = _blocks(a), _blocks(b)
    if len(before) < 2 or len(after) < 2 or not (a.median > 0 and b.median > 0):
        return None
    middle = math.log(b.median) - math.log(a.median) - (machine.change(a) or 0.0)
    spread = _variance(a, before) + _variance(b, after) + machine.scatter.get(a.device, 0.0) ** 2
    half = student(len(before) + len(after) - 2) * math.sqrt(spread)
    return Ratio(exp(middle), exp(middle - half), exp(middle + half))


def student(freedom: int) -> float:
    """How many standard errors a 99 % interval reaches to each side, from 1 degree of freedom on."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def exp(log: float) -> float:
    """A ratio from its logarithm, finite."""
    return math.exp(max(-LONGEST_LOG, min(LONGEST_LOG, log)))


def _blocks(row: Row) -> list[float]:
    """Logarithms of the medians of consecutive pieces; nothing if one took no time."""
    count = row.processes if row.processes > 1 else BLOCKS
    middles = [median(part) for part in parts_of(row.samples, count)]
    return [math.log(middle) for middle in middles] if all(middle > 0 for middle in middles) else []


def _variance(row: Row, blocks: list[float]) -> float:
    """Of the logarithm of a run's middle; see `ratio_of`."""
    variance = statistics.variance(blocks)
    return variance if row.processes == 1 else math.pi / 2 * variance / row.processes


def _limits(results: Results) -> dict[Place, Limit]:
    return {(limit.network, limit.batch_size, limit.dtype, limit.device): limit for limit in results.limits}


def _logs(before: Limit, after: Limit) -> list[float]:
    """How much longer each of the machine's own measures takes, as logarithms."""
    logs = [math.log(before.bandwidth) - math.log(after.bandwidth)]
    for old, new in ((before.step, after.step), (before.forward, after.forward)):
        if old > 0 and new > 0:
            logs.append(math.log(new) - math.log(old))
    return logs
