"""Wrong formulas: what each step is when it is mistaken in a known way, without anything to fit.

A formula predicts the quantity of a `Site` from what went into it. On an
engine's own inputs that is one local step; put into a run of the mathematics
(``passes.py``) it predicts what follows from it, for candidates that deliver
only the loss and gradients.

The formulas are those of textbook mistakes. ``crossgrad/mutants`` plants many
of the same: recognising those is in-sample, and proves the machinery rather
than the completeness of this list. What none of them explains is left to the
fits that know no formula.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..arithmetic import Uncertain
from ..mathematics import Activation
from ..networks.dtypes import Array
from .explanation import Explanation
from .record import (
    BIAS_NOT_SUMMED,
    DERIVATIVE_AT_A,
    ELEMENTS,
    INPUT_CHANGED,
    MISSING_DERIVATIVE,
    PERMUTATION,
    TRANSPOSE,
    UNRECOGNISED,
    UPDATED_WEIGHTS,
)
from .site import Site

Predict = Callable[[Site], Uncertain | None]


@dataclass(frozen=True)
class Formula:
    """A wrong way to make a quantity of this kind; `predict` gives None where it is not possible."""

    kind: str
    cause: str
    text: str
    predict: Predict

    def at(self, site: Site) -> Uncertain | None:
        return self.predict(site) if site.kind == self.kind else None

    def said_of(self, site: Site) -> str:
        return self.text.format(n=site.layer, up=site.layer + 1, down=site.layer - 1)


def find_formula(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain a quantity by each wrong formula for its kind."""
    for formula in FORMULAS:
        predicted = formula.at(site)
        if predicted is not None:
            yield Explanation(formula.cause, formula.said_of(site), predicted, detail=formula.text)


def _times(p: Uncertain, q: Uncertain, site: Site) -> Uncertain:
    value = p.value * q.value
    variance = np.square(q.value) * p.variance + np.square(p.value) * q.variance
    return Uncertain(value, variance + site.steps.arithmetic.rounding(value, 4))


def _less(one: float, q: Uncertain) -> Uncertain:
    return Uncertain(one - q.value, q.variance)


def _rule(site: Site) -> Activation:
    return site.steps.rules[site.layer - 1]


def _reordered(W: Array) -> Array:
    return W.T.reshape(W.shape)


def _is_square(W: Array) -> bool:
    return bool(W.shape[0] == W.shape[1] > 1)


def _is_oblong(W: Array) -> bool:
    return bool(W.shape[0] != W.shape[1] and min(W.shape) > 1)


def _affine_with(change: Callable[[Array], Array], where: Callable[[Array], bool]) -> Predict:
    def predict(site: Site) -> Uncertain | None:
        if not where(site.W):
            return None
        return site.steps.affine(site.below("a"), change(site.W), site.b)

    return predict


def _pulled_back_with(change: Callable[[Array], Array], where: Callable[[Array], bool]) -> Predict:
    def predict(site: Site) -> Uncertain | None:
        if site.layer == site.depth or not where(site.W_above):
            return None
        return site.steps.pull_back(site.above("dz"), change(site.W_above))

    return predict


def _z_with_bias_times(count: int) -> Predict:
    def predict(site: Site) -> Uncertain | None:
        if site.b is None or not site.b.any():
            return None
        return site.steps.affine(site.below("a"), site.W, count * site.b)

    return predict


def _without_last_input(site: Site) -> Uncertain | None:
    a = site.below("a")
    if a.value.shape[1] == 1:
        return None
    return site.steps.affine(Uncertain(a.value[:, :-1], a.variance[:, :-1]), site.W[:, :-1], site.b)


def _without_last_unit(site: Site) -> Uncertain | None:
    if len(site.W) == 1:
        return None
    used = site.W.copy()
    used[-1] = 0
    return site.steps.affine(site.below("a"), used, site.b)


def _with_updated_weights(site: Site) -> Uncertain | None:
    if site.layer == site.depth:
        return None
    dz, W_new = site.above("dz"), site.steps.update(site.W_above, site.above("dW"))
    da = site.steps.pull_back(dz, W_new.value)
    return Uncertain(da.value, da.variance + np.square(dz.value) @ W_new.variance)


def _missing(site: Site) -> Uncertain:
    return site.here("da")


def _at_a(site: Site) -> Uncertain:
    return site.steps.through_activation(
        site.here("da"), site.steps.activate(site.here("a"), _rule(site)), _rule(site)
    )


def _of_z(site: Site) -> Uncertain:
    return site.steps.through_activation(site.here("da"), site.here("z"), _rule(site))


def _twice(site: Site) -> Uncertain:
    once = site.steps.through_activation(site.here("da"), site.here("a"), _rule(site))
    return site.steps.through_activation(once, site.here("a"), _rule(site))


def _for_sigmoid(factor: Callable[[Uncertain], Uncertain]) -> Predict:
    def predict(site: Site) -> Uncertain | None:
        if site.case.network.layers[site.layer - 1].activation != "sigmoid":
            return None
        return _times(site.here("da"), factor(site.here("a")), site)

    return predict


def _of_tanh(a: Uncertain) -> Uncertain:
    return Uncertain(1 - np.square(a.value), 4 * np.square(a.value) * a.variance)


def _signs_only(site: Site) -> Uncertain | None:
    if site.layer < site.depth:
        return None
    y, slope = site.steps.y, site.steps.slope
    return Uncertain(slope * np.sign(site.output().value - y), site.steps.arithmetic.rounding(slope, 4))


def _over_units(site: Site) -> Uncertain | None:
    dz = site.here("dz")
    if dz.value.shape[0] != dz.value.shape[1] or dz.value.size == 1:
        return None
    return site.bias_gradient(Uncertain(dz.value.T, dz.variance.T))


def _over_all(site: Site) -> Uncertain | None:
    db = site.bias_gradient(site.here("dz"))
    if db.value.size == 1:
        return None
    return Uncertain(np.full_like(db.value, db.value.sum()), np.full_like(db.value, db.variance.sum()))


def _magnitudes_summed(site: Site) -> Uncertain:
    dz = site.here("dz")
    return site.bias_gradient(Uncertain(np.abs(dz.value), dz.variance))


def _z_below(site: Site) -> Uncertain | None:
    return site.below("z") if site.layer > 1 else None


def _dW_with(operand: Predict) -> Predict:
    """``dz.T @ operand`` in place of ``dz.T @ a_prev``."""

    def predict(site: Site) -> Uncertain | None:
        used = operand(site)
        if used is None or used.value.shape != site.below("a").value.shape:
            return None
        return site.weight_gradient(site.here("dz"), used)

    return predict


def _next_sample(step: int) -> Predict:
    def operand(site: Site) -> Uncertain | None:
        a = site.below("a")
        if len(a.value) == 1:
            return None
        return Uncertain(np.roll(a.value, step, axis=0), np.roll(a.variance, step, axis=0))

    return operand


FORMULAS: tuple[Formula, ...] = (
    Formula("z", TRANSPOSE, "is made with W.{n} transposed", _affine_with(np.transpose, _is_square)),
    Formula(
        "z",
        PERMUTATION,
        "is made with W.{n} read in column order where row order is meant",
        _affine_with(_reordered, _is_oblong),
    ),
    Formula("z", UNRECOGNISED, "is what it would be without the bias b.{n}", _z_with_bias_times(0)),
    Formula("z", UNRECOGNISED, "is what it would be with the bias b.{n} added twice", _z_with_bias_times(2)),
    Formula("z", ELEMENTS, "has no product in its last unit: it holds the bias alone", _without_last_unit),
    Formula("z", UNRECOGNISED, "leaves out the last input", _without_last_input),
    Formula("a", UNRECOGNISED, "is z.{n}: the activation is not applied", lambda site: site.here("z")),
    Formula(
        "da",
        TRANSPOSE,
        "is made with W.{up} transposed",
        _pulled_back_with(np.transpose, _is_square),
    ),
    Formula(
        "da",
        PERMUTATION,
        "is made with W.{up} read in column order where row order is meant",
        _pulled_back_with(_reordered, _is_oblong),
    ),
    Formula(
        "da",
        UPDATED_WEIGHTS,
        "is made with W.{up} as it is after the update: derivatives need the weights before it",
        _with_updated_weights,
    ),
    Formula(
        "da",
        UNRECOGNISED,
        "is made with the magnitudes of W.{up}",
        _pulled_back_with(np.abs, lambda W: bool((W < 0).any())),
    ),
    Formula("da", UNRECOGNISED, "has the sign of the residual in place of the residual", _signs_only),
    Formula("dz", MISSING_DERIVATIVE, "misses the derivative of the activation of layer {n}", _missing),
    Formula("dz", DERIVATIVE_AT_A, "has the activation's derivative at a.{n} in place of z.{n}", _at_a),
    Formula("dz", UNRECOGNISED, "has z.{n} where the derivative wants a.{n}", _of_z),
    Formula("dz", UNRECOGNISED, "has the derivative of the activation of layer {n} twice", _twice),
    Formula("dz", UNRECOGNISED, "has a for the derivative a (1 - a)", _for_sigmoid(lambda a: a)),
    Formula(
        "dz", UNRECOGNISED, "has 1 - a for the derivative a (1 - a)", _for_sigmoid(lambda a: _less(1, a))
    ),
    Formula(
        "dz",
        UNRECOGNISED,
        "has tanh's derivative 1 - a**2 for the sigmoid's a (1 - a)",
        _for_sigmoid(_of_tanh),
    ),
    Formula("dW", INPUT_CHANGED, "is made with z.{down} in place of a.{down}", _dW_with(_z_below)),
    Formula(
        "dW",
        INPUT_CHANGED,
        "is made with the layer's output a.{n} in place of its input",
        _dW_with(lambda site: site.here("a")),
    ),
    Formula(
        "dW",
        INPUT_CHANGED,
        "is made with the layer's input activated once more",
        _dW_with(lambda site: site.steps.activate(site.below("a"), _rule(site))),
    ),
    Formula(
        "dW", PERMUTATION, "pairs each sample's dz with the input of the next", _dW_with(_next_sample(-1))
    ),
    Formula(
        "dW",
        PERMUTATION,
        "pairs each sample's dz with the input of the one before",
        _dW_with(_next_sample(1)),
    ),
    Formula(
        "db", BIAS_NOT_SUMMED, "is summed over the units where it should be over the samples", _over_units
    ),
    Formula(
        "db", BIAS_NOT_SUMMED, "is summed over samples and units alike: every element is the total", _over_all
    ),
    Formula("db", UNRECOGNISED, "is the sum of the magnitudes of dz.{n}", _magnitudes_summed),
)
