"""What is left of a reduced case is small, and wrong in the same way."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad.backends.base import Backend, Program, Trace
from crossgrad.engines import Engine, EngineId
from crossgrad.mutants import MUTANTS, Mutant, run_hooked, run_mutant
from crossgrad.networks.cases import Case
from crossgrad.networks.errors import InvalidInput
from crossgrad.reduction import Subject, judged, reduce_case, same_fault, wrong_among
from crossgrad.run import run_engine
from crossgrad.smaller import SAMPLES, arrays, bits, keeping, rounded, size, with_arrays, without_layers
from crossgrad.verdict import Judgement

from .conftest import make_case
from .drawn import cases


def shapes(case: Case) -> tuple[str, int]:
    return str(case.network), case.batch_size


def squares(case: Case) -> list[bool]:
    return [o == i for o, i in case.network.shapes]


PREDICATES: dict[str, tuple[Callable[[Case], bool], set[tuple[str, int]]]] = {
    "always": (lambda case: True, {("1-1", 1)}),
    "more than one sample": (lambda case: case.batch_size > 1, {("1-1", 2)}),
    "five samples": (lambda case: case.batch_size >= 5, {("1-1", 5)}),
    "not square": (lambda case: not all(squares(case)), {("1-2", 1), ("2-1", 1)}),
    "square": (lambda case: any(squares(case)) and max(case.network.widths) > 1, {("2-2", 1), ("1-1-2", 1)}),
    "batch as wide": (lambda case: case.batch_size == case.network.widths[-1] > 1, {("1-2", 2)}),
    "three layers": (lambda case: len(case.parameters) >= 3, {("1-1-1-1", 1)}),
    "narrowing": (lambda case: any(o < i for o, i in case.network.shapes), {("2-1", 1)}),
    "negative weight": (lambda case: any((W < 0).any() for W, _ in case.parameters), {("1-1", 1)}),
    "eleven outputs": (lambda case: case.network.widths[-1] >= 11, {("1-11", 1)}),
}
"""By name: whether a case is wrong, and the smallest cases that are, as network and batch."""


@pytest.mark.parametrize(
    ("name", "network"),
    [
        (name, network)
        for name, (still_wrong, _) in PREDICATES.items()
        for network in ("7-6-5-5-3-12", "12-12-12-12", "64-100-20-12")
        if still_wrong(make_case(network, batch_size=12))
    ],
)
def test_planted_conditions_come_down_to_the_smallest_case(name: str, network: str) -> None:
    still_wrong, smallest = PREDICATES[name]
    case = make_case(network, batch_size=12)
    assert still_wrong(case)
    found = reduce_case(case, still_wrong)
    assert still_wrong(found.case)
    assert shapes(found.case) in smallest
    assert found.tried <= 120
    assert found.case.name == f"{network}-reduced"
    numbers = np.concatenate([array.ravel() for array in arrays(found.case).values()])
    assert set(numbers) <= {-1.0, 0.0, 1.0}
    assert ((numbers < 0).sum() == 1) == (name == "negative weight")


def test_one_needed_element_is_found_wherever_it_is() -> None:
    case = make_case("20-30-10", batch_size=8)
    weights = case.parameters[1].W.copy()
    weights[6, 17] = 50.3
    case = with_arrays(case, {"W.2": weights})
    found = reduce_case(case, lambda c: any((W > 40).any() for W, _ in c.parameters))
    assert shapes(found.case) == ("1-1", 1)
    assert bits(found.case.parameters[0].W) < bits(np.array(50.3))


def test_the_original_is_returned_if_nothing_smaller_is_wrong() -> None:
    case = make_case("7-6-5", batch_size=4)
    found = reduce_case(case, lambda c: False)
    assert found.case is case
    assert found.steps == ()
    assert 0 < found.tried <= 400


@pytest.mark.parametrize("budget", [0, 1, 5, 17])
def test_the_budget_is_kept(budget: int) -> None:
    asked = 0

    def still_wrong(case: Case) -> bool:
        nonlocal asked
        asked += 1
        return case.network.widths[0] >= 5

    found = reduce_case(make_case("9-8-7", batch_size=6), still_wrong, budget=budget)
    assert asked == found.tried == budget
    assert found.case.network.widths[0] >= 5


def test_what_cannot_be_judged_is_not_wrong() -> None:
    def unjudged(case: Case) -> bool:
        if case.batch_size < 3:
            raise InvalidInput("too few samples")
        return True

    assert shapes(reduce_case(make_case("5-4-3", batch_size=9), unjudged).case) == ("1-1", 3)

    def broken(case: Case) -> bool:
        raise RuntimeError("a fault of the judge")

    with pytest.raises(RuntimeError, match="a fault of the judge"):
        reduce_case(make_case("5-4-3"), broken)


@st.composite
def conditions(draw: st.DrawFn) -> Callable[[Case], bool]:
    """True of a case as large and as uneven as drawn."""
    layers, width, samples = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    threshold, residue = draw(st.floats(-2, 2)), draw(st.sampled_from([1, 1, 2]))

    def condition(case: Case) -> bool:
        return (
            len(case.parameters) >= layers
            and max(case.network.widths) >= width
            and case.batch_size >= samples
            and sum(case.network.widths) % residue == 0
            and bool((case.batch.x > threshold).any())
        )

    return condition


@settings(max_examples=25)
@given(case=cases(), condition=conditions())
def test_what_is_left_is_wrong_and_smaller_and_the_same_each_time(
    case: Case, condition: Callable[[Case], bool]
) -> None:
    accepted = [case]

    def still_wrong(candidate: Case) -> bool:
        wrong = condition(candidate)
        if wrong:
            accepted.append(candidate)
        return wrong

    found = reduce_case(case, still_wrong)
    assert found.tried <= 400
    assert len(found.steps) == len(accepted) - 1
    assert all(size(after) < size(before) for before, after in pairwise(accepted))
    assert found.case is case or condition(found.case)
    assert size(found.case) == size(accepted[-1])
    assert (found.case.dtype, found.case.loss, found.case.seed) == (case.dtype, case.loss, case.seed)
    again = reduce_case(case, condition)
    assert (again.tried, again.steps) == (found.tried, found.steps)
    for name, array in arrays(found.case).items():
        np.testing.assert_array_equal(arrays(again.case)[name], array, strict=True)


def test_bits() -> None:
    numbers = [0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 0.375, 0.1]
    assert [bits(np.array(v)) for v in numbers] == [1, 1, 2, 2, 2, 2, 5, 52 + 55]
    assert bits(np.array(numbers)) == 1 + 1 + 2 + 2 + 2 + 2 + 5 + 107
    np.testing.assert_array_equal(rounded(np.array([0.37, -5.3, 0.0, 1e-310]), 2)[:3], [0.375, -6, 0])


def test_cuts_are_slices_of_the_case() -> None:
    case = make_case("5-4-3-2", batch_size=6)
    cut = keeping(case, 1, [1, 3])
    np.testing.assert_array_equal(cut.parameters[0].W, case.parameters[0].W[[1, 3]])
    np.testing.assert_array_equal(cut.parameters[0].b, case.parameters[0].b[[1, 3]])
    np.testing.assert_array_equal(cut.parameters[1].W, case.parameters[1].W[:, [1, 3]])
    np.testing.assert_array_equal(keeping(case, SAMPLES, [4]).batch.y, case.batch.y[[4]])
    np.testing.assert_array_equal(keeping(case, 3, [1]).batch.y, case.batch.y[:, [1]])
    assert str(without_layers(case, 1, 2).network) == "3-2"
    assert str(without_layers(case, 2, 2).network) == "5-3-2"
    assert str(without_layers(case, 2, 3).network) == "5-2"
    widening = without_layers(make_case("5-2-9-3"), 2, 2)
    assert str(widening.network) == "5-2-3"


class MutantBackend(Backend):
    """An engine with the fault of a mutant, and without it where the mutant does not apply."""

    name = "mutant"
    variants = ("default",)

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        return MutantProgram(case, self.mutant)


class MutantProgram(Program):
    def __init__(self, case: Case, mutant: Mutant) -> None:
        self.case, self.mutant = case, mutant

    def put(self, parameters: Any, batch: Any) -> None:
        pass

    def step(self, values: Any) -> Trace:
        return run_mutant(self.mutant, self.case) if self.mutant.applies(self.case) else run_hooked(self.case)

    def gradients(self, result: Trace) -> dict[str, Any]:
        return {n: q for n, q in result.quantities.items() if n.partition(".")[0] in ("loss", "dW", "db")}

    def trace(self, values: Any) -> Trace:
        return self.step(values)


SMALLEST = {
    "loss-derivative-doubled": ("1-1", 1),
    "loss-derivative-over-elements": ("1-2", 2),
    "dW-transposed": ("2-2", 1),
    "W-transposed-in-da": ("1-2-2", 1),
    "derivative-missing-in-lower-layers": ("1-1-1-1", 1),
    "units-permuted-in-db": ("1-2", 1),
    "last-sample-dropped": ("1-1", 2),
    "dW-wrong-at-16": ("17-1", 1),
    "update-of-layer-below": ("1-1-1", 1),
    "products-in-bfloat16": ("1-1", 1),
    "gradients-stored-in-bfloat16": ("1-1", 1),
}


def subject_of(mutant: Mutant) -> Subject:
    engine = Engine(EngineId("mutant", mutant.name, "cpu"), MutantBackend(mutant))
    return Subject(engine.id, partial(run_engine, engine=engine))


@pytest.mark.parametrize("name", SMALLEST)
def test_mutants_come_down_to_the_smallest_case(name: str) -> None:
    (mutant,) = (m for m in MUTANTS if m.name == name)
    engine = subject_of(mutant)
    case = make_case("20-24-24-24-10", batch_size=10)
    _, comparisons = judged(case, engine)
    found = reduce_case(case, same_fault(engine, "auto", comparisons))
    assert shapes(found.case) == SMALLEST[name]
    before, after = (wrong_among(found) for found in (comparisons, judged(found.case, engine)[1]))
    assert before[0].quantity.partition(".")[0] == after[0].quantity.partition(".")[0]


@pytest.mark.parametrize(("verdict", "expected"), [("undecidable", True), ("agree", False)])
def test_a_fault_that_noise_hid_may_show_earlier(verdict: str, expected: bool) -> None:
    """With dW wrong first, that dz is wrong in a smaller case is the same fault only if dz was in doubt."""
    (mutant,) = (m for m in MUTANTS if m.name == "loss-derivative-doubled")
    engine = subject_of(mutant)
    case = make_case("3-2", batch_size=2)
    _, comparisons = judged(case, engine)
    assert wrong_among(comparisons)[0].quantity == "da.1"
    found = Judgement(verdict, index=(0, 0))
    hidden = [replace(c, judgement=found) if c.quantity in ("da.1", "dz.1") else c for c in comparisons]
    assert same_fault(engine, "auto", comparisons)(case)
    assert same_fault(engine, "auto", hidden)(case) is expected
