"""Another function in the place of the activation: clipped, approximated, read from a table."""

from collections.abc import Callable, Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .explanation import Explanation
from .record import APPROXIMATE_ACTIVATION
from .site import Site


def clipped(bound: float) -> Callable[[Array], Array]:
    """The sigmoid of z limited to ``[-bound, bound]``."""
    return lambda z: 1 / (1 + np.exp(-np.clip(z, -bound, bound)))


def hard(z: Array) -> Array:
    """``relu6(z + 3) / 6``, as torch.nn.Hardsigmoid."""
    return np.clip(z / 6 + 0.5, 0, 1)


def hard_keras(z: Array) -> Array:
    """``clip(z/5 + 1/2, 0, 1)``, as Keras had it before version 3."""
    return np.clip(z / 5 + 0.5, 0, 1)


def rational(z: Array) -> Array:
    """``(1 + tanh(z/2)) / 2`` with tanh's Padé approximant ``t (27 + t**2) / (27 + 9 t**2)``, |t| <= 3."""
    t = np.clip(z / 2, -3, 3)
    a: Array = (1 + t * (27 + t * t) / (27 + 9 * t * t)) / 2
    return a


def softsign(z: Array) -> Array:
    """``(1 + z / (1 + |z|)) / 2``."""
    a: Array = (1 + z / (1 + np.abs(z))) / 2
    return a


SIGMOID_LIKE: dict[str, Callable[[Array], Array]] = {
    "three straight pieces, clip(z/6 + 1/2, 0, 1), for the sigmoid": hard,
    "three straight pieces, clip(z/5 + 1/2, 0, 1), for the sigmoid": hard_keras,
    "a rational function for the sigmoid": rational,
    "z / (1 + |z|), rescaled, for the sigmoid": softsign,
    "tanh for the sigmoid": np.tanh,
    "relu for the sigmoid": lambda z: np.maximum(z, 0),
}


def sigmoid_derivative(z: Array) -> Array:
    """``a (1 - a)`` of the sigmoid's own a, whatever a layer's output is."""
    e = np.exp(-np.abs(z))
    a: Array = e / np.square(1 + e)
    return a


OTHERS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh for the sigmoid": (np.tanh, lambda z: 1 - np.square(np.tanh(z))),
    "relu for the sigmoid": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "no activation": (lambda z: z, np.ones_like),
}
"""By what people call them: f, and f' as functions of z."""


def find_activation(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain ``a`` as another function of z than the layer's."""
    if site.kind != "a" or not np.isfinite(got).all():
        return
    z = site.here("z")
    if site.case.network.layers[site.layer - 1].activation == "sigmoid":
        for text, function in SIGMOID_LIKE.items():
            with np.errstate(all="ignore"):
                made = Uncertain(function(z.value), right.variance + z.variance)
            yield Explanation(APPROXIMATE_ACTIVATION, f"has {text}", made, detail=text)
        yield from _clipped(got, right)
    yield _some_function(got, right, z)


def _clipped(got: Array, right: Uncertain) -> Iterator[Explanation]:
    """The right values, none beyond the smallest and largest of `got`: bounds that are fitted."""
    low, high = float(np.min(got)), float(np.max(got))
    if not 0 < low < high < 1:
        return
    bound = max(-np.log(low / (1 - low)), np.log(high / (1 - high)))
    made = Uncertain(np.clip(right.value, low, high), right.variance)
    text = f"is clipped to [{low:.5g}, {high:.5g}]: z limited to {bound:.4g}?"
    yield Explanation(APPROXIMATE_ACTIVATION, text, made, float(bound), 0.98)


def _some_function(got: Array, right: Uncertain, z: Uncertain) -> Explanation:
    """Rising with z as every activation does, however far off: some approximation.

    The share of neighbours in z that do not fall is its certainty; a random
    array has a half.
    """
    steps = np.diff(got.ravel()[np.argsort(z.value, axis=None)])
    rising = float(np.mean(steps >= 0)) if steps.size else 0.0
    error = np.abs(got - right.value)
    if np.max(error) > np.max(np.abs(right.value)):
        rising = 0.0  # too far off for an approximation
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    text = (
        f"is another function of z than the activation, off by up to {error[worst]:.2g} "
        f"(at z = {z.value[worst]:.4g}): approximated?"
    )
    predicted = Uncertain(got, right.variance)
    return Explanation(APPROXIMATE_ACTIVATION, text, predicted, None, 0.85 * max(0.0, 2 * rising - 1))
