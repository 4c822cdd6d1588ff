"""The smallest case that is still wrong: delta debugging on a case's layers, widths, samples and numbers.

After Zeller and Hildebrandt (2002, Simplifying and isolating failure-inducing
input): leave out large parts first, then smaller ones, and go on with whatever
is still wrong. Three things are particular to training steps:

- A fault may need two lengths to be equal, as in a square layer: axes of one
  length are cut together before each is cut alone.
- A cut case may be wrong for another reason: `same_fault` looks at what is
  wrong first, and in what way.
- Most faults show in one unit, and an engine that compiles pays for each case:
  the first cases tried are the smallest that there are.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from .candidates import CandidateFile
from .compare import Comparison, compare_runs
from .engines import EngineId, candidate_id
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.errors import InvalidInput
from .oracle import consult
from .run import OK, Run
from .smaller import (
    SAMPLES,
    SIMPLER,
    arrays,
    axes,
    keeping,
    shape_size,
    size,
    with_arrays,
    without_layers,
)
from .verdict import UNDECIDABLE, WRONG

BUDGET = 400
"""Cases that a reduction tries at most."""

MOST_CHUNKS = 16
"""A cut is tried in the middle of an axis only where the axis is at most so many cuts long."""

MOST_ELEMENTS = 64
"""Numbers are simplified one by one in cases of at most so many."""

LEARNING_RATES = (1.0, 0.1)

STAGES = {
    **dict.fromkeys(("z", "a"), "forward"),
    "loss": "loss",
    **dict.fromkeys(("da", "dz"), "backward"),
    **dict.fromkeys(("dW", "db"), "gradient"),
    **dict.fromkeys(("W_new", "b_new", "loss_new"), "update"),
}
"""Where in a step the quantities of each kind come from."""


@dataclass(frozen=True)
class Subject:
    """What is wrong somewhere: an engine, or a function of the user's in `file`, and how it runs a case."""

    id: EngineId
    run: Callable[[Case], Run]
    file: CandidateFile | None = None

    @classmethod
    def candidate(cls, file: CandidateFile, run: Callable[[Case], Run]) -> Self:
        return cls(candidate_id(file.name), run, file)


StillWrong = Callable[[Case], bool]
Proposal = tuple[str, Callable[[], Case]]
"""A step in words, and the case that it leads to, made only when it is tried."""

Proposals = Callable[[Case], Iterable[Proposal]]


@dataclass(frozen=True)
class Reduced:
    """What became of a case.

    Parameters
    ----------
    case
        The smallest case found that is still wrong; the original one if none was.
    tried
        How many smaller cases were tried.
    steps
        What was left out or made simple, a sentence a step.
    """

    case: Case
    tried: int
    steps: tuple[str, ...]


class _Spent(Exception):
    """The budget is spent."""


def reduce_case(case: Case, still_wrong: StillWrong, *, budget: int = BUDGET) -> Reduced:
    """Shrink `case`, of which `still_wrong` is true, as long as it stays true.

    Every step makes the case smaller (`smaller.size`), so the search ends; the
    same case and answers give the same result.

    Parameters
    ----------
    still_wrong
        Whether a smaller case shows the fault too. One that raises
        `InvalidInput` does not; any other exception ends the reduction.
    budget
        How often it may be asked.
    """
    search = _Search(case, still_wrong, budget)
    try:
        search.take(_smallest)
        while search.descend(_fewer_layers) + _cut_axes(search) + _simplify(search):
            pass
    except _Spent:
        pass
    found = replace(search.case, name=f"{case.name}-reduced") if search.steps else case
    return Reduced(found, search.tried, tuple(search.steps))


class _Search:
    """The smallest case so far, and what was tried."""

    def __init__(self, case: Case, still_wrong: StillWrong, budget: int) -> None:
        self.case = case
        self.tried = 0
        self.steps: list[str] = []
        self._still_wrong = still_wrong
        self._budget = budget
        self._size = size(case)
        self._seen: set[tuple[object, ...]] = set()

    def take(self, proposals: Proposals) -> bool:
        """Go on with the first proposal that is still wrong, if one is."""
        return any(self._accepts(step, make) for step, make in proposals(self.case))

    def descend(self, proposals: Proposals) -> int:
        """Take proposals until none is still wrong; count those taken."""
        before = len(self.steps)
        while self.take(proposals):
            pass
        return len(self.steps) - before

    def _accepts(self, step: str, make: Callable[[], Case]) -> bool:
        try:
            candidate = make()
            if not self._is_smaller(candidate) or self._was_seen(candidate):
                return False
            if self.tried >= self._budget:
                raise _Spent
            self.tried += 1
            if not self._still_wrong(candidate):
                return False
        except InvalidInput:
            return False
        self.case, self._size = candidate, size(candidate)
        self.steps.append(step)
        return True

    def _is_smaller(self, candidate: Case) -> bool:
        shape, of_mine = shape_size(candidate), self._size[:2]
        return size(candidate) < self._size if shape == of_mine else shape < of_mine

    def _was_seen(self, case: Case) -> bool:
        numbers = hashlib.sha256(b"".join(array.tobytes() for array in arrays(case).values())).digest()
        key = (str(case.network), case.batch_size, case.learning_rate, numbers)
        seen = key in self._seen
        self._seen.add(key)
        return seen


def _smallest(case: Case) -> Iterator[Proposal]:
    """The smallest cases there are, with the case's numbers and with plain ones, which noise drowns less."""
    layers = len(case.network.layers)
    for made, words in ((_as_it_is, ""), (partial(_plain, simpler=np.ones_like), ", W and x made ones")):
        for length, lengths in ((1, "widths and batch 1"), (2, "widths and batch at most 2")):
            for depth in range(1, min(layers, 3) + 1):
                step = f"kept {depth} of {layers} layers, {lengths}{words}"
                yield step, partial(_cut, case, depth, length, made)


def _cut(case: Case, depth: int, length: int, made: Callable[[Case], Case]) -> Case:
    for axis, count in axes(case).items():
        case = keeping(case, axis, range(min(length, count)))
    layers = len(case.network.layers)
    return made(without_layers(case, depth + 1, layers) if depth < layers else case)


def _as_it_is(case: Case) -> Case:
    return case


def _plain(case: Case, simpler: Callable[[Array], Array]) -> Case:
    """With `simpler` numbers in W and x, and zeros for y and b."""
    named = arrays(case).items()
    return with_arrays(case, {name: (np.zeros_like if name[0] in "yb" else simpler)(v) for name, v in named})


def _fewer_layers(case: Case) -> Iterator[Proposal]:
    """Runs of layers left out: long ones first, from the top, from the bottom, from the middle."""
    layers = len(case.network.layers)
    for first, count in _cuts(layers):
        last = first + count
        which = f"layer {last}" if count == 1 else f"layers {first + 1} to {last}"
        yield f"left out {which} of {layers}", partial(without_layers, case, first + 1, last)


def _cut_axes(search: _Search) -> int:
    """Widths and batch: axes of one length together, then each alone."""
    taken = 0
    for length in sorted(set(axes(search.case).values()), reverse=True):
        alike = [axis for axis, count in axes(search.case).items() if count == length]
        if len(alike) > 1:
            taken += search.descend(partial(_shorter, alike))
    for axis in sorted(axes(search.case), key=axes(search.case).__getitem__, reverse=True):
        taken += search.descend(partial(_shorter, [axis]))
    return taken


def _shorter(together: Sequence[int], case: Case) -> Iterator[Proposal]:
    """A run of units or samples left out, the same one of each axis in `together`."""
    length = axes(case)[together[0]]
    names = " and ".join(_axis_name(axis, len(case.network.layers)) for axis in together)
    for first, count in _cuts(length):
        kept = [*range(first), *range(first + count, length)]
        yield f"{names}: kept {len(kept)} of {length}", partial(_keeping_all, case, together, kept)


def _keeping_all(case: Case, together: Iterable[int], kept: Sequence[int]) -> Case:
    for axis in together:
        case = keeping(case, axis, kept)
    return case


def _axis_name(axis: int, layers: int) -> str:
    if axis == SAMPLES:
        return "samples"
    return "inputs" if axis == 0 else "outputs" if axis == layers else f"units of layer {axis}"


def _cuts(length: int) -> Iterator[tuple[int, int]]:
    """What to leave out of `length` things, as (first, count): large runs before small ones."""
    counts = [length - 1]
    while counts[-1] > 1:
        counts.append(min(counts[-1] - 1, (counts[-1] + 1) // 2))
    for count in counts if length > 1 else ():
        last = length - count
        middle = range(count, last, count) if length <= MOST_CHUNKS * count else ()
        for first in dict.fromkeys((last, 0, *middle)):
            yield first, count


def _simplify(search: _Search) -> int:
    """The numbers: all at once, then array by array, then one by one, then the learning rate."""
    taken = search.descend(_simpler_case)
    for name in arrays(search.case):
        taken += search.descend(partial(_simpler_array, name))
    if sum(array.size for array in arrays(search.case).values()) <= MOST_ELEMENTS:
        for name, array in arrays(search.case).items():
            for index in np.ndindex(array.shape):
                taken += search.descend(partial(_simpler_element, name, index))
    return taken + search.descend(_simpler_rate)


def _simpler_case(case: Case) -> Iterator[Proposal]:
    for words, simpler in SIMPLER.items():
        if words in ("ones", "plus or minus ones"):
            yield f"W and x made {words}, y and b zeros", partial(_plain, case, simpler)
        else:
            changed = {name: simpler(array) for name, array in arrays(case).items()}
            yield f"all numbers made {words}", partial(with_arrays, case, changed)


def _simpler_array(name: str, case: Case) -> Iterator[Proposal]:
    for words in _simplest_first(name):
        changed = {name: SIMPLER[words](arrays(case)[name])}
        yield f"{name} made {words}", partial(with_arrays, case, changed)


def _simpler_element(name: str, index: tuple[int, ...], case: Case) -> Iterator[Proposal]:
    array = arrays(case)[name]
    for words in _simplest_first(name):
        changed = np.array(array, np.float64)
        changed[index] = SIMPLER[words](changed[index])
        place = ", ".join(map(str, index))
        yield (
            f"{name}[{place}] {array[index]} made {changed[index]:g}",
            partial(with_arrays, case, {name: changed}),
        )


def _simplest_first(name: str) -> Sequence[str]:
    """Zeros are the simplest targets and biases; zero weights and inputs would hide what they touch."""
    return sorted(SIMPLER, key=lambda words: words != "zeros") if name[0] in "yb" else list(SIMPLER)


def _simpler_rate(case: Case) -> Iterator[Proposal]:
    for rate in LEARNING_RATES:
        yield (
            f"learning rate {case.learning_rate:g} made {rate:g}",
            partial(replace, case, learning_rate=rate),
        )


def judged(case: Case, subject: Subject, oracle: str = "auto") -> tuple[Run, tuple[Comparison, ...]]:
    """Run an engine or a function and judge every quantity, in data-flow order.

    Raises
    ------
    InvalidInput
        If there is no oracle, or none that can judge this dtype here.
    """
    with np.errstate(all="ignore"):
        run = subject.run(case)
    if run.status != OK:
        return run, ()
    judge = consult(case, oracle)
    if judge.name == "none":
        raise InvalidInput(
            f'nobody judges {case.dtype}: reduce needs an oracle, as in pip install "crossgrad[oracle]"'
        )
    return run, compare_runs(case, [run], judge)


def wrong_among(comparisons: Iterable[Comparison]) -> list[Comparison]:
    return [c for c in comparisons if c.verdict in WRONG]


def same_fault(subject: Subject, oracle: str, original: Sequence[Comparison]) -> StillWrong:
    """Whether what is wrong first in a case may be what is wrong in the `original` one, all judged.

    A fault is known by the stage of the step where it shows first, its verdict,
    and whether the quantity was there to be measured: a gradient that got a
    wrong shape only because the case was cut is another fault. Where rounding
    noise hid earlier quantities of the original, it may show first in those.
    """
    first = wrong_among(original)[0]
    before = original[: original.index(first)]
    verdict, measured, stage = _way(first)
    stages = {stage} | {_way(c)[2] for c in before if c.verdict == UNDECIDABLE}

    def still_wrong(case: Case) -> bool:
        wrong = wrong_among(judged(case, subject, oracle)[1])
        if not wrong:
            return False
        way = _way(wrong[0])
        return way[:2] == (verdict, measured) and way[2] in stages

    return still_wrong


def _way(comparison: Comparison) -> tuple[str, bool, str]:
    kind, measured = comparison.quantity.partition(".")[0], comparison.judgement.index is not None
    return comparison.verdict, measured, STAGES[kind]
