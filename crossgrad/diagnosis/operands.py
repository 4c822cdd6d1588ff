"""dW made with another input than the layer had: named changes of it first, then any change at all."""

from collections.abc import Callable, Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .explanation import Explanation
from .numbers import name_of, scale_of_pixels
from .record import INPUT_CHANGED
from .scale import fitted_factor, shown
from .site import Site


def _root_mean_square(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _over(x: Array, lengths: Array) -> Array:
    return np.asarray(x / np.where(lengths > 0, lengths, 1))


MOST_PRODUCTS = 2e8
"""Multiplications of one dW from which on only the general fit is made."""

CHANGES: dict[str, Callable[[Array], Array]] = {
    "centred (each feature less its mean)": lambda x: x - x.mean(axis=0),
    "standardised (each feature of mean 0 and variance 1)": lambda x: _over(
        x - x.mean(axis=0), x.std(axis=0)
    ),
    "less its mean over all elements": lambda x: x - x.mean(),
    "standardised as a whole": lambda x: (x - x.mean()) / (x.std() or 1.0),
    "divided by each sample's largest magnitude": lambda x: _over(x, np.abs(x).max(axis=1, keepdims=True)),
    "divided by each sample's length": lambda x: _over(x, np.linalg.norm(x, axis=1, keepdims=True)),
    "divided by its largest magnitude": lambda x: x / (np.abs(x).max() or 1.0),
    "scaled to [0, 1]": lambda x: (x - x.min()) / (np.ptp(x) or 1.0),
    "clipped to [-1, 1]": lambda x: np.clip(x, -1, 1),
    "clipped to [0, 1]": lambda x: np.clip(x, 0, 1),
    "clipped at its root mean square": lambda x: np.clip(x, -_root_mean_square(x), _root_mean_square(x)),
    "without its negative values": lambda x: np.maximum(x, 0),
    "without its signs": np.abs,
    "squared": np.square,
    "rounded to whole numbers": np.rint,
}


def find_input(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain z of the first layer as made of a multiple of x."""
    if site.kind != "z" or site.layer != 1:
        return
    bias = 0.0 if site.b is None else site.b
    product = Uncertain(right.value - bias, right.variance)
    factor, uncertainty = fitted_factor(got - bias, product)
    name = name_of(site.case, factor, uncertainty) or scale_of_pixels(factor, uncertainty)
    value = name.value if name else factor
    text = f"is made with x times {shown(value)}" + (f", {name.text}" if name else "")
    predicted = Uncertain(value * product.value + bias, right.variance)
    yield Explanation(INPUT_CHANGED, text, predicted, value, 1.0 if name else 0.88)


def find_operand(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain dW as ``dz.T @ x'`` with an x' that is not the layer's input."""
    if site.kind != "dW":
        return
    x, name = site.below("a"), f"a.{site.layer - 1}" if site.layer > 1 else "x"
    named = site.layer == 1 and got.size * len(x.value) <= MOST_PRODUCTS
    for change, function in CHANGES.items() if named else ():
        with np.errstate(all="ignore"):
            changed = Uncertain(function(x.value), x.variance + site.steps.arithmetic.rounding(x.value))
            made = site.weight_gradient(site.here("dz"), changed)
        text = f"is made with x {change}: changed between the forward and the backward pass?"
        yield Explanation(INPUT_CHANGED, text, made, detail=change)
    yield from _any_operand(site, got, right, name)


def _any_operand(site: Site, got: Array, right: Uncertain, name: str) -> Iterator[Explanation]:
    """With some x', ``got - right`` is ``dz.T @ (x' - x)``: its columns are sums of dz's rows.

    That can only be refuted where there are fewer samples than units; elsewhere
    it is a guess by elimination.
    """
    dz = site.here("dz").value
    if not np.isfinite(got).all() or not np.isfinite(dz).all():
        return
    basis, strength, _ = np.linalg.svd(dz.T, full_matrices=False)
    basis = basis[:, strength > 1e-12 * strength[0]] if strength[0] > 0 else basis[:, :0]
    difference = got - right.value
    predicted = Uncertain(right.value + basis @ (basis.T @ difference), right.variance)
    freedom = basis.shape[1] / len(difference)
    text = f"is what another input than {name} would give: changed in place between the passes?"
    yield Explanation(INPUT_CHANGED, text, predicted, None, 0.85 if freedom <= 0.5 else 0.45)
