"""How much slower, with an interval that holds for another run too, not only for these rounds.

Rounds of one run tell little of how far the next run will be off: on a shared
machine the medians of two runs differ by ten times what a bootstrap of their
rounds allows (docs/decisions/0005-slower-than-the-machine.md has the figures).
So two things are looked at besides.

The machine: each run times pure matrix products and a copy, its yardsticks, which no
engine's code is part of, in the same rounds as the engines. A round is divided by what the
yardstick took in it: what the machine did meanwhile, both had. As far as two
yardsticks disagree on what the machine changed by, so may an engine without a cause of its own.

The blocks: a run in five pieces, in the order of time, or its processes. Their medians
spread by sigma / sqrt(rounds a block) if rounds are independent, and by as much as runs
do if the machine's moods are long; those of processes by what stays with a process too.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from .phases import Phase
from .results import Place, Results, Row, Yardstick, framework_of, place_of
from .statistics import blocks_of, median, middles_of

LARGEST = 1e300
"""Of a ratio, and its inverse the smallest: JSON has no infinity."""

STUDENT = (63.66, 9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36)
"""0.995 quantiles of Student's t for 1, 2, ... degrees of freedom; two runs of five blocks have 8.

More count as 8. Of 99 %, not 95: a comparison has dozens of rows, and each is a chance to be wrong.
"""

Kind = Literal["forward", "step", "copied"]
EVERY_KIND: tuple[Kind, ...] = get_args(Kind)
"""What a yardstick timed."""

KINDS: Mapping[Phase, tuple[Kind, Kind]] = {
    "forward": ("forward", "step"),
    "step": ("step", "forward"),
    "update": ("copied", "step"),
    "transfer": ("copied", "step"),
}
"""Of each phase what its rounds are divided by, as it does the like, and what that is held against.

But what crosses to a CUDA device goes by a road that nothing else is timed on: it has no yardstick.
"""

LIBRARY, KERNELS = ("version", "blas"), ("kernels", "instructions")
"""Of what an engine says of itself: which library computes products, and which of its kernels."""

Pair = tuple[Yardstick, Yardstick]
"""The same yardstick in two runs, before and after."""


@dataclass(frozen=True)
class Machine:
    """The yardsticks that two runs share, by place.

    Not those of a framework whose products are another library's, or version's, in the second run: what
    these changed by is no change of the machine.
    """

    pairs: Mapping[Place, Sequence[Pair]]
    unlike: Sequence[str] = ()
    """The frameworks left out."""

    @classmethod
    def of(cls, a: Results, b: Results) -> "Machine":
        before, after = (
            {
                (place_of(found), framework_of(found.engine)): found
                for found in results.yardsticks
                if _usable(found)
            }
            for results in (a, b)
        )
        shared = [(*key, yardstick) for key, yardstick in before.items() if key in after]
        names = dict.fromkeys(framework for _, framework, _ in shared)
        unlike = [name for name in names if _is_another_library(name, a, b)]
        found: dict[Place, list[Pair]] = {}
        for place, framework, yardstick in shared:
            if framework not in unlike:
                found.setdefault(place, []).append((yardstick, after[place, framework]))
        return cls(found, unlike)

    def at(self, row: Row) -> Sequence[Pair]:
        """The yardsticks of a row's place that tell something of its phase."""
        if row.phase == "transfer" and row.device != "cpu":
            return ()
        return self.pairs.get(place_of(row), ())

    def changes(self) -> dict[Place, float]:
        """How many times longer the machine's own products and copies took in the second run."""
        return {
            place: exp(
                statistics.fmean(_middle(b, kind) - _middle(a, kind) for a, b in pairs for kind in EVERY_KIND)
            )
            for place, pairs in self.pairs.items()
        }


@dataclass(frozen=True)
class Relative:
    """Time over time before, relative to the machine's own where that is known, with a 99 % interval."""

    ratio: float
    low: float
    high: float


def ratio_of(a: Row, b: Row, machine: Machine) -> Relative | None:
    """How many times longer `b` takes, relative to the machine; None without rounds, or a yardstick, to tell.

    With l the logarithm of a run's rounds over their yardsticks', in the middle, and s the standard
    deviation of what ``l_b - l_a`` is by each yardstick and kind (`KINDS`) alone,

        l_b - l_a  +-  t * sqrt(v_a + v_b + s**2),

    v the variance of a run's middle and t Student's for as many degrees of freedom as the blocks
    have. With V the variance of the block medians, v = V for blocks of one process:
    not divided by their number, because such a run is taken for one draw of the machine's moods.
    n processes are as many draws of what differs between them: their mean is the middle, and v = V/n. One
    that lies astray makes V so large that nothing is decided, rather than the ratio wrong.

    That s is an estimate too is left out of account: from two yardsticks it has one degree of freedom,
    whose t of 64 would decide nothing. How often equal engines are called slower is measured instead,
    on machines (``benchmarks/honesty.py``) and on simulated ones (``tests/test_bench_yardsticks.py``).
    """
    pairs = machine.at(a)
    if not pairs or not all(len(row.samples) > 1 and min(row.samples) > 0 for row in (a, b)):
        return None
    like, other = KINDS[a.phase]
    before = _Run.of(a, [old for old, _ in pairs], like)
    after = _Run.of(b, [new for _, new in pairs], like)
    told = [
        _Run.of(b, [new], kind).middle - _Run.of(a, [old], kind).middle
        for old, new in pairs
        for kind in (like, other)
    ]
    middle = after.middle - before.middle
    freedom = len(before.blocks) + len(after.blocks) - 2
    half = student(freedom) * math.sqrt(before.variance + after.variance + statistics.variance(told))
    return Relative(exp(middle), exp(middle - half), exp(middle + half))


@dataclass(frozen=True)
class _Run:
    """A row of one run: the logarithms of its rounds over their yardsticks'."""

    levels: Sequence[float]
    processes: int

    @classmethod
    def of(cls, row: Row, yardsticks: Sequence[Yardstick], kind: Kind) -> "_Run":
        machine = [_levels_of(yardstick, kind, row) for yardstick in yardsticks]
        levels = [
            math.log(sample) - statistics.fmean(at_once)
            for sample, *at_once in zip(row.samples, *machine, strict=True)
        ]
        return cls(levels, row.processes)

    @property
    def middle(self) -> float:
        return median(self.levels) if self.processes == 1 else statistics.fmean(self.blocks)

    @property
    def blocks(self) -> list[float]:
        """Medians of the processes, or of consecutive pieces of the only one."""
        return blocks_of(self.levels, self.processes)

    @property
    def variance(self) -> float:
        """Of `middle`; see `ratio_of`."""
        variance = statistics.variance(self.blocks)
        return variance if self.processes == 1 else variance / self.processes


def _is_another_library(framework: str, a: Results, b: Results) -> bool:
    """Whether both runs say what computes a framework's products, and not the same.

    What only one of them says is not known to differ; another machine's kernels are that machine's own.
    """
    cpus = a.environment.get("cpu"), b.environment.get("cpu")
    names = LIBRARY + (KERNELS if cpus[0] == cpus[1] else ())
    one, other = (_about(framework, results) for results in (a, b))
    said = [(one.get(name), other.get(name)) for name in names]
    return any(left != right for left, right in said if None not in (left, right))


def _about(framework: str, results: Results) -> Mapping[str, object]:
    known = results.environment.get("backends")
    about = known.get(framework) if isinstance(known, Mapping) else None
    return about if isinstance(about, Mapping) else {}


def student(freedom: int) -> float:
    """How many standard errors a 99 % interval reaches to each side, from 1 degree of freedom on."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def exp(log: float) -> float:
    """A ratio from its logarithm, finite."""
    longest = math.log(LARGEST)
    return math.exp(max(-longest, min(longest, log)))


def _levels_of(yardstick: Yardstick, kind: Kind, row: Row) -> list[float]:
    """Logarithms of what the yardstick took in each of the row's rounds.

    In the middle of all where the two are not of the same rounds, as in a file that was put together.
    """
    samples = _samples(yardstick, kind)
    if (len(samples), yardstick.processes) == (len(row.samples), row.processes):
        return [math.log(sample) for sample in samples]
    return [_middle(yardstick, kind)] * len(row.samples)


def _middle(yardstick: Yardstick, kind: Kind) -> float:
    logs = [math.log(sample) for sample in _samples(yardstick, kind)]
    return median(middles_of(logs, yardstick.processes))


def _samples(yardstick: Yardstick, kind: Kind) -> tuple[float, ...]:
    samples: tuple[float, ...] = getattr(yardstick, kind)
    return samples


def _usable(yardstick: Yardstick) -> bool:
    """Whether every round took some time."""
    return all(min(_samples(yardstick, kind), default=0) > 0 for kind in EVERY_KIND)
