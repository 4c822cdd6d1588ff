"""Faults in which samples the sums over the batch count: dropped, repeated, mixed up."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.numpy.losses import LossRule
from ..diagnosis.record import SAMPLE_DROPPED, SAMPLE_REPEATED
from ..networks.dtypes import Array
from .hooks import Layer, Seen, bias_gradient, loss_backward
from .mutant import Mutant, everywhere, in_one_layer
from .where import many_samples, samples_over

BACKWARD = "backward"


def _sums_over(choose: Callable[[Array], Array]) -> dict[str, Any]:
    """Hooks that sum dW and db over the samples that `choose` takes out of an array ``(B, ...)``."""

    def dW(at: Layer, seen: Seen, dz: Array) -> Array:
        return at.product(choose(dz).T, choose(seen.a_prev))

    def db(at: Layer, seen: Seen, dz: Array) -> Array:
        return bias_gradient(at, seen, choose(dz))

    return {"weight_gradient": dW, "bias_gradient": db}


def _without_first(values: Array) -> Array:
    return values[1:]


def _without_last(values: Array) -> Array:
    return values[:-1]


def _second_twice(values: Array) -> Array:
    return np.concatenate([values[:2], values[1:]])


def _first_for_second(values: Array) -> Array:
    return np.concatenate([values[:1], values[:1], values[2:]])


def _whole_blocks(values: Array) -> Array:
    return values[: len(values) // 16 * 16]


def _last_sample_without_da(rule: LossRule, a: Array, y: Array) -> Array:
    da = loss_backward(rule, a, y)
    da[-1] = 0
    return da


def _mixed_up(at: Layer, seen: Seen, dz: Array) -> Array:
    return at.product(np.roll(dz, 1, axis=0).T, seen.a_prev)


SAMPLE_MUTANTS: tuple[Mutant, ...] = (
    everywhere(
        "first-sample-dropped",
        BACKWARD,
        "dW and db miss the first sample",
        SAMPLE_DROPPED,
        samples_over(1),
        **_sums_over(_without_first),
    ),
    everywhere(
        "last-sample-dropped",
        BACKWARD,
        "dW and db miss the last sample",
        SAMPLE_DROPPED,
        samples_over(1),
        **_sums_over(_without_last),
    ),
    in_one_layer(
        "last-sample-dropped-in-one-layer",
        BACKWARD,
        "dW and db of one layer miss the last sample",
        SAMPLE_DROPPED,
        many_samples,
        **_sums_over(_without_last),
    ),
    everywhere(
        "last-sample-without-da",
        BACKWARD,
        "the loss's derivative misses the last sample",
        SAMPLE_DROPPED,
        samples_over(1),
        loss_backward=_last_sample_without_da,
    ),
    everywhere(
        "odd-sample-dropped-from-dW",
        BACKWARD,
        "dW sums pairs of samples: only for an odd batch",
        SAMPLE_DROPPED,
        lambda case: case.batch_size > 1 and case.batch_size % 2 == 1,
        weight_gradient=_sums_over(_without_last)["weight_gradient"],
    ),
    in_one_layer(
        "partial-block-of-samples-dropped",
        BACKWARD,
        "dW and db of one layer sum whole blocks of 16 samples",
        SAMPLE_DROPPED,
        lambda case, number: case.batch_size > 16 and case.batch_size % 16 > 0,
        **_sums_over(_whole_blocks),
    ),
    everywhere(
        "sample-counted-twice",
        BACKWARD,
        "dW and db count the second sample twice",
        SAMPLE_REPEATED,
        samples_over(1),
        **_sums_over(_second_twice),
    ),
    everywhere(
        "sample-in-place-of-another",
        BACKWARD,
        "dW and db count the first sample in place of the second",
        SAMPLE_REPEATED,
        samples_over(1),
        **_sums_over(_first_for_second),
    ),
    in_one_layer(
        "samples-mixed-up-in-dW",
        BACKWARD,
        "dz of one sample with a_prev of the next",
        None,
        many_samples,
        weight_gradient=_mixed_up,
    ),
)
