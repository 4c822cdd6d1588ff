"""Faults in the loss: its value, its derivative, and what it is compared with."""

from collections.abc import Callable

import numpy as np

from ..backends.numpy.losses import LossRule
from ..diagnosis.record import FACTOR, PERMUTATION, SIGN
from ..networks.batches import Batch
from ..networks.dtypes import Array
from .hooks import loss_backward, loss_value
from .mutant import Applies, Mutant, always, everywhere
from .where import last, outputs_over, samples_over, some_layer

LOSS = "loss"


def _outputs(case_has: int) -> Applies:
    return some_layer(lambda case, number: last(case, number) and outputs_over(case_has)(case, number))


def _derivative_times(factor: Callable[[Array], float]) -> Callable[[LossRule, Array, Array], Array]:
    return lambda rule, a, y: loss_backward(rule, a, y) * factor(a)


def _derivative_scaled(
    name: str, description: str, factor: Callable[[Array], float], applies: Applies = always
) -> Mutant:
    return everywhere(
        f"loss-derivative-{name}", LOSS, description, FACTOR, applies, loss_backward=_derivative_times(factor)
    )


def _targets_rolled(batch: Batch) -> Batch:
    return Batch(batch.x, np.roll(batch.y, 1, axis=0))


LOSS_MUTANTS = (
    _derivative_scaled("doubled", "da twice too large: the square's 2 not cancelled by a half", lambda a: 2),
    _derivative_scaled("halved", "da half as large: the square's 2 forgotten", lambda a: 0.5),
    _derivative_scaled("times-batch", "da summed over the samples, not averaged", len, samples_over(1)),
    _derivative_scaled(
        "over-batch", "da averaged over the samples twice", lambda a: 1 / len(a), samples_over(1)
    ),
    _derivative_scaled("times-outputs", "da summed over the outputs", lambda a: a.shape[1], _outputs(1)),
    _derivative_scaled(
        "over-outputs", "da averaged over the outputs again", lambda a: 1 / a.shape[1], _outputs(1)
    ),
    _derivative_scaled(
        "times-elements",
        "da of a sum where the loss is a mean",
        lambda a: a.size,
        lambda case: samples_over(1)(case) and _outputs(1)(case),
    ),
    _derivative_scaled(
        "over-elements",
        "da of a mean where the loss is a sum",
        lambda a: 1 / a.size,
        lambda case: samples_over(1)(case) and _outputs(1)(case),
    ),
    everywhere(
        "loss-derivative-negated",
        LOSS,
        "y - a in place of a - y",
        SIGN,
        loss_backward=_derivative_times(lambda a: -1),
    ),
    everywhere(
        "loss-derivative-of-absolute-error",
        LOSS,
        "the residual's sign in place of the residual",
        None,
        loss_backward=lambda rule, a, y: loss_backward(rule, np.sign(a - y), np.zeros_like(a)),
    ),
    everywhere(
        "loss-derivative-clipped",
        LOSS,
        "da clipped to [-0.01, 0.01], as by gradient clipping left on",
        None,
        loss_backward=lambda rule, a, y: np.clip(loss_backward(rule, a, y), -0.01, 0.01),
    ),
    everywhere(
        "loss-value-halved",
        LOSS,
        "the loss has a half that its derivative has not",
        FACTOR,
        loss_value=lambda rule, a, y: loss_value(rule, a, y) * a.dtype.type(0.5),
    ),
    everywhere(
        "loss-value-times-batch",
        LOSS,
        "the loss is summed over the samples, its derivative is not",
        FACTOR,
        samples_over(1),
        loss_value=lambda rule, a, y: loss_value(rule, a, y) * a.dtype.type(len(a)),
    ),
    everywhere(
        "targets-shuffled",
        LOSS,
        "y is off by one sample against x",
        PERMUTATION,
        samples_over(1),
        read=_targets_rolled,
    ),
)
