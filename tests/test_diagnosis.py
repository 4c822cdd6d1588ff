"""The diagnosis: known faults are named with their number and place."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.arithmetic import Uncertain
from crossgrad.diagnosis import CAUSES
from crossgrad.diagnosis.measure import confidence, fit
from crossgrad.mutants import run_hooked
from crossgrad.mutants.hooks import (
    HOOKS,
    Hooks,
    activate,
    bias_gradient,
    derivative,
    pull_back,
    weight_gradient,
)
from crossgrad.networks.batches import Batch
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array

from .conftest import NATIVE, make_case
from .planted import (
    VIEWS,
    case_for,
    counting,
    da_times,
    db_of,
    delivered,
    diagnosed,
    dW_of,
    dz_of,
    in_bits,
    in_layer,
    product_in,
    with_element,
    with_fault,
    with_updated_weights,
)


@dataclass(frozen=True)
class Fault:
    """Wrong hooks, and what must be said of them.

    Parameters
    ----------
    words
        Must all occur in the text, of an engine and of a candidate.
    place
        The quantity that an engine's diagnosis must name.
    """

    faults: dict[str, Any]
    cause: str
    words: tuple[str, ...] = ()
    value: float | None = None
    place: str | None = None


FAULTS = {
    "factor-2": Fault(da_times(2), "factor", ("2 times", "missing 1/2"), 2, "da.3"),
    "factor-half": Fault(da_times(0.5), "factor", ("0.5 times", "1/2"), 0.5, "da.3"),
    "factor-batch": Fault(da_times(6), "factor", ("6 times", "B", "batch"), 6, "da.3"),
    "factor-over-batch": Fault(da_times(1 / 6), "factor", ("1/B", "batch"), 1 / 6, "da.3"),
    "factor-outputs": Fault(da_times(4), "factor", ("4 times",), 4, "da.3"),
    "factor-over-elements": Fault(da_times(1 / 24), "factor", ("1/(B O)", "mean"), 1 / 24, "da.3"),
    "factor-without-a-name": Fault(da_times(3.7), "factor", ("3.7 times",), 3.7, "da.3"),
    "sign": Fault(da_times(-1), "sign", ("wrong sign",), -1, "da.3"),
    "sign-of-one-dW": Fault(dW_of(2, np.negative), "sign", ("dW.2",), -1, "dW.2"),
    "dW-transposed": Fault(dW_of(2, np.transpose), "transpose", ("dW.2", "transposed"), None, "dW.2"),
    "dW-rows-moved": Fault(dW_of(2, lambda dW: np.roll(dW, 1, 0)), "permutation", ("moved on by 1",)),
    "W-transposed-in-da": Fault(
        {"pull_back": in_layer(3, pull_back, lambda at, seen, dz: dz @ at.W.T)},
        "transpose",
        ("da.2", "W.3"),
        None,
        "da.2",
    ),
    **{
        f"derivative-missing-in-layer-{n}": Fault(
            dz_of(n, lambda at, seen, da: da),
            "missing-derivative",
            (f"dz.{n}", f"layer {n}"),
            None,
            f"dz.{n}",
        )
        for n in (1, 2, 3)
    },
    "derivative-missing-everywhere": Fault(
        {"derivative": lambda at, seen, da: da}, "missing-derivative", ("dz.3",), None, "dz.3"
    ),
    "derivative-at-a": Fault(
        dz_of(2, lambda at, seen, da: at.rule.backward(da, at.rule.forward(seen.a))),
        "derivative-at-a",
        ("dz.2", "a.2"),
        None,
        "dz.2",
    ),
    "updated-weights": Fault({"pull_back": with_updated_weights}, "updated-weights", ("da.2", "update")),
    "db-of-one-sample": Fault(db_of(2, lambda dz: dz[4]), "bias-not-summed", ("db.2", "sample 4 alone")),
    "db-averaged": Fault(db_of(2, lambda dz: dz.mean(0)), "factor", ("db.2", "1/B"), 1 / 6, "db.2"),
    "db-over-everything": Fault(
        db_of(2, lambda dz: np.full_like(dz[0], dz.sum())), "bias-not-summed", ("db.2", "samples and units")
    ),
    "sample-dropped": Fault(counting([1, 1, 1, 0, 1, 1]), "sample-dropped", ("leaves out sample 3",)),
    "samples-dropped": Fault(counting([1, 1, 1, 1, 0, 0]), "sample-dropped", ("samples 4 and 5",)),
    "sample-repeated": Fault(counting([1, 1, 2, 1, 1, 1]), "sample-repeated", ("sample 2 more than once",)),
    "sample-for-another": Fault(
        counting([0, 1, 1, 1, 2, 1]), "sample-repeated", ("sample 4 in the place of sample 0",)
    ),
    "dW-zero": Fault(dW_of(2, np.zeros_like), "detached", ("dW.2", "zero"), 0, "dW.2"),
    "da-zero": Fault(
        {"pull_back": in_layer(2, pull_back, lambda at, seen, dz: 0 * seen.a_prev)}, "detached", ("zero",), 0
    ),
    "dW-element-missing": Fault(
        dW_of(2, lambda dW: with_element(dW, (1, 2), 0)), "elements", ("dW.2", "[1, 2]", "zero")
    ),
    "dW-element-wrong": Fault(
        dW_of(2, lambda dW: with_element(dW, (1, 2), 0.7)), "elements", ("dW.2", "[1, 2]")
    ),
    "dW-last-column-missing": Fault(
        dW_of(2, lambda dW: with_element(dW, (slice(None), -1), 0)), "elements", ("column 3 (the last)",)
    ),
    "dz-element-missing": Fault(
        dz_of(2, lambda at, seen, da: with_element(derivative(at, seen, da), (3, 1), 0)),
        "elements",
        ("dz.2", "[3, 1]"),
    ),
    "x-centred-before-dW": Fault(
        {
            "weight_gradient": in_layer(
                1, weight_gradient, lambda at, seen, dz: dz.T @ (seen.a_prev - seen.a_prev.mean(0))
            )
        },
        "input-changed",
        ("dW.1", "centred"),
        None,
        "dW.1",
    ),
    "x-scaled": Fault(
        {"read": lambda batch: Batch(batch.x / 256, batch.y)}, "input-changed", (), 1 / 256, "z.1"
    ),
    "targets-moved": Fault(
        {"read": lambda batch: Batch(batch.x, np.roll(batch.y, 1, axis=0))}, "permutation", ("moved on by",)
    ),
    "sigmoid-clipped": Fault(
        {"activate": lambda at, z: activate(at, np.clip(z, -1, 1))},
        "approximate-activation",
        ("limited to 1",),
        1,
        "a.1",
    ),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("name", FAULTS)
def test_a_known_fault_is_named(name: str, dtype: str, view: str) -> None:
    fault = FAULTS[name]
    found = with_fault(case_for(dtype), view, **fault.faults)
    assert found[0].cause == fault.cause, found
    for word in fault.words:
        assert word in found[0].text
    if fault.value is not None:
        assert found[0].value == pytest.approx(fault.value, rel=1e-4)
    if fault.place is not None and view == "engine":
        assert found[0].quantity == fault.place


@pytest.mark.parametrize("view", VIEWS)
def test_a_sum_over_the_wrong_axis_is_named(view: str) -> None:
    """As many samples as units: the shape does not give it away."""
    found = with_fault(case_for("float32", batch_size=4), view, **db_of(2, lambda dz: dz.sum(axis=1)))
    assert found[0].cause == "bias-not-summed"
    assert "over the units" in found[0].text


def test_other_places_with_the_same_fault_are_listed() -> None:
    found = with_fault(case_for("float32"), "engine", derivative=lambda at, seen, da: da)
    assert found[0].text.endswith("the same in dz.2 and dz.1")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("dtype", "precision"), [("float32", 8), ("float32", 11), ("float64", 11)])
@pytest.mark.parametrize(
    "where",
    [lambda p: {"product": product_in(p)}, lambda p: {"store": lambda kind, value: in_bits(p)(value)}],
    ids=["products", "stored"],
)
def test_narrow_arithmetic_is_named_with_its_bits(where, dtype: str, precision: int, view: str) -> None:
    found = with_fault(case_for(dtype), view, **where(precision))
    assert found[0].cause == "narrow-arithmetic"
    assert found[0].value == precision
    assert f"about {precision} significant bits" in found[0].text


@pytest.mark.parametrize("view", VIEWS)
def test_float64_in_float32_is_named(view: str) -> None:
    case = case_for("float64")
    found = diagnosed(case, delivered(run_hooked(replace(case, dtype="float32")).quantities, view))
    assert (found[0].cause, found[0].value) == ("x64-off", 24)


def test_noise_of_fewer_bits_is_estimated_from_its_size() -> None:
    """Nothing is rounded to few bits, and no product repeats it: only the errors' size is left."""
    rng = np.random.default_rng(0)

    def noisy(left: Array, right: Array) -> Array:
        exact = left @ right
        return (exact * (1 + rng.uniform(-1, 1, exact.shape) * 2.0**-9)).astype(left.dtype)

    found = with_fault(case_for("float32", batch_size=20), "engine", product=noisy)
    assert found[0].cause == "narrow-arithmetic"
    assert found[0].value == pytest.approx(9, abs=1.5)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize(
    ("asked", "computed"),
    [("mse", "half-mse"), ("half-mse", "mse"), ("mse", "mse-sum"), ("mse-sum", "half-mse")],
)
def test_another_convention_of_the_loss_is_named(asked: str, computed: str, dtype: str, view: str) -> None:
    case = case_for(dtype, loss=asked)
    got = delivered(run_hooked(replace(case, loss=computed)).quantities, view)
    found = diagnosed(case, got)
    assert (found[0].cause, found[0].quantity) == ("loss-convention", "loss")
    assert f"the loss {computed}" in found[0].text


@pytest.mark.parametrize("view", VIEWS)
def test_gradients_of_another_convention_with_the_right_loss_are_a_factor(view: str) -> None:
    """The verdict on a convention is milder: it must not be given to a gradient that misses its loss."""
    found = with_fault(case_for("float32"), view, **da_times(1 / 24))
    assert "loss-convention" not in {d.cause for d in found}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("factor", [1.01, 0.9999])
def test_a_factor_near_one_is_one_and_no_narrow_arithmetic(factor: float, dtype: str, view: str) -> None:
    first = with_fault(case_for(dtype), view, **da_times(factor))[0]
    assert (first.cause, first.value) == ("factor", pytest.approx(factor, abs=1e-6))


@pytest.mark.parametrize("view", VIEWS)
def test_a_loss_that_is_halved_alone_is_a_factor(view: str) -> None:
    halved = {"loss_value": lambda rule, a, y: rule.value(a, y) * a.dtype.type(0.5)}
    found = with_fault(case_for("float32"), view, **halved)
    assert (found[0].cause, found[0].quantity, found[0].value) == ("factor", "loss", 0.5)


def earlier_gradient(case: Case) -> Hooks:
    """Gradients to which those of other data are added."""
    other = np.random.default_rng(5).standard_normal(case.batch.x.shape)
    earlier = run_hooked(replace(case, batch=Batch(other, case.batch.y))).quantities
    return replace(
        HOOKS,
        weight_gradient=lambda at, seen, dz: weight_gradient(at, seen, dz) + earlier[f"dW.{at.number}"],
        bias_gradient=lambda at, seen, dz: bias_gradient(at, seen, dz) + earlier[f"db.{at.number}"],
    )


def test_an_earlier_gradient_is_guessed_of_an_engine() -> None:
    case = case_for("float32")
    found = diagnosed(case, delivered(run_hooked(case, earlier_gradient(case)).quantities, "engine"))
    assert found[0].cause == "stale-gradient"
    assert found[0].confidence <= 0.85


def test_an_earlier_gradient_is_confirmed_by_its_rank() -> None:
    """Of 2 samples, it is a sum of 2 products, and so is what it is added to."""
    case = make_case("20-16-12", "float32", batch_size=2, seed=1)
    found = diagnosed(case, delivered(run_hooked(case, earlier_gradient(case)).quantities, "engine"))
    assert (found[0].cause, found[0].confidence) == ("stale-gradient", pytest.approx(0.85, abs=0.01))


def test_an_earlier_gradient_is_not_claimed_of_a_candidate() -> None:
    """Its gradients could be wrong for any reason: that is said first."""
    case = case_for("float32")
    found = diagnosed(case, delivered(run_hooked(case, earlier_gradient(case)).quantities, "candidate"))
    assert [d.cause for d in found] == ["unrecognised", "stale-gradient"]


def test_a_report_carries_the_diagnosis() -> None:
    """The quickest way to a wrong gradient: the mean's factor forgotten, in a candidate."""

    def summed(params, x, y):
        a = [x]
        for W, b in params:
            a.append(1 / (1 + np.exp(-(a[-1] @ W.T + b))))
        dz, gradients = (a[-1] - y) * a[-1] * (1 - a[-1]), []
        for n in reversed(range(len(params))):
            gradients.insert(0, (dz.T @ a[n], dz.sum(axis=0)))
            dz = (dz @ params[n][0]) * a[n] * (1 - a[n])
        return np.mean((a[-1] - y) ** 2), gradients

    report = crossgrad.check("4-4-4", backends=["numpy"], dtypes=["float64"], candidates={"mine": summed})
    (blame,) = report.cases[0].blames
    assert blame.diagnoses[0].cause == "factor"
    assert blame.diagnoses[0].value == 32 * 4 / 2


class TestForm:
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("name", ["factor-2", "dz-element-missing", "x-scaled"])
    def test_causes_are_known_and_named_once(self, name: str, view: str) -> None:
        found = with_fault(case_for("float32"), view, **FAULTS[name].faults)
        causes = [d.cause for d in found]
        assert set(causes) <= set(CAUSES)
        assert len(set(causes)) == len(causes)
        assert all(0 <= d.confidence <= 1 for d in found)

    def test_a_full_explanation_is_sure(self) -> None:
        assert with_fault(case_for("float32"), "engine", **da_times(2))[0].confidence > 0.99

    def test_confidence_falls_with_what_remains(self) -> None:
        """Explained are nine tenths of an error of a million limits; then all of it."""
        right = Uncertain(np.ones(100), np.full(100, 1e-14))
        got = right.value + 1.0
        most = Uncertain(right.value + 0.9, right.variance)
        assert confidence([fit(got, right, most)]) < 0.3
        assert confidence([fit(got, right, Uncertain(got, right.variance))]) == 1

    def test_large_noise_earns_no_confidence(self) -> None:
        right = Uncertain(np.ones(100), np.full(100, 1e-14))
        loud = Uncertain(np.ones(100), np.full(100, 1.0))
        assert confidence([fit(right.value + 1.0, right, loud)]) == 0
