"""Faults on the way forward: affine map, activation, inputs. Their derivatives are those of right code."""

from collections.abc import Callable

import numpy as np

from ..diagnosis.record import APPROXIMATE_ACTIVATION, ELEMENTS, INPUT_CHANGED, SAMPLE_REPEATED, TRANSPOSE
from ..networks.batches import Batch
from ..networks.dtypes import Array
from .hooks import Layer, activate, affine
from .mutant import Mutant, any_layer, everywhere, in_every_layer, in_one_layer
from .rounding import BFLOAT16, FLOAT16, rounded
from .where import inputs_over, outputs_over, samples_over, sigmoid, square, with_bias

FORWARD = "forward"


def _without_bias(at: Layer, a_prev: Array) -> Array:
    return at.product(a_prev, at.W.T)


def _without_last_input(at: Layer, a_prev: Array) -> Array:
    z = at.product(a_prev[:, :-1], at.W[:, :-1].T)
    return z if at.b is None else z + at.b


def _last_unit_not_computed(at: Layer, a_prev: Array) -> Array:
    z = affine(at, a_prev)
    z[:, -1] = 0 if at.b is None else at.b[-1]
    return z


def _some_units_silent(at: Layer, z: Array) -> Array:
    a = activate(at, z)
    a[:, ::8] = 0
    return a


def hard_sigmoid(z: Array) -> Array:
    """``relu6(z + 3) / 6``, as torch.nn.Hardsigmoid."""
    return np.clip(z / 6 + 0.5, 0, 1)


def rational_sigmoid(z: Array) -> Array:
    """``(1 + tanh(z/2)) / 2`` with tanh's Padé approximant ``t (27 + t**2) / (27 + 9 t**2)``, |t| <= 3."""
    t = np.clip(z / 2, -3, 3)
    a: Array = (1 + t * (27 + t * t) / (27 + 9 * t * t)) / 2
    return a


def tabulated_sigmoid(z: Array) -> Array:
    """The nearest of 64 entries a unit."""
    nearest = np.rint(np.clip(z, -32, 32) * 64) / 64
    a: Array = 1 / (1 + np.exp(-nearest))
    return a


def _sigmoid_with_exp_of(precision: int) -> Callable[[Array], Array]:
    def approximate(z: Array) -> Array:
        e = rounded(np.exp(-np.abs(z)), precision)
        a: Array = np.where(z < 0, e, z.dtype.type(1)) / (1 + e)
        return a

    return approximate


def _approximate(
    name: str, description: str, sigmoid_like: Callable[[Array], Array], wider_than: int = 0
) -> Mutant:
    """The activation of every sigmoid layer is `sigmoid_like`, in dtypes of more bits than `wider_than`."""
    return in_every_layer(
        name,
        FORWARD,
        description,
        APPROXIMATE_ACTIVATION,
        lambda case, number: sigmoid(case, number) and case.format.precision > wider_than,
        activate=lambda at, z: sigmoid_like(z),
    )


def _second_sample_is_first(batch: Batch) -> Batch:
    x, y = batch.x.copy(), batch.y.copy()
    x[1], y[1] = x[0], y[0]
    return Batch(x, y)


FORWARD_MUTANTS = (
    in_one_layer("bias-not-added", FORWARD, "z without b", None, with_bias, affine=_without_bias),
    in_one_layer(
        "bias-added-twice",
        FORWARD,
        "z with b twice",
        None,
        with_bias,
        affine=lambda at, a_prev: affine(at, a_prev) + at.b,
    ),
    in_one_layer(
        "W-transposed-forward",
        FORWARD,
        "a_prev @ W in place of a_prev @ W.T",
        TRANSPOSE,
        square,
        affine=lambda at, a_prev: at.product(a_prev, at.W) + (0 if at.b is None else at.b),
    ),
    in_one_layer(
        "last-input-ignored",
        FORWARD,
        "the sum over the inputs stops one early",
        None,
        inputs_over(1),
        affine=_without_last_input,
    ),
    in_one_layer(
        "last-unit-not-computed",
        FORWARD,
        "the last column of z holds the bias only: an off-by-one tile",
        ELEMENTS,
        outputs_over(1),
        affine=_last_unit_not_computed,
    ),
    in_one_layer("activation-skipped", FORWARD, "a = z", None, any_layer, activate=lambda at, z: z.copy()),
    in_one_layer(
        "dropout-left-on",
        FORWARD,
        "every eighth unit is silent",
        None,
        any_layer,
        activate=_some_units_silent,
    ),
    _approximate("sigmoid-clipped", "z clipped to [-5, 5]", lambda z: 1 / (1 + np.exp(-np.clip(z, -5, 5)))),
    _approximate("sigmoid-piecewise", "sigmoid of three straight pieces", hard_sigmoid),
    _approximate("sigmoid-rational", "sigmoid by a rational tanh", rational_sigmoid),
    _approximate("sigmoid-tabulated", "sigmoid from a table without interpolation", tabulated_sigmoid),
    _approximate("sigmoid-exp-float16", "exp rounded to 11 bits", _sigmoid_with_exp_of(FLOAT16), FLOAT16),
    _approximate("sigmoid-exp-bfloat16", "exp rounded to 8 bits", _sigmoid_with_exp_of(BFLOAT16), BFLOAT16),
    everywhere(
        "inputs-scaled",
        FORWARD,
        "x divided by 256, as 8-bit inputs scaled twice",
        INPUT_CHANGED,
        read=lambda batch: Batch(batch.x / 256, batch.y),
    ),
    everywhere(
        "sample-replaced-by-another",
        FORWARD,
        "the second sample is the first one again",
        SAMPLE_REPEATED,
        samples_over(1),
        read=_second_sample_is_first,
    ),
)
