"""Faults in the step of gradient descent; every gradient is right."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..diagnosis.record import FACTOR, SIGN, STALE_GRADIENT, TRANSPOSE
from ..networks.cases import Case
from ..networks.parameters import DenseParameters
from .hooks import HOOKS, Gradient, Hooks, Layer, update
from .mutant import Mutant, by_case, everywhere, in_one_layer
from .stale_faults import mix_with_earlier
from .where import samples_over, shape, square, with_bias

UPDATE = "update"
Update = Callable[[Layer, Sequence[Gradient]], DenseParameters]


def _with_learning_rate(factor: float) -> Update:
    return lambda at, gradients: update(replace(at, learning_rate=at.learning_rate * factor), gradients)


def _with_gradients(change: Callable[[Gradient], Gradient]) -> Update:
    return lambda at, gradients: update(at, [change(gradient) for gradient in gradients])


def _transposed(gradient: Gradient) -> Gradient:
    return Gradient(gradient.dW.T, gradient.db)


def _of_layer_below(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
    own, below = gradients[at.number - 1], gradients[at.number - 2]
    return update(at, [Gradient(below.dW, own.db)] * at.depth)


def _like_layer_below(case: Case, number: int) -> bool:
    return number > 1 and shape(case, number) == shape(case, number - 1)


def _bias_kept(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
    return DenseParameters(update(at, gradients).W, at.b)


def _weight_decay(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
    W_new, b_new = update(at, gradients)
    return DenseParameters(W_new - at.learning_rate * at.W.dtype.type(0.01) * at.W, b_new)


def _with_momentum(case: Case) -> Hooks:
    mixed = mix_with_earlier(case, 1, 0.9)

    def with_momentum(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
        dW, db = gradients[at.number - 1]
        moved = Gradient(mixed("dW", at, dW), None if db is None else mixed("db", at, db))
        return update(at, [moved] * at.depth)

    return replace(HOOKS, update=with_momentum)


UPDATE_MUTANTS: tuple[Mutant, ...] = (
    everywhere("update-ascends", UPDATE, "W + lr dW", SIGN, update=_with_learning_rate(-1)),
    everywhere("update-doubled", UPDATE, "W - 2 lr dW", FACTOR, update=_with_learning_rate(2)),
    by_case(
        "update-over-batch",
        UPDATE,
        "the learning rate divided by the batch size",
        FACTOR,
        lambda case: replace(HOOKS, update=_with_learning_rate(1 / case.batch_size)),
        samples_over(1),
    ),
    in_one_layer(
        "update-transposed", UPDATE, "W - lr dW.T", TRANSPOSE, square, update=_with_gradients(_transposed)
    ),
    in_one_layer(
        "update-of-layer-below",
        UPDATE,
        "W - lr dW of the layer below",
        None,
        _like_layer_below,
        update=_of_layer_below,
    ),
    in_one_layer("bias-not-updated", UPDATE, "b_new is b in one layer", None, with_bias, update=_bias_kept),
    in_one_layer(
        "layer-not-updated",
        UPDATE,
        "W_new is W and b_new is b in one layer",
        None,
        update=lambda at, gradients: DenseParameters(at.W, at.b),
    ),
    everywhere("weight-decay", UPDATE, "W - lr (dW + W/100)", None, update=_weight_decay),
    by_case(
        "momentum-in-update",
        UPDATE,
        "nine tenths of an earlier step's gradient are added",
        STALE_GRADIENT,
        _with_momentum,
    ),
)
