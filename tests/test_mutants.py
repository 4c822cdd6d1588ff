"""The mutants of ``crossgrad selftest``: right but for their fault, and wrong by it."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain

import numpy as np
import pytest

from crossgrad.backends.base import Trace
from crossgrad.backends.registry import load
from crossgrad.diagnosis import CAUSES
from crossgrad.mutants import MUTANTS, STAGES, Mutant, random_case, run_hooked, run_mutant
from crossgrad.mutants.cases import FULL, SMALL
from crossgrad.mutants.mutant import in_one_layer
from crossgrad.mutants.rounding import accumulated, rounded
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import find_dtype

from .conftest import make_case

BFLOAT16 = pytest.param(
    "bfloat16", marks=pytest.mark.skipif(find_spec("ml_dtypes") is None, reason="ml_dtypes is not installed")
)
DTYPES = ["float64", "float32", "float16", BFLOAT16]

HAND_MADE = [("5-5-5-5", 1), ("5-5-5-5", 5), ("3-70-66-4", 19), ("-".join(["6"] * 13), 3), ("80-3-4", 2)]
"""Square at batch one, batch as wide as layers, over the edges of blocks, deep: (network, batch size)."""


def engine_trace(case: Case) -> Trace:
    program = load("numpy").prepare(case, "manual", "cpu")
    return program.trace(program.put(case.parameters, case.batch))


def assert_same_bits(got: Trace, expected: Trace) -> None:
    assert set(got.quantities) == set(expected.quantities)
    for name, array in expected.quantities.items():
        assert got.quantities[name].dtype == array.dtype
        assert got.quantities[name].shape == array.shape
        assert got.quantities[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_fault_the_step_is_the_engines_bit_for_bit(dtype: str) -> None:
    made = (make_case(network, dtype, batch_size=batch_size) for network, batch_size in HAND_MADE)
    for case in chain(
        made, (random_case(seed, dtype, small=True) for seed in range(25)), [random_case(7, dtype)]
    ):
        assert_same_bits(run_hooked(case), engine_trace(case))


def test_the_catalogue_is_in_order() -> None:
    assert len(MUTANTS) >= 45
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.stage for mutant in MUTANTS} == set(STAGES)
    assert {mutant.cause for mutant in MUTANTS} <= {*CAUSES, None}
    assert all(mutant.description for mutant in MUTANTS)


def suitable(mutant: Mutant) -> Iterator[Case]:
    """Float64 cases in which the fault is possible; the last ones are random."""
    made = (make_case(network, "float64", batch_size=batch_size) for network, batch_size in HAND_MADE)
    drawn = (random_case(seed, "float64", small=True) for seed in range(5))
    return (case for case in chain(made, drawn) if mutant.applies(case))


def moved(got: Trace, expected: Trace) -> bool:
    """Whether some element of some quantity is off by more than 1e-9 of the quantity's largest."""
    return any(
        not np.abs(got.quantities[name] - array).max() <= 1e-9 * np.abs(array).max()
        for name, array in expected.quantities.items()
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_wrong_somewhere(mutant: Mutant) -> None:
    assert any(moved(run_mutant(mutant, case), engine_trace(case)) for case in suitable(mutant))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mutant_delivers_every_quantity_in_shape_and_dtype(dtype: str) -> None:
    for case in [make_case("5-5-20-20", dtype, batch_size=17), random_case(3, dtype, small=True)]:
        expected = {q.name: (q.shape, case.format.storage) for q in case.quantities}
        for mutant in (mutant for mutant in MUTANTS if mutant.applies(case)):
            trace = run_mutant(mutant, case)
            got = {name: (array.shape, array.dtype) for name, array in trace.quantities.items()}
            assert got == expected, mutant.name


@pytest.mark.parametrize("dtype", ["float32", BFLOAT16])
def test_a_mutant_hits_a_case_and_its_widened_twin_alike(dtype: str) -> None:
    """What is not narrow by design: the narrow run is nearer to its exact values than to right ones."""
    case = make_case("5-5-5-5", dtype, batch_size=5)
    narrow, tolerance = find_dtype(dtype), 40
    for mutant in (m for m in MUTANTS if m.applies(case) and m.stage != "precision"):
        got, exact = run_mutant(mutant, case).quantities, run_mutant(mutant, case.widened()).quantities
        for kind in ("dW", "db", "W_new"):
            error = np.abs(got[f"{kind}.2"].astype(np.float64) - exact[f"{kind}.2"]).max()
            assert error <= tolerance * narrow.eps * max(1e-2, np.abs(exact[f"{kind}.2"]).max()), mutant.name
        assert (mutant.layer is None) or mutant.layer(case) == mutant.layer(case.widened())


def test_a_layer_is_chosen_by_seed_among_those_that_fit() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "W-transposed-in-da")
    assert mutant.layer is not None
    cases = [make_case("4-4-4-3-3-3-5", "float64", seed=seed) for seed in range(20)]
    assert {mutant.layer(case) for case in cases} == {2, 4, 5}
    assert not mutant.applies(make_case("4-4-3-2", "float64"))


def test_only_the_chosen_layer_is_wrong() -> None:
    case = make_case("5-5-5-5", "float64", batch_size=4)
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "dW-transposed")
    assert mutant.layer is not None
    got, expected = run_mutant(mutant, case).quantities, engine_trace(case).quantities
    hit = mutant.layer(case)
    np.testing.assert_array_equal(got[f"dW.{hit}"], expected[f"dW.{hit}"].T)
    wrong = {name for name, array in expected.items() if not np.array_equal(got[name], array)}
    assert wrong == {f"dW.{hit}", f"W_new.{hit}", "loss_new"}


def test_a_fault_in_a_formula_that_has_no_layer_cannot_be_limited_to_one() -> None:
    mutant = in_one_layer("impossible", "loss", "", None, loss_backward=lambda rule, a, y: a)
    with pytest.raises(ValueError, match="not called once a layer: loss_backward"):
        run_mutant(mutant, make_case("3-4-2", "float64"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_cases_are_a_function_of_the_seed(dtype: str) -> None:
    for seed in range(5):
        first, second = random_case(seed, dtype, small=True), random_case(seed, dtype, small=True)
        assert (first.network, first.loss, first.learning_rate) == (
            second.network,
            second.loss,
            second.learning_rate,
        )
        for one, other in zip(first.batch, second.batch, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({str(random_case(seed, dtype, small=True).network) for seed in range(5)}) == 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("small", [True, False])
def test_random_cases_are_valid_and_in_range(dtype: str, small: bool) -> None:
    limits = SMALL if small else FULL
    cases = [random_case(seed, dtype, small=small) for seed in range(40)]
    for case in cases:
        assert 1 <= len(case.parameters) <= limits.depth
        assert max(case.network.widths) <= limits.width
        assert 1 <= case.batch_size <= limits.batch
        assert case.network.parameter_count * case.batch_size <= limits.products
        assert np.isfinite(engine_trace(case).quantities["loss"])
    assert {case.loss for case in cases} == {"mse", "mse-sum", "half-mse"}
    assert any("denormal" in case.name for case in cases)
    assert any(case.batch_size == 1 for case in cases)


@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_cases_lie_around_the_smallest_normal_number(dtype: str) -> None:
    case = next(c for c in (random_case(s, dtype, small=True) for s in range(99)) if "denormal" in c.name)
    assert 0 < np.abs(case.batch.x.astype(np.float64)).max() < 2.0 ** (case.format.min_exponent + 6)


def test_rounding_to_fewer_bits_is_rounding_to_nearest_even() -> None:
    values = np.random.default_rng(0).standard_normal(10_000) * np.exp2(np.arange(10_000) % 12)
    values = values[np.abs(values) > 2.0**-14]
    ties = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, -1 - 2.0**-11, 0.0, np.inf, -np.inf, np.nan])
    for carrier in (np.float64, np.float32):
        given = np.concatenate([values, ties]).astype(carrier)
        np.testing.assert_array_equal(rounded(given, 11), given.astype(np.float16).astype(carrier))
    np.testing.assert_array_equal(rounded(values, 24), values.astype(np.float32))
    assert rounded(values, 53) is values


def test_sums_of_fewer_bits_lose_what_is_small() -> None:
    """1 + 64 * 2**-9: each block of 16 adds 2**-5, which 8 bits keep and 4 bits do not."""
    left, right = np.full((1, 81), 2.0**-9), np.ones((81, 1))
    left[0, :17] = [1.0] + [0.0] * 16
    assert accumulated(left, right, 8) == 1 + 64 * 2.0**-9
    assert accumulated(left, right, 4) == 1
