"""Faults planted in the hand-derived pass, and what the diagnosis says of them.

Faults are hooks (``crossgrad/mutants/hooks.py``), so what follows from a fault
is wrong as well, as in a real engine. Each is seen twice: as an engine, with
every quantity, and as a candidate, of which only the loss, dW and db are known.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crossgrad.diagnosis import Diagnosis, diagnose
from crossgrad.diagnosis.precision import rounded
from crossgrad.floor import rounding_floor
from crossgrad.mutants import run_hooked
from crossgrad.mutants.hooks import (
    HOOKS,
    Layer,
    bias_gradient,
    derivative,
    loss_backward,
    weight_gradient,
)
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.place import place_of_error
from crossgrad.run import CANDIDATE_KINDS
from crossgrad.verdict import WRONG, Expectation, judge

from .conftest import make_case

VIEWS = ["engine", "candidate"]


def case_for(dtype: str, **options: Any) -> Case:
    """Three layers of which two are square; 6 samples, 4 outputs."""
    options = {"loss": "mse-sum", "batch_size": 6, "learning_rate": 0.5, "seed": 3} | options
    return make_case("5-4-4-4", dtype, **options)


def delivered(quantities: Mapping[str, Array], view: str) -> dict[str, Array]:
    return {
        name: np.asarray(array, np.float64)
        for name, array in quantities.items()
        if view == "engine" or name.partition(".")[0] in CANDIDATE_KINDS
    }


def diagnosed(case: Case, got: Mapping[str, Array]) -> tuple[Diagnosis, ...]:
    """What is said of a trace or a candidate that is wrong; it must be wrong."""
    floor = rounding_floor(case)
    wrong = [
        name
        for name in (q.name for q in case.quantities)
        if name in got
        and judge(got[name], Expectation(floor.value[name], floor.sigma[name]), case.format).verdict in WRONG
    ]
    assert wrong, "the fault does not show"
    return diagnose(case, got, wrong, place_of_error(case, got, wrong), floor)


def with_fault(case: Case, view: str, **faults: Any) -> tuple[Diagnosis, ...]:
    return diagnosed(case, delivered(run_hooked(case, replace(HOOKS, **faults)).quantities, view))


def in_layer(number: int, right: Callable[..., Any], wrong: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that is wrong in one layer."""
    return lambda at, *rest: (wrong if at.number == number else right)(at, *rest)


def changed(hook: Callable[..., Array], change: Callable[[Array], Array]) -> Callable[..., Array]:
    return lambda *arguments: change(hook(*arguments))


def with_element(array: Array, index: Any, value: float) -> Array:
    copy = array.copy()
    copy[index] = value
    return copy


def dW_of(number: int, change: Callable[[Array], Array]) -> dict[str, Any]:
    """The weights' gradient of one layer, changed."""
    return {"weight_gradient": in_layer(number, weight_gradient, changed(weight_gradient, change))}


def db_of(number: int, wrong: Callable[[Array], Array]) -> dict[str, Any]:
    """The bias's gradient of one layer, made of dz in another way."""
    return {"bias_gradient": in_layer(number, bias_gradient, lambda at, seen, dz: wrong(dz))}


def dz_of(number: int, wrong: Callable[..., Array]) -> dict[str, Any]:
    return {"derivative": in_layer(number, derivative, wrong)}


def counting(weights: list[float]) -> dict[str, Any]:
    """Sums over the batch that count each sample so often."""

    def dW(at: Layer, seen: Any, dz: Array) -> Array:
        return weight_gradient(at, seen, dz * np.array(weights, dz.dtype)[:, np.newaxis])

    def db(at: Layer, seen: Any, dz: Array) -> Array:
        return bias_gradient(at, seen, dz * np.array(weights, dz.dtype)[:, np.newaxis])

    return {"weight_gradient": dW, "bias_gradient": db}


def da_times(factor: float) -> dict[str, Any]:
    return {"loss_backward": changed(loss_backward, lambda da: da * da.dtype.type(factor))}


def with_updated_weights(at: Layer, seen: Any, dz: Array) -> Array:
    return dz @ (at.W - at.learning_rate * weight_gradient(at, seen, dz))


def in_bits(precision: int) -> Callable[[Array], Array]:
    return lambda values: rounded(values, precision).astype(values.dtype)


def product_in(precision: int) -> Callable[[Array, Array], Array]:
    narrow = in_bits(precision)
    return lambda left, right: narrow(left) @ narrow(right)
