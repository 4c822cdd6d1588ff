"""Faults where dz becomes dW and db: orientation, order, the wrong operand, the wrong sum."""

from collections.abc import Callable

import numpy as np

from ..diagnosis.record import BIAS_NOT_SUMMED, DETACHED, FACTOR, PERMUTATION, SIGN, TRANSPOSE
from ..networks.dtypes import Array
from .hooks import Layer, Seen, bias_gradient, weight_gradient
from .mutant import Mutant, in_every_layer, in_one_layer
from .where import (
    above_first,
    batch_is_outputs,
    both,
    inputs_over,
    last,
    many_samples,
    oblong,
    outputs_over,
    square,
    with_bias,
)

BACKWARD = "backward"
LayerGradient = Callable[[Layer, Seen, Array], Array]


def _of_dW(change: Callable[[Array], Array]) -> LayerGradient:
    return lambda at, seen, dz: change(weight_gradient(at, seen, dz))


def _of_db(change: Callable[[Array], Array]) -> LayerGradient:
    return lambda at, seen, dz: change(bias_gradient(at, seen, dz))


def _dW_with(operand: Callable[[Layer, Seen], Array]) -> LayerGradient:
    """``dz.T @ operand`` in place of ``dz.T @ a_prev``."""
    return lambda at, seen, dz: at.product(dz.T, operand(at, seen))


def _in_column_order(dW: Array) -> Array:
    return dW.T.reshape(dW.shape)


def _one_sample(case_is: int) -> Callable[..., bool]:
    return lambda case, number: case.batch_size == case_is


WEIGHT_GRADIENT_MUTANTS: tuple[Mutant, ...] = (
    in_one_layer(
        "dW-transposed",
        BACKWARD,
        "a_prev.T @ dz in place of dz.T @ a_prev",
        TRANSPOSE,
        square,
        weight_gradient=_of_dW(np.transpose),
    ),
    in_one_layer(
        "dW-transposed-at-batch-one",
        BACKWARD,
        "the outer product's factors swapped: only for one sample",
        TRANSPOSE,
        both(square, _one_sample(1)),
        weight_gradient=_of_dW(np.transpose),
    ),
    in_one_layer(
        "dW-in-column-order",
        BACKWARD,
        "dW written in the wrong memory order: only layers that are not square",
        PERMUTATION,
        oblong,
        weight_gradient=_of_dW(_in_column_order),
    ),
    in_one_layer(
        "units-permuted-in-dW",
        BACKWARD,
        "the rows of dW off by one",
        PERMUTATION,
        outputs_over(1),
        weight_gradient=_of_dW(lambda dW: np.roll(dW, 1, axis=0)),
    ),
    in_one_layer(
        "inputs-permuted-in-dW",
        BACKWARD,
        "the columns of dW in reverse order",
        PERMUTATION,
        inputs_over(1),
        weight_gradient=_of_dW(lambda dW: dW[:, ::-1].copy()),
    ),
    in_one_layer("dW-negated", BACKWARD, "-dW in one layer", SIGN, weight_gradient=_of_dW(np.negative)),
    in_one_layer(
        "dW-over-batch",
        BACKWARD,
        "dW averaged over the samples once more in one layer",
        FACTOR,
        many_samples,
        weight_gradient=lambda at, seen, dz: weight_gradient(at, seen, dz) / len(dz),
    ),
    in_one_layer(
        "dW-doubled",
        BACKWARD,
        "dW accumulated twice in one layer",
        FACTOR,
        weight_gradient=_of_dW(lambda dW: 2 * dW),
    ),
    in_one_layer(
        "z-for-a-in-dW",
        BACKWARD,
        "the input before its activation in place of after",
        None,
        above_first,
        weight_gradient=_dW_with(lambda at, seen: seen.z_prev),
    ),
    in_one_layer(
        "a-for-a_prev-in-dW",
        BACKWARD,
        "the layer's output in place of its input",
        None,
        square,
        weight_gradient=_dW_with(lambda at, seen: seen.a),
    ),
    in_one_layer(
        "activation-twice-in-dW",
        BACKWARD,
        "the input activated once more",
        None,
        weight_gradient=_dW_with(lambda at, seen: at.rule.forward(seen.a_prev)),
    ),
    in_one_layer("dW-zero", BACKWARD, "no dW in one layer", DETACHED, weight_gradient=_of_dW(np.zeros_like)),
    in_every_layer(
        "last-layer-detached",
        BACKWARD,
        "no dW and db in the last layer",
        DETACHED,
        last,
        weight_gradient=_of_dW(np.zeros_like),
        bias_gradient=_of_db(np.zeros_like),
    ),
)

BIAS_GRADIENT_MUTANTS: tuple[Mutant, ...] = (
    in_one_layer(
        "db-of-first-sample",
        BACKWARD,
        "db of the first sample only",
        BIAS_NOT_SUMMED,
        both(with_bias, many_samples),
        bias_gradient=lambda at, seen, dz: dz[0].copy(),
    ),
    in_one_layer(
        "db-of-last-sample",
        BACKWARD,
        "db of the last sample only: assigned, not added",
        BIAS_NOT_SUMMED,
        both(with_bias, many_samples),
        bias_gradient=lambda at, seen, dz: dz[-1].copy(),
    ),
    in_one_layer(
        "db-over-units",
        BACKWARD,
        "db summed over the units: only for as many samples as units",
        BIAS_NOT_SUMMED,
        both(with_bias, batch_is_outputs),
        bias_gradient=lambda at, seen, dz: dz.sum(axis=1),
    ),
    in_one_layer(
        "db-over-everything",
        BACKWARD,
        "db summed over samples and units, and broadcast",
        BIAS_NOT_SUMMED,
        both(with_bias, outputs_over(1)),
        bias_gradient=lambda at, seen, dz: np.full_like(dz[0], dz.sum()),
    ),
    in_one_layer(
        "db-over-units-at-batch-one",
        BACKWARD,
        "db summed over the units and broadcast: only for one sample",
        BIAS_NOT_SUMMED,
        both(with_bias, outputs_over(1), _one_sample(1)),
        bias_gradient=lambda at, seen, dz: np.full_like(dz[0], dz.sum()),
    ),
    in_one_layer(
        "db-averaged",
        BACKWARD,
        "the mean of dz in place of the sum",
        FACTOR,
        both(with_bias, many_samples),
        bias_gradient=lambda at, seen, dz: dz.mean(axis=0),
    ),
    in_one_layer(
        "db-of-magnitudes",
        BACKWARD,
        "|dz| summed in place of dz",
        None,
        with_bias,
        bias_gradient=lambda at, seen, dz: np.abs(dz).sum(axis=0),
    ),
    in_one_layer(
        "db-negated", BACKWARD, "-db in one layer", SIGN, with_bias, bias_gradient=_of_db(np.negative)
    ),
    in_one_layer(
        "db-zero", BACKWARD, "no db in one layer", DETACHED, with_bias, bias_gradient=_of_db(np.zeros_like)
    ),
    in_one_layer(
        "units-permuted-in-db",
        BACKWARD,
        "the elements of db off by one",
        PERMUTATION,
        both(with_bias, outputs_over(1)),
        bias_gradient=_of_db(lambda db: np.roll(db, 1)),
    ),
)
